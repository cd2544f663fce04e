"""One job that takes all the memory there is, beside jobs that take little."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.cgroup import Cgroup, Unavailable
from tests.supervisor.conftest import Start, calling, children, eventually, until
from tests.supervisor.test_ends import files_of_jobs

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


def test_a_job_that_takes_all_memory_is_killed_alone(cgroup: Cgroup, start: Start, tmp_path: Path) -> None:
    """Its stream breaks and its folder is removed; the one beside it and the one in line go on."""
    service, go_on, take = start(2), tmp_path / "go-on", tmp_path / "take"
    eventually(lambda: len(children(service.pid)) == 3)
    acceptor, *_ = sorted(children(service.pid))
    for pid in (service.pid, *children(service.pid)):
        cgroup.take_in(pid)
    greedy = ("scratch", None), ("wait_for", str(take)), ("python", [TAKE_ALL, {}])
    with (
        calling(service, *greedy) as victim,
        calling(service, ("wait_for", str(go_on))) as other,
        calling(service) as waiting,
    ):
        until(other, "analyzing")
        until(waiting, "queued")
        eventually(lambda: bool(files_of_jobs(tmp_path)))
        take.touch()
        until(waiting, "completed")
        with pytest.raises(httpx.RemoteProtocolError):
            until(victim, "completed")
        go_on.touch()
        until(other, "completed")
    assert cgroup.kills == 1
    assert any("signal 9" in line.get("message", "") for line in service.log_lines())
    assert acceptor in children(service.pid)
    eventually(lambda: not files_of_jobs(tmp_path))
    service.terminate()
    assert service.wait(5) == 0
    assert not list(tmp_path.glob("*github-worker-*"))
