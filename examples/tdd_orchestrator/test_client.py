"""The API for programs: what is asked, what is refused, and a wait that outlasts the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from examples.serving import serving
from examples.tdd_orchestrator.api import application
from examples.tdd_orchestrator.client import OrchestratorClient, OrchestratorError
from examples.tdd_orchestrator.store import Store
from github_worker_client import Backoff, Secret

RUN = {"id": "run-1", "document": "Greetings", "context": "", "repo_url": "https://x/y/z", "propose": 1}
TASKS = [
    {"key": "ada", "title": "Greet Ada", "description": "Say hello", "phase": 0},
    {"key": "bob", "title": "Greet Bob", "description": "Say hello", "phase": 1},
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Yield a store with a run of two tasks, the first of them blocked."""
    async with Store.open(tmp_path / "tdd.db") as store:
        await store.begin(RUN, TASKS)
        await store.set_task("ada", status="blocked")
        await store.set_worker("w1", status="idle")
        await store.set_circuit("stage:red", state="open", failures=5)
        yield store


@pytest.mark.usefixtures("store")
async def test_all_that_the_api_has_is_asked(tmp_path: Path) -> None:
    """Each method returns what its route does."""
    async with (
        serving(application(tmp_path / "tdd.db", name="greeter", key="k")) as url,
        OrchestratorClient(url, Secret("k")) as client,
    ):
        assert (await client.health())["status"] == "degraded"
        assert [task["key"] for task in await client.tasks()] == ["ada", "bob"]
        assert [task["key"] for task in await client.tasks(status="pending", phase=1)] == ["bob"]
        assert (await client.task("ada"))["description"] == "Say hello"
        assert (await client.retry("ada"))["status"] == "pending"
        assert [worker["id"] for worker in await client.workers()] == ["w1"]
        assert [circuit["state"] for circuit in await client.circuits()] == ["open"]
        assert (await client.reset("stage:red"))["state"] == "closed"
        assert [run["id"] for run in await client.runs()] == ["run-1"]
        assert 'tdd_tasks{status="pending"} 2.0' in await client.metrics()


@pytest.mark.usefixtures("store")
async def test_a_refusal_says_why(tmp_path: Path) -> None:
    """The code and the sentence are the server's; a stream that is refused is not asked for again."""
    async with serving(application(tmp_path / "tdd.db", name="greeter", key="k")) as url:
        async with OrchestratorClient(url, Secret("k")) as client:
            with pytest.raises(OrchestratorError, match="pending, not blocked") as conflict:
                await client.retry("bob")
            with pytest.raises(OrchestratorError, match="no task e v") as missing:
                await client.task("e v")
        async with OrchestratorClient(url) as nobody:
            with pytest.raises(OrchestratorError, match="TDD_API_KEY") as unauthorized:
                await anext(nobody.events())
    assert (conflict.value.status, conflict.value.code) == (409, "conflict")
    assert missing.value.status == 404
    assert unauthorized.value.code == "unauthorized"


async def test_a_run_is_waited_for_while_its_server_comes_and_goes(store: Store, tmp_path: Path) -> None:
    """What ended while nobody served is told by the next server."""
    app = application(tmp_path / "tdd.db", name="greeter")
    async with serving(app, timeout_graceful_shutdown=1) as url:
        client = OrchestratorClient(url, backoff=Backoff(first=0.05, longest=0.1))
        waiting = asyncio.create_task(client.wait("run-1"))
        async with aclosing(client.events()) as events:
            name, first = await anext(events)
        assert (name, [run["status"] for run in first["runs"]]) == ("snapshot", ["running"])
    await store.set_run("run-1", status="completed", number=7, url="https://x/y/z/pull/7")
    assert not waiting.done()
    async with serving(app, urlsplit(url).port or 0, timeout_graceful_shutdown=1):
        assert (await waiting)["pullRequest"] == {"number": 7, "url": "https://x/y/z/pull/7"}
    await client.__aexit__()
