"""Log lines: their shape, and what never stands in them."""

from __future__ import annotations

import json
import logging
import socket
import sys
from typing import Any

import httpx
import pytest

from github_worker.logs import ConsoleFormatter, JsonFormatter
from github_worker.redaction import Secret
from tests.conftest import WRITE_TOKEN
from tests.life.conftest import StartWorker, events, job, post
from tests.support.git_server import GitServer
from tests.support.sessions import SessionFolder, metadata, pack
from tests.support.worker import RestartLoop, Worker, log_lines


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    """Return a record as `extra={"fields": …}` makes it, with the exception that is being handled."""
    handled = sys.exc_info() if sys.exc_info()[0] else None
    made = logging.LogRecord("a.b", logging.WARNING, __file__, 1, message, arguments, handled)
    made.fields = fields
    return made


def test_a_line_is_json_with_the_fields_of_the_record() -> None:
    """Message, level and fields are one object; fields without a value are left out."""
    line = json.loads(JsonFormatter().format(record("it is %s", "so", sessionId="s1", requestId=None)))
    del line["timestamp"]
    assert line == {"level": "warning", "logger": "a.b", "message": "it is so", "sessionId": "s1"}


def test_secrets_are_masked_wherever_they_stand() -> None:
    """Arguments, fields and exceptions are scrubbed, even of a secret that JSON writes in another way."""
    secret = Secret('quo"ted-secret-é')
    try:
        raise ValueError(secret.reveal())
    except ValueError:
        made = record("with %s", secret.reveal(), url=f"https://host/?t={secret.reveal()}")
    for formatter in (JsonFormatter(), ConsoleFormatter()):
        line = formatter.format(made)
        assert "ted-secret" not in line
        assert line.count("***") == 3


def test_a_jobs_secrets_are_masked_to_its_end(start: StartWorker) -> None:
    """Every token inside of the request's credentials too, although no step of the job asked for it."""
    worker = start()
    tokens = {"accessToken": "access-0123456789", "refreshToken": "refresh-0123456789"}
    answer = post(worker, ("fail", ["internal", f"told {tokens}", {}]), claudeCredentials=tokens)
    worker.wait()
    for told in (answer.text, str(worker.log_lines())):
        assert "told" in told
        assert "0123456789" not in told


def test_a_line_for_people_shows_the_fields() -> None:
    """On a console the fields follow the message."""
    line = ConsoleFormatter().format(record("listening", address="http://[::1]:1"))
    assert line.endswith("WARNING listening address=http://[::1]:1")


def test_an_exception_of_a_thread_is_logged(start: StartWorker) -> None:
    """What nobody catches goes the way of all lines."""
    worker = start()
    post(worker, ("crash_thread", ""))
    worker.wait()
    [line] = [line for line in worker.log_lines() if "exception" in line]
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_the_start_is_one_line(start: StartWorker) -> None:
    """An operator sees the version, the address, where sessions are kept, and what is wrong with that."""
    worker = start(STORAGE_URL="")
    [line] = worker.log_lines()
    assert line["message"] == "listening"
    assert line["address"] == worker.base_url
    assert line["store"] == "folder"
    assert "no session store is configured" in line["warning"]


def test_every_line_of_a_job_says_which_one_it_is(start: StartWorker) -> None:
    """Lines of libraries and threads too: where it runs, for whom, on what, and in which trace."""
    worker = start()
    post(worker, ("crash_thread", ""), ("crash", ""), requestId="r1")
    worker.wait()
    lines = worker.log_lines()[1:]
    messages = {"job admitted", "uncaught exception", "job failed unexpectedly", "job ended"}
    assert {line["message"] for line in lines} == messages
    identity = {"operation": "commit-and-push", "sessionId": "s1", "requestId": "r1"}
    for line in lines:
        assert identity.items() <= line.items()
        assert line["container"] == socket.gethostname()
        assert "traceId" not in line


