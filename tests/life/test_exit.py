"""One job and the end: who is turned away meanwhile, and what ends the process."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.life.conftest import StartWorker, events, job, post
from tests.support.worker import Worker


@contextmanager
def running(worker: Worker, *steps: tuple[str, Any]) -> Iterator[httpx.Response]:
    """Start a job and yield its stream once its first bytes are there."""
    url = f"{worker.base_url}/commit-and-push"
    with httpx.stream("POST", url, json=job(*steps), trust_env=False, timeout=30) as answer:
        yield answer


@pytest.mark.parametrize("step", [("count", 1), ("fail", ["push_rejected", "no", {}]), ("crash", "oh")])
def test_the_worker_exits_when_its_stream_is_out(start: StartWorker, step: tuple[str, Any]) -> None:
    """Whatever became of the job, the worker did its work: one terminal event, one end, status 0."""
    worker = start()
    answer = post(worker, step)
    assert worker.wait(5) == 0
    terminal = [event["type"] for event in events(answer.text) if event["type"] in {"completed", "error"}]
    assert len(terminal) == 1
    assert events(answer.text)[-1]["type"] == terminal[0]


def test_a_second_job_is_turned_away(start: StartWorker, tmp_path: Path) -> None:
    """While a job runs, another gets a 429 that says when to come again, whatever its body."""
    worker = start()
    with running(worker, ("wait_for", str(tmp_path / "go-on"))) as first:
        second = httpx.post(f"{worker.base_url}/create-branch", content=b"{", trust_env=False)
        assert (second.status_code, second.json()["error"]) == (429, "busy")
        assert second.headers["Retry-After"] == str(second.json()["retryAfter"])
        assert second.headers["X-Container-ID"] == second.json()["containerId"]
        status = httpx.get(f"{worker.base_url}/status", trust_env=False).json()
        assert (status["status"], status["activeOperation"]) == ("busy", "commit-and-push")
        assert httpx.get(f"{worker.base_url}/health", trust_env=False).json()["workerStatus"] == "busy"
        (tmp_path / "go-on").touch()
        assert events(first.read().decode())[-1]["type"] == "completed"


def test_a_job_outlives_its_client(start: StartWorker, tmp_path: Path) -> None:
    """A client that disconnects loses the stream; the job is done all the same, then the worker exits."""
    worker = start()
    done = tmp_path / "done"
    with running(worker, ("wait_for", str(tmp_path / "go-on")), ("mark", str(done))):
        pass
    assert worker.exit_status is None
    (tmp_path / "go-on").touch()
    assert worker.wait(5) == 0
    assert done.exists()


def test_a_client_that_does_not_read_keeps_no_worker(start: StartWorker) -> None:
    """A client that holds its connection without reading is left behind after a while."""
    worker = start({"linger": 0.2})
    body = httpx.Request("POST", worker.base_url, json=job(("flood", 20_000))).content
    with socket.create_connection(("127.0.0.1", worker.port)) as connection:
        connection.sendall(
            b"POST /commit-and-push HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        connection.sendall(body)
        assert worker.wait(10) == 0


def test_an_idle_connection_keeps_no_worker(start: StartWorker) -> None:
    """A connection without a request, or in the middle of one, does not delay the end."""
    worker = start()
    with socket.create_connection(("127.0.0.1", worker.port)) as slow:
        slow.sendall(b"POST /commit-and-push HTTP/1.1\r\nHost: w\r\nContent-Length: 5\r\n\r\n{")
        post(worker)
        assert worker.wait(2) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_exits_when_told(start: StartWorker, number: signal.Signals) -> None:
    """Without a job there is nothing to wait for."""
    worker = start()
    worker.send(number)
    assert worker.wait(2) == 0


def test_a_running_job_is_finished_when_told_to_exit(start: StartWorker, tmp_path: Path) -> None:
    """After SIGTERM the job and its stream are completed; new jobs get a 503 meanwhile."""
    worker = start()
    with running(worker, ("wait_for", str(tmp_path / "go-on"))) as first:
        worker.terminate()
        refused = until_refused(worker)
        assert (refused.status_code, refused.json()["error"]) == (503, "shutting_down")
        assert refused.headers["Retry-After"] == str(refused.json()["retryAfter"])
        health = httpx.get(f"{worker.base_url}/health", trust_env=False).json()
        assert (health["workerStatus"], health["tmpDir"]) == ("draining", str(tmp_path))
        [line] = [line for line in worker.log_lines() if line.get("signal")]
        assert line["message"] == "draining: told to end by SIGTERM, after its job"
        assert line["requestId"]
        (tmp_path / "go-on").touch()
        assert events(first.read().decode())[-1]["type"] == "completed"
    assert worker.wait(5) == 0


def until_refused(worker: Worker) -> httpx.Response:
    """Knock until the worker has seen its signal."""
    deadline = time.monotonic() + 5
    while True:
        answer = httpx.post(f"{worker.base_url}/commit-and-push", json=job(), trust_env=False)
        if answer.status_code != 429 or time.monotonic() > deadline:
            return answer


def test_a_second_interrupt_ends_a_running_job(start: StartWorker, tmp_path: Path) -> None:
    """A person at a terminal who insists is obeyed, and the status says so."""
    worker = start()
    with running(worker, ("wait_for", str(tmp_path / "never"))):
        worker.send(signal.SIGINT)
        assert until_refused(worker).status_code == 503
        worker.send(signal.SIGINT)
        assert worker.wait(2) == 128 + signal.SIGINT


def test_a_deadline_holds_when_a_thread_never_ends(start: StartWorker, tmp_path: Path) -> None:
    """Past its deadline a job ends with `timeout` and the worker with status 0, whatever a thread does."""
    leftover = tmp_path / "leftover"
    worker = start(JOB_TIMEOUT="0.3")
    *_, error = events(post(worker, ("leave", str(leftover)), ("block_thread", None)).text)
    assert (error["type"], error["code"], error["retryable"]) == ("error", "timeout", True)
    assert worker.wait(2) == 0
    assert not leftover.exists()


def test_a_deadline_holds_when_a_job_will_not_unwind(start: StartWorker) -> None:
    """A job that swallows its cancellation is not waited for, and nothing follows the terminal event."""
    worker = start({"grace": 0.2}, JOB_TIMEOUT="0.3")
    came = events(post(worker, ("refuse_to_end", 60)).text)
    assert [event["type"] for event in came] == ["progress", "error"]
    assert worker.wait(2) == 0


def test_a_deadline_holds_when_native_code_keeps_the_interpreter(start: StartWorker) -> None:
    """No Python runs then, so the stream is cut; the process ends and tells where it hung, not with what."""
    worker = start({"grace": 0.1, "linger": 0.1}, JOB_TIMEOUT="0.5")
    with pytest.raises(httpx.RemoteProtocolError):
        post(worker, ("hold_gil", None))
    assert worker.wait(10) == 1
    assert "Thread 0x" in worker.log.read_text()
    assert "git-token" not in worker.log.read_text()
