"""Refusals as lines of the log: what they say, and how many there are."""

from __future__ import annotations

import logging

import httpx
import pytest

from github_worker.errors import Busy, InvalidRequest, Unauthorized
from github_worker.web.refusals import Refusals
from tests.life.conftest import StartWorker, job
from tests.support.worker import Worker

SECRET = "git-token-0123456789"


def refusals(worker: Worker) -> list[dict[str, object]]:
    """Return what the worker logged of those whom it refused."""
    names = ("level", "code", "status", "endpoint", "address", "field")
    lines = [line for line in worker.log_lines() if line.get("message") == "refused"]
    return [{name: line[name] for name in names if name in line} for line in lines]


def test_a_line_says_who_was_refused_and_why(start: StartWorker) -> None:
    """Of a wrong body it names the field and not its value, which may be a token in the wrong place."""
    worker = start(GITHUB_WORKER_TOKEN="caller-token-0123456789")
    url = f"{worker.base_url}/commit-and-push"
    httpx.post(url, json=job(), trust_env=False)
    headers = {"Authorization": "Bearer caller-token-0123456789"}
    httpx.post(url, json=job(sessionId=f"no {SECRET}"), headers=headers, trust_env=False)
    httpx.get(f"{worker.base_url}/nowhere", trust_env=False)
    where = {"endpoint": "POST /commit-and-push", "address": "127.0.0.1"}
    assert refusals(worker) == [
        {"level": "warning", "code": "unauthorized", "status": 401, **where},
        {"level": "info", "code": "invalid_request", "status": 400, **where, "field": "sessionId"},
        {"level": "info", "code": "not_found", "status": 404, **where, "endpoint": "GET /nowhere"},
    ]
    assert SECRET not in worker.log.read_text()


@pytest.mark.parametrize("workers", ["", "1"])
def test_no_process_logs_what_it_rehearses(start: StartWorker, workers: str) -> None:
    """Only callers are refused, and each once, whichever process answers."""
    worker = start(WORKERS=workers, GITHUB_WORKER_TOKEN="caller-token-0123456789")
    httpx.post(f"{worker.base_url}/commit-and-push", json=job(), trust_env=False)
    assert [line["code"] for line in refusals(worker)] == ["unauthorized"]


def test_a_flood_is_counted_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A few lines of each code come at once, then one at each interval, which says how many it stands for."""
    now = [0.0]
    noted = Refusals(clock=lambda: now[0])
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            noted.note(Unauthorized("who?"), "POST /x", "192.0.2.1")
        noted.note(Busy("no"), "POST /x", "192.0.2.1")
        now[0] = 10.0
        noted.note(Unauthorized("who?"), "POST /x", "192.0.2.1")
        noted.note(Unauthorized("who?"), "POST /x", "192.0.2.1")
    said = [(line.fields["code"], line.fields["unlogged"]) for line in caplog.records]  # type: ignore[attr-defined]
    assert said == [("unauthorized", None)] * 5 + [("busy", None), ("unauthorized", 995)]
    assert noted.take() == {"unauthorized": 1002, "busy": 1}


def test_a_field_is_named_only_where_it_is_short(caplog: pytest.LogCaptureFixture) -> None:
    """A name is the caller's text too."""
    with caplog.at_level(logging.INFO):
        Refusals().note(InvalidRequest(f"`{'x' * 65}` is no field"), "POST /x", "192.0.2.1")
    assert caplog.records[0].fields["field"] is None  # type: ignore[attr-defined]
