"""Signals, deaths, and processes that cannot start."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from github_worker.supervisor import describe_risk
from tests.life.conftest import events, post
from tests.supervisor.conftest import Start, calling, children, eventually, is_gone, offer, status, until
from tests.support.worker import Worker


def pid_of(path: Path) -> int:
    """Return the process that has written itself down."""
    eventually(path.exists)
    return int(path.read_text())


def files_of_jobs(folder: Path) -> list[str]:
    """Return the files below a folder, which may change meanwhile, that a job has made."""
    return [name for _, _, names in os.walk(folder) for name in names if name == "file"]


def test_an_idle_service_ends_when_told(start: Start) -> None:
    """Without jobs there is nothing to wait for, and no process stays."""
    service = start(2)
    processes = children(service.pid)
    service.terminate()
    assert service.wait(5) == 0
    assert all(map(is_gone, processes))


def test_jobs_at_work_and_in_line_are_finished_when_told_to_end(start: Start, tmp_path: Path) -> None:
    """After SIGTERM who was admitted is served, who comes later gets a 503, and `/health` answers."""
    service, go_on = start(1), tmp_path / "go-on"
    with calling(service, ("wait_for", str(go_on))) as first, calling(service) as second:
        until(first, "analyzing")
        until(second, "queued")
        service.terminate()
        eventually(lambda: offer(service) == 503)
        assert post(service).json()["error"] == "shutting_down"
        health = httpx.get(f"{service.base_url}/health", trust_env=False)
        assert (health.status_code, health.json()["workerStatus"]) == (200, "draining")
        go_on.touch()
        until(first, "completed")
        until(second, "completed")
    assert service.wait(5) == 0
    messages = [line.get("message") for line in service.log_lines()]
    assert messages.count("draining: told to end by SIGTERM, after 1 jobs at work and 1 in line") == 1
    assert messages[-1] == "all jobs have ended"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    """Who insists is obeyed: no process stays, and the status says why."""
    service = start(1)
    with calling(service, ("refuse_to_end", 0.2), ("hold_gil", None)) as stream:
        until(stream, "analyzing")
        processes = children(service.pid)
        service.send(number)
        eventually(lambda: offer(service) == 503)
        service.send(number)
        assert service.wait(5) == 128 + number
    assert all(map(is_gone, processes))


def test_no_process_outlives_a_service_that_is_killed(start: Start, tmp_path: Path) -> None:
    """Neither the one that hangs in native code, nor those that wait."""
    service = start(1)
    with calling(service, ("refuse_to_end", 0.2), ("hold_gil", None)) as first, calling(service) as second:
        until(first, "analyzing")
        until(second, "queued")
        processes = children(service.pid)
        assert len(processes) >= 4
        service.kill()
        eventually(lambda: all(map(is_gone, processes)))


def test_a_job_that_is_killed_takes_no_other_with_it(start: Start, tmp_path: Path) -> None:
    """Its own stream breaks; the one beside it and the one in line go on."""
    service, pid, go_on = start(2), tmp_path / "pid", tmp_path / "go-on"
    steps = ("write_down", str(pid)), ("wait_for", str(go_on))
    with (
        calling(service, *steps) as victim,
        calling(service, ("wait_for", str(go_on))) as other,
        calling(service) as waiting,
    ):
        until(other, "analyzing")
        os.kill(pid_of(pid), signal.SIGKILL)
        until(waiting, "completed")
        with pytest.raises(httpx.RemoteProtocolError):
            until(victim, "completed")
        go_on.touch()
        until(other, "completed")
    assert any("signal 9" in line.get("message", "") for line in service.log_lines())


def test_an_acceptor_that_is_killed_takes_no_job_with_it(start: Start, tmp_path: Path) -> None:
    """Streams go on, the line stays, and requests are read again at once."""
    service, go_on = start(1), tmp_path / "go-on"
    oldest = min(children(service.pid))
    with calling(service, ("wait_for", str(go_on))) as first, calling(service) as second:
        until(first, "analyzing")
        until(second, "queued")
        os.kill(oldest, signal.SIGKILL)
        with calling(service) as third:
            assert until(third, "queued")["position"] == 2
            go_on.touch()
            for stream in (first, second, third):
                until(stream, "completed")


def test_what_a_killed_job_left_on_disk_is_removed(start: Start, tmp_path: Path) -> None:
    """Its folder is gone soon, without another job or an end of the service."""
    service, pid = start(1), tmp_path / "pid"
    steps = ("scratch", None), ("write_down", str(pid)), ("wait_for", str(tmp_path / "never"))
    with calling(service, *steps) as stream:
        until(stream, "process")
        assert files_of_jobs(tmp_path)
        os.kill(pid_of(pid), signal.SIGKILL)
        eventually(lambda: not files_of_jobs(tmp_path))
    service.terminate()
    assert service.wait(5) == 0
    assert not list(tmp_path.glob("*github-worker-*"))


def test_a_job_whose_process_is_stopped_past_its_deadline_is_killed(start: Start, tmp_path: Path) -> None:
    """Its own watchdog cannot act then; its stream breaks, and the one in line has its turn."""
    limits = {"grace": 0.1, "linger": 0.1, "overdue": 0.2}
    service, pid = start(1, limits, JOB_TIMEOUT="1"), tmp_path / "pid"
    steps = ("write_down", str(pid)), ("wait_for", str(tmp_path / "never"))
    with calling(service, *steps) as stream, calling(service) as waiting:
        until(stream, "process")
        until(waiting, "queued")
        os.kill(pid_of(pid), signal.SIGSTOP)
        until(waiting, "completed")
        with pytest.raises(httpx.RemoteProtocolError):
            until(stream, "completed")
    assert any("signal 9" in line.get("message", "") for line in service.log_lines())


def test_processes_that_cannot_start_are_no_storm(start: Start, tmp_path: Path) -> None:
    """They are tried ever more rarely, `/health` says so, and all is well once they can."""
    service = start(1)
    (tmp_path / "refuse").touch()
    url = f"{service.base_url}/health"
    eventually(lambda: offer(service) == 429)  # those that had started are used up
    assert httpx.get(url, trust_env=False).status_code == 503
    assert httpx.get(url, trust_env=False).json()["status"] == "failing"
    time.sleep(1)
    assert 3 <= sum("could not start" in line.get("message", "") for line in service.log_lines()) < 12
    (tmp_path / "refuse").unlink()
    eventually(lambda: httpx.get(url, trust_env=False).status_code == 200)
    assert events(post(service).text)[-1]["type"] == "completed"


def test_wrong_settings_stop_the_start(tmp_path: Path) -> None:
    """What only a job's process finds out ends the service as it ends a single worker."""
    env = {
        "TMP_DIR": str(tmp_path),
        "WORKERS": "2",
        "STORAGE_URL": "s3://bucket",
        "AWS_CONDITIONAL_PUT": "so so",
    }
    with Worker(env, tmp_path / "worker.log") as service:
        assert service.wait(30) == 2


@pytest.mark.parametrize(("platform", "is_told"), [("linux", False), ("darwin", True)])
def test_a_start_tells_what_is_not_known_of_forks(platform: str, is_told: bool) -> None:
    """Elsewhere than on Linux the system's own libraries may refuse to work in a process that was forked."""
    assert ("serve without" in (describe_risk(platform) or "")) == is_told


def test_the_supervisor_has_one_thread_and_keeps_no_descriptor(start: Start, tmp_path: Path) -> None:
    """A fork of more threads would be broken; what is kept for each job would run out."""
    service = start(2)
    tasks, descriptors = (Path(f"/proc/{service.pid}/{kind}") for kind in ("task", "fd"))
    before = len(list(descriptors.iterdir()))
    for _ in range(10):
        post(service)
    eventually(lambda: status(service)["workers"]["busy"] == 0)
    eventually(lambda: len(children(service.pid)) == 3)
    assert len(list(tasks.iterdir())) == 1
    eventually(lambda: len(list(descriptors.iterdir())) <= before)
