"""What is asked over HTTP: all that the store knows, each change as it comes, and nothing without the key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from examples.serving import serving
from examples.tdd_orchestrator.api import application
from examples.tdd_orchestrator.store import Refused, Store

RUN = {"id": "run-1", "document": "Greetings", "context": "", "repo_url": "https://x/y/z", "propose": 1}
TASKS = [
    {"key": "ada", "title": "Greet Ada", "description": "Say hello", "phase": 0},
    {"key": "bob", "title": "Greet Bob", "description": "Say hello", "phase": 1},
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Yield a store with a run of two tasks."""
    async with Store.open(tmp_path / "tdd.db") as store:
        await store.begin(RUN, TASKS)
        yield store


@asynccontextmanager
async def api(folder: Path, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the API of the store in a folder."""
    async with (
        serving(application(folder / "tdd.db", name="greeter", key=key)) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client,
    ):
        yield client


async def read(events: AsyncIterator[ServerSentEvent], kind: str) -> dict[str, Any]:
    """Return the next event of a kind."""
    async for event in events:
        if event.event == kind:
            return dict(json.loads(event.data))
    raise AssertionError(f"the stream ended without {kind}")


async def test_tasks_are_listed_and_one_is_shown_with_its_attempts(store: Store, tmp_path: Path) -> None:
    """A list can be narrowed by phase and status; one task has its description and history."""
    await store.set_task("ada", status="in_progress", stage="red", worker="w1", attempts=1)
    await store.attempted("ada", "red", attempt=1, ok=0, exit_status=2, output="no test", seconds=1.5)
    async with api(tmp_path) as client:
        both = (await client.get("/tasks")).json()["tasks"]
        late = (await client.get("/tasks", params={"phase": 1, "status": "pending"})).json()["tasks"]
        shown = (await client.get("/tasks/ada")).json()
        missing = await client.get("/tasks/eve")
    assert [task["key"] for task in both] == ["ada", "bob"]
    assert [task["key"] for task in late] == ["bob"]
    updated, at = shown.pop("updatedAt"), shown["history"][0].pop("at")
    assert updated.endswith("Z")
    assert at.endswith("Z")
    attempt = {
        "stage": "red",
        "attempt": 1,
        "ok": False,
        "exitStatus": 2,
        "output": "no test",
        "seconds": 1.5,
    }
    assert shown == {
        **{"key": "ada", "runId": "run-1", "title": "Greet Ada", "description": "Say hello", "phase": 0},
        **{"status": "in_progress", "stage": "red", "worker": "w1", "attempts": 1, "error": None},
        **{"commit": None, "history": [attempt | {"commit": None}]},
    }
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


async def test_a_blocked_task_alone_is_tried_again_and_its_run_goes_on(store: Store, tmp_path: Path) -> None:
    """A retry gives it all its attempts back; any other task is a conflict."""
    await store.set_task("ada", status="blocked", stage="green", attempts=3, error="no")
    await store.set_run("run-1", status="completed", ended_at="2026-01-01T00:00:00.000Z")
    async with api(tmp_path) as client:
        again = await client.post("/tasks/ada/retry")
        twice = await client.post("/tasks/ada/retry")
        (run,) = (await client.get("/runs")).json()["runs"]
    assert again.json() | {"updatedAt": None} == {
        **{"key": "ada", "runId": "run-1", "title": "Greet Ada", "phase": 0, "status": "pending"},
        **{"stage": None, "worker": None, "attempts": 0, "error": None, "commit": None, "updatedAt": None},
    }
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "conflict")
    assert (run["status"], run["endedAt"], run["tasks"]) == (
        *("running", None),
        {"total": 2, "complete": 0, "blocked": 0},
    )


async def test_each_change_is_an_event_after_a_snapshot(store: Store, tmp_path: Path) -> None:
    """What another connection changes is told as it comes, the end of a run by an event of its own."""
    async with api(tmp_path) as client, aconnect_sse(client, "GET", "/events") as source:
        events = source.aiter_sse()
        snapshot = await read(events, "snapshot")
        assert [task["key"] for task in snapshot["tasks"]] == ["ada", "bob"]
        await store.set_task("bob", status="blocked")
        assert (await read(events, "task_status_changed"))["status"] == "blocked"
        await store.set_worker("w1", status="working", task="ada", stage="red")
        assert (await read(events, "worker_heartbeat"))["task"] == "ada"
        await store.set_circuit("stage:red", state="open", failures=5)
        circuit = {"id": "stage:red", "level": "stage", "state": "open", "failures": 5, "retryAt": None}
        assert await read(events, "circuit_state_changed") == circuit
    async with api(tmp_path) as client, aconnect_sse(client, "GET", "/events") as source:
        snapshot = await read(source.aiter_sse(), "snapshot")
    assert snapshot["tasks"][1]["status"] == "blocked"
    assert snapshot["circuits"] == [circuit]


async def test_the_end_of_a_run_is_told(store: Store, tmp_path: Path) -> None:
    """It is a change of the run, and an event of its own."""
    async with api(tmp_path) as client, aconnect_sse(client, "GET", "/events") as events:
        stream = events.aiter_sse()
        await anext(stream)
        await store.set_run("run-1", status="failed", error="the push was refused")
        told = [await anext(stream), await anext(stream)]
    assert [event.event for event in told] == ["run_changed", "run_completed"]
    assert json.loads(told[1].data)["error"] == "the push was refused"


async def test_an_open_circuit_makes_it_degraded_until_it_is_reset(store: Store, tmp_path: Path) -> None:
    """A reset closes it and forgets its failures."""
    await store.set_circuit("worker:w1", state="open", failures=5, retry_at="2026-01-01T00:00:00.000Z")
    await store.set_circuit("system")
    async with api(tmp_path) as client:
        before = (await client.get("/health")).json()
        reset = await client.post("/circuits/worker:w1/reset")
        missing = await client.post("/circuits/worker:w9/reset")
        after = (await client.get("/health")).json()
    assert (before["status"], before["circuits"]) == ("degraded", {"closed": 1, "open": 1, "halfOpen": 0})
    assert reset.json() == {
        **{"id": "worker:w1", "level": "worker", "state": "closed", "failures": 0, "retryAt": None}
    }
    assert (missing.status_code, after["status"], after["runs"]) == (404, "healthy", {"running": 1})


async def test_the_metrics_count_what_the_store_has(store: Store, tmp_path: Path) -> None:
    """Tasks, attempts with their seconds, runs and circuits are in Prometheus' text."""
    await store.attempted("ada", "red", attempt=1, ok=1, exit_status=1, output="", seconds=2.5)
    async with api(tmp_path) as client:
        text = (await client.get("/metrics")).text
    assert {
        'tdd_tasks{status="pending"} 2.0',
        'tdd_stage_attempts_total{outcome="passed",stage="red"} 1.0',
        'tdd_stage_seconds_sum{stage="red"} 2.5',
        'tdd_runs{status="running"} 1.0',
        'tdd_circuits{state="open"} 0.0',
    } <= {
        line.replace('stage="red",outcome="passed"', 'outcome="passed",stage="red"')
        for line in text.split("\n")
    }


async def test_without_the_key_only_the_health_is_told(store: Store, tmp_path: Path) -> None:
    """All other routes want the bearer token."""
    async with api(tmp_path, key="k1") as client:
        paths = ["/tasks", "/tasks/ada", "/workers", "/circuits", "/runs", "/metrics", "/events"]
        refused = [await client.get(path, headers={"Authorization": "Bearer k2"}) for path in paths]
        posted = await client.post("/tasks/ada/retry")
        health = await client.get("/health")
        shown = await client.get("/tasks", headers={"Authorization": "Bearer k1"})
    assert {answer.status_code for answer in [*refused, posted]} == {401}
    assert posted.json()["error"]["code"] == "unauthorized"
    assert (health.status_code, shown.status_code) == (200, 200)


async def test_a_project_does_one_document_at_a_time(store: Store) -> None:
    """Another run is refused in words, the same one is gone on with."""
    with pytest.raises(Refused, match="at work on another document, “Greetings”"):
        await store.begin({**RUN, "id": "run-2"}, [])
    await store.begin(RUN, TASKS)
    assert len(await store.tasks()) == 2
