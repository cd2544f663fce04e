"""Log lines: their shape, and what never stands in them."""

from __future__ import annotations

import json
import logging
import sys

from github_worker.logs import ConsoleFormatter, JsonFormatter
from github_worker.redaction import Secret
from tests.life.conftest import StartWorker, post


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
