"""Who works, who waits, and who is turned away."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.life.conftest import events, post
from tests.supervisor.conftest import Start, calling, eventually, status, until


def test_every_job_has_a_process_of_its_own_that_cannot_listen(start: Start, tmp_path: Path) -> None:
    """No two jobs meet in one process, and none could take the requests of others."""
    service, pids = start(2), tmp_path / "pids"
    for _ in range(5):
        answer = events(post(service, ("write_down", str(pids))).text)
        [process] = [event["message"] for event in answer if event["type"] == "warning"]
        assert process.endswith(" []")
    assert len(set(pids.read_text().split())) == 5
    assert service.exit_status is None


def test_jobs_begin_in_the_order_of_arrival(start: Start, tmp_path: Path) -> None:
    """Who waits is told its place, again when that changes, and its turn comes when it came."""
    service, go_on = start(1), tmp_path / "go-on"
    with ExitStack() as stack:
        first = stack.enter_context(calling(service, ("wait_for", str(go_on))))
        until(first, "analyzing")
        waiting = []
        for place in range(1, 4):
            steps = [("mark", str(tmp_path / str(place))), ("wait_for", str(tmp_path / f"go-on-{place}"))]
            waiting.append(stack.enter_context(calling(service, *steps)))
            assert until(waiting[-1], "queued")["position"] == place
        assert status(service)["workers"] == {"limit": 1, "busy": 1, "queued": 3}
        assert "activeOperation" not in status(service)
        go_on.touch()
        assert until(first, "completed")["data"]["pushed"]
        assert next(waiting[0])["stage"] == "analyzing"
        assert [next(waiting[place])["position"] for place in (1, 2)] == [1, 2]
        assert [(tmp_path / str(place)).exists() for place in (1, 2, 3)] == [True, False, False]
        for place, stream in enumerate(waiting, 1):
            (tmp_path / f"go-on-{place}").touch()
            until(stream, "completed")
    eventually(lambda: status(service)["workers"] == {"limit": 1, "busy": 0, "queued": 0})
    assert status(service)["status"] == "idle"


def test_a_place_is_told_at_most_once_a_second(start: Start, tmp_path: Path) -> None:
    """Where jobs are short a caller is not flooded."""
    service, go_on = start(1), tmp_path / "go-on"
    with ExitStack() as stack:
        first = stack.enter_context(calling(service, ("wait_for", str(go_on))))
        until(first, "analyzing")
        short = [stack.enter_context(calling(service)) for _ in range(4)]
        assert {until(stream, "queued")["position"] for stream in short} == {1, 2, 3, 4}
        last = stack.enter_context(calling(service))
        assert until(last, "queued")["position"] == 5
        go_on.touch()
        began = time.monotonic()
        places = [event["position"] for event in last if event.get("stage") == "queued"]
        assert len(places) <= time.monotonic() - began + 1


def test_a_caller_beyond_the_line_is_turned_away(start: Start, tmp_path: Path) -> None:
    """The line has an end, at exactly as many as were allowed."""
    service, go_on = start(1, QUEUE="2"), tmp_path / "go-on"
    with ExitStack() as stack:
        streams = [stack.enter_context(calling(service, ("wait_for", str(go_on)))) for _ in range(3)]
        for stream, stage in zip(streams, ("analyzing", "queued", "queued"), strict=True):
            until(stream, stage)
        refused = post(service)
        assert (refused.status_code, refused.json()["error"]) == (429, "busy")
        assert refused.headers["Retry-After"] == str(refused.json()["retryAfter"])
        go_on.touch()
    assert post(service).status_code == 200


def test_without_a_line_only_workers_count(start: Start, tmp_path: Path) -> None:
    """A queue of 0 is none."""
    service = start(2, QUEUE="0")
    with ExitStack() as stack:
        steps = ("wait_for", str(tmp_path / "go-on"))
        streams = [stack.enter_context(calling(service, steps)) for _ in range(2)]
        for stream in streams:
            until(stream, "analyzing")
        assert post(service).status_code == 429
        (tmp_path / "go-on").touch()


def test_a_caller_that_leaves_the_line_gives_its_place_up(start: Start, tmp_path: Path) -> None:
    """Nothing of its job was begun, and nothing will be."""
    service, go_on, begun = start(1), tmp_path / "go-on", tmp_path / "begun"
    with calling(service, ("wait_for", str(go_on))) as first:
        until(first, "analyzing")
        with calling(service, ("mark", str(begun))) as impatient:
            until(impatient, "queued")
        with calling(service) as patient:
            assert until(patient, "queued")["position"] in {1, 2}
            eventually(lambda: status(service)["workers"]["queued"] == 1)
            go_on.touch()
            until(patient, "completed")
    assert not begun.exists()


def test_waiting_is_not_part_of_a_job_s_time(start: Start, tmp_path: Path) -> None:
    """The deadline of a job begins with its turn."""
    service = start(1, JOB_TIMEOUT="2")
    steps = [("refuse_to_end", 1.5)]
    with calling(service, *steps) as first, calling(service, *steps) as second, calling(service) as third:
        for stream in (first, second, third):
            until(stream, "completed")


def test_a_client_that_does_not_read_keeps_nobody_waiting(start: Start) -> None:
    """A job that is done makes room for the next, wherever its stream is stuck."""
    service = start(1, {"linger": 30})
    with calling(service, ("flood", 20_000)), calling(service) as second:
        until(second, "completed")


@pytest.mark.parametrize("path", ["/health", "/status", "/openapi.json"])
def test_what_is_no_job_never_waits(start: Start, tmp_path: Path, path: str) -> None:
    """With every slot taken and the line full the service still answers, and refuses what is wrong."""
    service = start(1, QUEUE="1", GITHUB_WORKER_TOKEN="")
    with calling(service, ("wait_for", str(tmp_path / "go-on"))) as first, calling(service):
        until(first, "analyzing")
        eventually(lambda: status(service)["workers"]["queued"] == 1)
        assert httpx.get(f"{service.base_url}{path}", trust_env=False).status_code == 200
        assert httpx.get(f"{service.base_url}/nowhere", trust_env=False).status_code == 404
        (tmp_path / "go-on").touch()


def test_a_wrong_request_is_refused_without_a_turn(start: Start, tmp_path: Path) -> None:
    """What is wrong with a request, or its caller, is said while all slots are taken."""
    token = "caller-token-0123456789"
    service = start(1, GITHUB_WORKER_TOKEN=token)
    url, headers = f"{service.base_url}/commit-and-push", {"Authorization": f"Bearer {token}"}
    body = {"sessionId": "s", "githubAccessToken": "t", "message": json.dumps([["refuse_to_end", 1]])}
    with httpx.stream("POST", url, json=body, headers=headers, trust_env=False) as first:
        assert httpx.post(url, json=body, trust_env=False).status_code == 401
        assert httpx.post(url, json={"sessionId": 1}, headers=headers, trust_env=False).status_code == 400
        assert events(first.read().decode())[-1]["type"] == "completed"
