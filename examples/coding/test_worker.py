"""The coding worker over HTTP: what a caller sees of a task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from examples.coding.agent import Agent
from examples.coding.task import Coder
from examples.coding.worker import application
from examples.lab import Lab
from examples.serving import serving
from github_worker_client import GitHubWorker
from github_worker_client.sessions import SessionStore

WRITES = "echo working; echo 'x = 1' >hello/theme.py; echo Added a theme"


@asynccontextmanager
async def worker(lab: Lab, script: str = WRITES, at_once: int = 4) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a coding worker whose agent is a script."""
    async with GitHubWorker(lab.worker_url, token=lab.worker_token) as github:
        coder = Coder(github, SessionStore(lab.store_url), Agent(["sh", "-c", script]))
        async with (
            serving(application(coder, at_once=at_once)) as url,
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        ):
            yield client


def body(lab: Lab, **fields: Any) -> dict[str, Any]:
    """Return a request."""
    given = {"taskId": "task-1", "sessionId": "session-1", "userRequest": "Add a dark mode toggle"}
    return given | {"repoUrl": lab.repo_url, "accessToken": lab.token} | fields


async def events(client: httpx.AsyncClient, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all events of a task."""
    async with client.stream("POST", "/execute", json=asked) as answer:
        assert answer.status_code == 200, await answer.aread()
        return [json.loads(line[6:]) async for line in answer.aiter_lines() if line.startswith("data: ")]


async def test_a_task_is_told_from_its_first_step_to_the_pull_request(lab: Lab) -> None:
    """Steps, the service's own events and the agent's words are one stream, with one outcome at its end."""
    async with worker(lab) as client:
        told = await events(client, body(lab))
    assert [event["step"] for event in told if event["type"] == "step"] == [
        "prepare",
        "code",
        "commit",
        "propose",
    ]
    assert [event["text"] for event in told if event["type"] == "output"] == ["working", "Added a theme"]
    assert [event["type"] for event in told if event["type"] in {"completed", "error"}] == ["completed"]
    assert told[-1]["data"]["pull_request"] == "https://github.com/octocat/hello-world/pull/1"
    assert {"cloning", "committed"} <= {event.get("stage") for event in told}


async def test_a_failure_says_the_step_and_where_the_work_is(lab: Lab) -> None:
    """The outcome is an error, and asked again the task goes on."""
    async with worker(lab, "echo half >half.txt; exit 1") as client:
        *_, outcome = await events(client, body(lab))
    assert (outcome["type"], outcome["step"], outcome["saved"]) == ("error", "code", True)
    assert "session-1" in outcome["error"]
    async with worker(lab) as client:
        *_, outcome = await events(client, body(lab))
    assert outcome["type"] == "completed"
    assert "half.txt" in lab.repository.files(outcome["data"]["branch"])


async def test_a_task_outlives_its_caller(lab: Lab) -> None:
    """A caller that leaves loses the stream; the task ends in its pull request."""
    async with worker(lab) as client:
        async with client.stream("POST", "/execute", json=body(lab)) as answer:
            await anext(answer.aiter_lines())
        while (await client.get("/health")).json()["tasks"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert len(lab.pull_requests) == 1


async def test_a_task_is_cancelled(lab: Lab) -> None:
    """The agent is ended, and the stream says so."""
    async with worker(lab, "echo working; sleep 1000") as client:
        running = asyncio.create_task(events(client, body(lab)))
        while (await client.delete("/tasks/task-1")).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert (await running)[-1]["error"] == "The task was cancelled."
        assert (await client.get("/health")).json()["tasks"] == []


async def test_what_cannot_be_taken_is_refused(lab: Lab) -> None:
    """The same task twice at once, more tasks than are taken, a body without a field or with a wrong one."""
    async with worker(lab, "sleep 1000", at_once=1) as client:
        running = asyncio.create_task(events(client, body(lab)))
        while not (await client.get("/health")).json()["tasks"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        again = await client.post("/execute", json=body(lab))
        more = await client.post("/execute", json=body(lab, taskId="task-2"))
        lacking = await client.post("/execute", json={"taskId": "task-3"})
        wrong = await client.post("/execute", json=body(lab, permission="whatever"))
        await client.delete("/tasks/task-1")
        await running
    assert [answer.status_code for answer in (again, more, lacking, wrong)] == [409, 429, 400, 400]
    assert "sessionId" in lacking.json()["error"]
    assert "permission" in wrong.json()["error"]


@pytest.mark.parametrize("script", ["echo the token is $0", "echo the token is $0; exit 1"])
async def test_the_token_is_masked_in_what_is_told(lab: Lab, script: str) -> None:
    """An agent that came by the token cannot tell it."""
    async with worker(lab, script.replace("$0", lab.token)) as client:
        told = await events(client, body(lab))
    assert lab.token not in json.dumps(told)
