"""An Inngest worker on this machine: a sprint is implemented, reviewed and tested, as its events show."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import inngest

from examples.coding.agent import Agent
from examples.coding.demo import agent_at_hand
from examples.coding.task import Coder
from examples.inngest.server import InngestServer
from examples.inngest.worker import application
from examples.lab import Lab, lab
from examples.serving import serving
from github_worker_client import GitHubWorker, Secret
from github_worker_client.sessions import SessionStore

KEY = "signkey-prod-0123456789abcdef0123456789abcdef"
REVIEW = """ls hello; echo '{"approved": true, "feedback": "The theme is there", "issues": []}'"""
QA = """ls tests; echo '{"passed": true, "testResults": "1 passed", "bugs": []}'"""
SPRINT = {"projectId": "p1", "projectPath": "/projects/hello", "sprintNumber": 1}


async def show(here: Lab) -> None:
    """Let Inngest's stand-in call a worker for one sprint, role by role."""
    started = {"gitRepo": here.repo_url, "gitBranch": "main", "sprintName": "Themes", "projectSlug": "hello"}
    started |= {"handoffContent": "Add a dark mode toggle", "backlogContent": "", "architectureContent": ""}
    await _send(here, agent_at_hand(), "implementation", SPRINT | started)
    summary = {"implementationSummary": here.pull_requests[0].body}
    await _send(here, _script(REVIEW), "review", SPRINT | summary)
    await _send(here, _script(QA), "qa", SPRINT | summary | {"reviewSummary": "The theme is there"})
    (opened,) = here.pull_requests
    print(f"\n#{opened.number} {opened.title}: {opened.head} into {opened.base}\n")
    print(here.repository.git("log", "--stat", "-1", opened.head).decode())


async def _send(here: Lab, agent: Agent, role: str, data: dict[str, Any]) -> None:
    async with calling_worker(here, agent) as server:
        print(f"\nworker/{role}.start")
        await server.run({"name": f"worker/{role}.start", "data": data})
    for event in server.events:
        told = {name: value for name, value in event["data"].items() if name != "projectId"}
        print(f"  {event['name']:<32} {told}")


@asynccontextmanager
async def calling_worker(here: Lab, agent: Agent) -> AsyncIterator[InngestServer]:
    """Start a worker with an agent, and yield Inngest's server, which knows its functions."""
    server = InngestServer(KEY)
    async with (
        serving(server.application()) as origin,
        GitHubWorker(here.worker_url, token=here.worker_token) as github,
    ):
        client = inngest.Inngest(
            app_id="tpml-worker",
            api_base_url=origin,
            event_api_base_url=origin,
            event_key="event-key",
            is_production=True,
            signing_key=KEY,
        )
        coder = Coder(github, SessionStore(here.store_url), agent)
        async with serving(application(client, coder, Secret(here.token))) as worker:
            await server.sync(worker)
            yield server


def _script(script: str) -> Agent:
    return Agent(["sh", "-c", script])


def main() -> None:
    """Show it."""
    with tempfile.TemporaryDirectory(prefix="example-inngest-") as folder, lab(Path(folder)) as here:
        asyncio.run(show(here))


if __name__ == "__main__":
    main()
