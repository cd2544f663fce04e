"""One job that takes all the memory there is, beside jobs that take little."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from bench.cgroup import Cgroup, Unavailable
from tests.life.conftest import events, post
from tests.supervisor.conftest import Start, calling, children, eventually, until
from tests.supervisor.test_ends import files_of_jobs, pid_of
from tests.support.worker import Worker

LIMIT = 256 * 2**20  # bytes
TAKE_ALL = "taken = []\nwhile True: taken.append(b'x' * 2**22)"


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """Yield a group of processes that has little memory."""
    try:
        with Cgroup.made(LIMIT, 2) as group:
            yield group
    except Unavailable as error:
        pytest.skip(f"needs a cgroup: {error}")


def score(pid: int) -> int:
    """Return by how much the kernel prefers a process when it has to kill one."""
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def completes(service: Worker) -> bool:
    """Tell whether a job can be done; the kernel may still be killing."""
    with suppress(httpx.TransportError):
        return bool(events(post(service).text)[-1]["type"] == "completed")
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a score")
def test_the_kernel_kills_a_job_first(start: Start, tmp_path: Path) -> None:
    """Processes for jobs are preferred to the supervisor and the acceptor, which are as they were started."""
    service, go_on = start(1), tmp_path / "go-on"
    with calling(service, ("wait_for", str(go_on))) as stream:
        until(stream, "analyzing")
        eventually(lambda: len(children(service.pid)) == 4)
        acceptor, *others = sorted(children(service.pid))
        own = score(os.getpid())
        assert score(service.pid) == score(acceptor) == own
        assert {score(child) for child in others} == {min(own + 500, 1000)}
        go_on.touch()
        until(stream, "completed")


def test_a_job_that_is_killed_for_memory_takes_no_other_with_it(
    cgroup: Cgroup, start: Start, tmp_path: Path
) -> None:
    """Its stream breaks and its folder is removed; the one beside it and the one in line go on."""
    service, pid, take, go_on = start(2), tmp_path / "pid", tmp_path / "take", tmp_path / "go-on"
    greedy = ("scratch", None), ("write_down", str(pid)), ("wait_for", str(take)), ("python", [TAKE_ALL, {}])
    with (
        calling(service, *greedy) as victim,
        calling(service, ("wait_for", str(go_on))) as other,
        calling(service) as waiting,
    ):
        until(other, "analyzing")
        until(waiting, "queued")
        cgroup.take_in(pid_of(pid))
        assert files_of_jobs(tmp_path)
        take.touch()
        until(waiting, "completed")
        with pytest.raises(httpx.RemoteProtocolError):
            until(victim, "completed")
        go_on.touch()
        until(other, "completed")
    assert cgroup.kills == 1
    assert any("signal 9" in line.get("message", "") for line in service.log_lines())
    eventually(lambda: not files_of_jobs(tmp_path))


def test_who_serves_survives_a_job_that_takes_all_memory(
    cgroup: Cgroup, start: Start, tmp_path: Path
) -> None:
    """Supervisor and acceptor are not killed, though they share the limit: the next request is answered."""
    service = start(1)
    eventually(lambda: len(children(service.pid)) == 3)
    acceptor, *_ = sorted(children(service.pid))
    for pid in (service.pid, *children(service.pid)):
        cgroup.take_in(pid)
    with calling(service, ("python", [TAKE_ALL, {}])) as victim, pytest.raises(httpx.RemoteProtocolError):
        until(victim, "completed")
    assert cgroup.kills
    eventually(lambda: completes(service))
    assert acceptor in children(service.pid)
    service.terminate()
    assert service.wait(10) == 0
    assert not list(tmp_path.glob("*github-worker-*"))
