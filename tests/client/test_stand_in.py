"""The stand-in worker, as callers' tests see it."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from github_worker.contract import AnyEvent, decode_event
from github_worker.progress import Report
from github_worker_client import Completed, Progress
from github_worker_client.testing import (
    Refusal,
    StandInWorker,
    busy,
    completed,
    hangs,
    progress,
    queued,
    shutting_down,
)
from tests.client.test_client import COMMITTED

BODY = {"sessionId": "s1", "githubAccessToken": "t"}


def _post(worker: StandInWorker, operation: str, body: object, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{worker.base_url}/{operation}", json=body, headers=headers, trust_env=False)


def test_a_synchronous_test_can_use_it() -> None:
    """The stream is what a real worker would send, byte for byte of the framing."""
    with StandInWorker() as worker:
        answer = _post(worker, "commit-and-push", BODY)
    assert answer.headers["Content-Type"] == "text/event-stream"
    lines = answer.text.split("\n\n")
    assert lines.pop() == ""
    events = [decode_event(line.removeprefix("data: ")) for line in lines]
    assert isinstance(events[0], Progress)
    assert isinstance(events[-1], Completed)


def test_what_a_worker_would_refuse_is_refused() -> None:
    """A caller's test finds its wrong requests."""
    with StandInWorker(token="bearer") as worker:
        assert _post(worker, "commit-and-push", BODY).status_code == 401
        assert "githubAccessToken" in _post(worker, "commit-and-push", {"sessionId": "s1"}, "bearer").text
        assert _post(worker, "commit", BODY, "bearer").status_code == 404
        assert _post(worker, "commit-and-push", BODY, "bearer").status_code == 200
    assert [request.body for request in worker.requests] == [BODY]


@pytest.mark.parametrize(
    ("refusal", "status", "code", "hint"),
    [
        (busy(retry_after=3), 429, "busy", 3),
        (busy(), 429, "busy", 1),
        (shutting_down(retry_after=3), 503, "shutting_down", 3),
        (shutting_down(), 503, "shutting_down", 1),
    ],
)
def test_a_worker_that_cannot_says_so_as_the_contract_has_it(
    refusal: Refusal, status: int, code: str, hint: int
) -> None:
    """Status, header and body."""
    with StandInWorker(refusal) as worker:
        answer = _post(worker, "commit-and-push", BODY)
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, str(hint))
    assert (answer.json()["error"], answer.json()["retryAfter"]) == (code, hint)


def test_jobs_can_wait_in_line() -> None:
    """Each is told its place until it is the next, in a worker's own words, and then goes well."""
    told: list[AnyEvent] = []
    Report(told.append).queued(2)
    with StandInWorker(line=2) as worker:
        lines = _post(worker, "commit-and-push", BODY).text.splitlines()
    waiting, following, *_, last = (decode_event(line[6:]) for line in lines if line)
    for event in (waiting, queued(2)):
        assert msgspec.structs.replace(event, timestamp="") == msgspec.structs.replace(told[0], timestamp="")
    assert isinstance(following, Progress)
    assert (following.stage, following.position) == ("queued", 1)
    assert isinstance(last, Completed)


def test_it_can_be_unreachable_for_a_while() -> None:
    """Connections are refused, and taken again on the same address."""
    with StandInWorker() as worker:
        with worker.unreachable(), pytest.raises(httpx.ConnectError):
            _post(worker, "commit-and-push", BODY)
        assert _post(worker, "commit-and-push", BODY).status_code == 200


def test_closing_it_ends_what_hangs() -> None:
    """A test that fails is not kept from ending."""
    timeout = httpx.Timeout(10.0, read=0.05)
    with StandInWorker(hangs(progress("analyzing"))) as worker, pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{worker.base_url}/commit-and-push", json=BODY, timeout=timeout, trust_env=False)


def test_a_completed_event_holds_the_result_twice() -> None:
    """Spread at the top level and under `data`, as a real one."""
    with StandInWorker() as worker:
        worker.play()
        text = _post(worker, "commit-and-push", BODY).text
    [last] = [line for line in text.splitlines() if '"completed"' in line]
    assert last.count('"commitHash"') == 2
    assert completed(COMMITTED).data["commitHash"] == COMMITTED.commit_hash


@pytest.mark.parametrize(
    ("options", "step", "stage"),
    [
        ({}, "branch_deleted", "deleting_branch"),
        ({"deleteBranch": False}, "pr_merged", "pr_merged"),
        ({"autoMerge": True}, "auto_merge_enabled", "merging_pr"),
    ],
)
def test_a_pull_request_ends_as_it_is_asked_for(options: dict[str, bool], step: str, stage: str) -> None:
    """What is left to the forge is not merged, and a branch that is to stay is not deleted."""
    body = {"owner": "o", "repo": "r", "branch": "b", "base": "main", "githubAccessToken": "t"}
    with StandInWorker() as worker:
        answer = _post(worker, "auto-pull-request", body | options)
    events = [decode_event(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    done = events[-1]
    assert isinstance(done, Completed)
    assert (done.data["step"], done.data["mergePr"]["merged"]) == (step, step != "auto_merge_enabled")
    assert [event.stage for event in events if isinstance(event, Progress)][-1] == stage