@pytest.mark.parametrize(
    ("traceparent", "ids"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", ("a" * 32, "b" * 16)),
        (f"01-{'a' * 32}-{'b' * 16}-01-more", ("a" * 32, "b" * 16)),
        (f"00-{'0' * 32}-{'b' * 16}-01", (None, None)),
        (f"00-{'a' * 32}-{'b' * 16}-01-more", (None, None)),
        (f"ff-{'a' * 32}-{'b' * 16}-01", (None, None)),
        ("rubbish", (None, None)),
    ],
)
def test_a_callers_trace_is_named(
    start: StartWorker, traceparent: str, ids: tuple[str | None, str | None]
) -> None:
    """Who has the caller's trace finds the job's lines; a header that names none is passed over."""
    worker = start()
    url = f"{worker.base_url}/commit-and-push"
    httpx.post(url, json=job(), headers={"traceparent": traceparent}, trust_env=False, timeout=30)
    worker.wait()
    for line in worker.log_lines()[1:]:
        assert (line.get("traceId"), line.get("spanId")) == ids


@pytest.mark.parametrize(
    ("step", "code", "level"),
    [
        (("count", 1), "completed", "info"),
        (("fail", ["push_rejected", "no", {}]), "push_rejected", "warning"),
        (("crash", "oh"), "internal", "error"),
    ],
)
def test_the_level_says_whose_matter_an_outcome_is(
    start: StartWorker, step: tuple[str, Any], code: str, level: str
) -> None:
    """A failed job is a warning, a bug of the worker's an error; both name their code and stage's times."""
    worker = start()
    post(worker, step)
    worker.wait()
    ended = worker.log_lines()[-1]
    assert (ended["message"], ended["code"], ended["level"]) == ("job ended", code, level)
    assert isinstance(ended["timingsMs"]["analyzing"], int)


def test_a_request_without_an_id_is_given_one(start: StartWorker) -> None:
    """The first event and a header tell it, so that a caller can name it to an operator, or ask again."""
    worker = start()
    answer = post(worker, ("count", 1))
    worker.wait()
    first, *others = events(answer.text)
    assert first["requestId"] == answer.headers["X-Request-ID"]
    assert {line["requestId"] for line in worker.log_lines()[1:]} == {first["requestId"]}
    assert not [event for event in others if "requestId" in event]


def test_a_callers_own_id_is_kept(start: StartWorker) -> None:
    """It comes back as it was sent."""
    answer = post(start(), requestId="r1")
    assert (events(answer.text)[0]["requestId"], answer.headers["X-Request-ID"]) == ("r1", "r1")


def test_a_jobs_lines_say_where_it_worked(restart_loop: RestartLoop, git_server: GitServer) -> None:
    """The repository and the branch come from the request, the session, or the outcome."""
    origin = git_server.seed("octo", "demo")
    session = {"sessionId": "s-12345678", "githubAccessToken": WRITE_TOKEN}
    begin = {**session, "repoUrl": origin.url, "userRequest": "Add a mode"}
    branches: list[str] = []
    for operation, body in ("init-session", begin), ("commit-and-push", session):
        url = f"{restart_loop.base_url}/{operation}"
        restart_loop.wait_until_healthy()
        answer = httpx.post(url, json=body, trust_env=False, timeout=30)
        restart_loop.wait_until_ended(len(branches) + 1)
        ended = log_lines(restart_loop.ended[-1].log)[-1]
        assert (ended["message"], ended["repository"]) == ("job ended", "octo/demo"), answer.text
        branches.append(ended["branch"])
    assert branches[0] == branches[1] == events(answer.text)[-1]["branch"]


def test_a_session_that_says_nonsense_of_its_repository_gives_no_name(
    worker: Worker, sessions: SessionFolder
) -> None:
    """What a stranger wrote into a session is no repository unless it looks like one."""
    github = {"repoUrl": "x", "baseBranch": "m", "clonedPath": "x"}
    sessions.put("s-1", pack(metadata("s-1", branch="b" * 1000, github=github)))
    body = {"sessionId": "s-1", "githubAccessToken": WRITE_TOKEN}
    httpx.post(f"{worker.base_url}/commit-and-push", json=body, trust_env=False, timeout=30)
    worker.wait()
    ended = worker.log_lines()[-1]
    assert ended["level"] == "warning"
    assert "repository" not in ended
    assert len(ended["branch"]) == 300
