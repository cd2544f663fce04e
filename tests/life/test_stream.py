"""What comes over the stream of a job, byte by byte."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx
from starlette.types import Message

from github_worker.contract import CommitAndPush, decode_request
from github_worker.jobs import Job
from github_worker.web.stream import JobStream
from tests.life.conftest import StartWorker, events, job, post

TIMESTAMP = rb'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"'


def test_the_stream_is_plain_data_lines(start: StartWorker) -> None:
    """Every event is one `data:` line and an empty one, and the headers keep proxies from holding it."""
    answer = post(start())
    data = (
        rb'\{"commitHash":"0{40}","commitMessage":"Say \xc2\xabhi\xc2\xbb","branch":"main","pushed":true,'
        rb'"filesChanged":1,"insertions":2,"deletions":3'
    )
    expected = (
        rb'data: \{"type":"progress","source":"github-worker",%(t)s,"requestId":"job-[0-9a-f]{32}",'
        rb'"stage":"analyzing",'
        rb'"message":"Looking"\}\n\n'
        rb'data: %(d)s,"type":"completed","source":"github-worker",%(t)s,"data":%(d)s\},'
        rb'"timings":\{"analyzing":\d+\}\}\n\n'
    ) % {b"t": TIMESTAMP, b"d": data}
    assert re.fullmatch(expected, answer.content)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["Connection"] == "close"


def test_events_of_every_thread_come_in_order(start: StartWorker) -> None:
    """What a thread reports and what the loop reports after it keep their order."""
    answer = post(start(), ("count", 500))
    numbers = [int(event["message"]) for event in events(answer.text) if event["type"] == "warning"]
    assert numbers == list(range(501))


def test_a_long_stream_arrives_whole(start: StartWorker) -> None:
    """The process does not leave before its client has the last byte, however much there is."""
    came = events(post(start(), ("flood", 20_000)).text)
    assert (len(came), came[-1]["type"]) == (20_002, "completed")


def test_a_job_that_fails_says_why(start: StartWorker) -> None:
    """The error carries its code, the stage, whether to retry, what was achieved, and no secret."""
    failure = [
        "remote_unavailable",
        "cannot reach https://me:pw@host with git-token-0123456789",
        {"sha": "a"},
    ]
    *_, error = events(post(start(), ("fail", failure)).text)
    del error["timestamp"]
    assert error == {
        "type": "error",
        "source": "github-worker",
        "error": "cannot reach https://***@host with ***",
        "code": "remote_unavailable",
        "stage": "analyzing",
        "retryable": True,
        "data": {"sha": "a"},
    }


def test_a_job_that_breaks_tells_its_details_to_the_log_alone(start: StartWorker) -> None:
    """What nobody foresaw is `internal` for the client; the log has the traceback without secrets."""
    worker = start()
    *_, error = events(post(worker, ("crash", "odd thing with git-token-0123456789")).text)
    assert (error["code"], error["retryable"]) == ("internal", True)
    assert "odd" not in error["error"]
    [logged] = [line for line in worker.log_lines() if "exception" in line]
    assert logged["exception"].endswith("RuntimeError: odd thing with ***")


def test_a_job_that_ends_cancelled_has_failed(start: StartWorker) -> None:
    """A cancellation that nobody asked for is a failure like another."""
    *_, error = events(post(start(), ("cancel", None)).text)
    assert error["code"] == "internal"


def test_cleaning_up_comes_after_the_outcome_and_before_the_end(start: StartWorker, tmp_path: Path) -> None:
    """A client has its outcome first; when the stream has ended, nothing is left."""
    leftover = tmp_path / "leftover"
    worker = start()
    body = job(("leave", str(leftover)))
    with httpx.stream("POST", f"{worker.base_url}/commit-and-push", json=body, trust_env=False) as answer:
        text = answer.read().decode()
        assert not leftover.exists()
    assert events(text)[-1]["type"] == "completed"


def test_a_cleanup_that_fails_changes_no_outcome(start: StartWorker, tmp_path: Path) -> None:
    """The job is done; what could not be removed is for the operator."""
    worker = start()
    answer = post(worker, ("leave_nothing", str(tmp_path / "missing")))
    assert events(answer.text)[-1]["type"] == "completed"
    assert worker.wait() == 0
    assert "cleanup failed" in [line["message"] for line in worker.log_lines()]


def test_comments_keep_a_quiet_stream_awake(start: StartWorker, tmp_path: Path) -> None:
    """While nothing happens, a comment line comes at every interval."""
    go_on = tmp_path / "go-on"
    worker = start({"ping": 0.02})
    body = job(("wait_for", str(go_on)))
    with httpx.stream("POST", f"{worker.base_url}/commit-and-push", json=body, trust_env=False) as answer:
        comments = 0
        for line in answer.iter_lines():
            comments += line.startswith(": ")
            if comments == 3:
                go_on.touch()
    assert comments >= 3


def test_a_job_is_logged_without_its_secrets(start: StartWorker) -> None:
    """One line when it is admitted and one when it has ended, with what a person would look for."""
    worker = start()
    post(worker, requestId="r1")
    worker.wait()
    admitted, ended = (line for line in worker.log_lines() if line["logger"] == "github_worker.jobs")
    identity = {"operation": "commit-and-push", "sessionId": "s1", "requestId": "r1"}
    assert (admitted["message"], ended["message"], ended["code"]) == (
        "job admitted",
        "job ended",
        "completed",
    )
    assert identity.items() <= admitted.items()
    assert identity.items() <= ended.items()
    assert isinstance(ended["timingsMs"]["analyzing"], int)
    assert "git-token" not in json.dumps(worker.log_lines())


async def test_comments_come_before_the_first_event_too() -> None:
    """A job may wait for its worker's imports, and a proxy must not take that for silence."""
    request = json.dumps(job()).encode()
    late = Job(decode_request(CommitAndPush, request))
    sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(message: Message) -> None:
        await sent.put(message.get("body", b""))

    scope = {"type": "http", "method": "POST"}
    stream = asyncio.create_task(JobStream(late, ping=0.01)(scope, asyncio.Future[Message], send))
    async with asyncio.timeout(5):
        assert [await sent.get(), (await sent.get())[:6]] == [b"", b": ping"]
    late.close()
    await stream
