"""The heaviest job fits the limits of swarm.yml."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec import Struct

from bench.repositories import LARGE, make
from github_worker_client import GitHubWorker
from swarm.conftest import CACHE, GIT_TOKEN
from swarm.events import Events
from swarm.figures import Figures
from swarm.load import Call, current
from swarm.stack import Stack
from tests.support.git_server import GitServer

AnyResult = TypeVar("AnyResult")


async def test_the_large_repository_fits_half_a_processor_and_512_megabytes(
    stack: Stack, events: Events, client: GitHubWorker, git_server: GitServer, figures: Figures
) -> None:
    """It is cloned and branched from, nothing is killed, and the health check never gives a worker up."""
    origin = git_server.create("owner", "large")
    origin.git("fetch", "--quiet", str(make(LARGE, CACHE)), "main:main")
    before = len(events.seen)
    current.set(Call("large", 0.0))

    clone = client.clone_repository(session_id="large", repo_url=origin.url, access_token=GIT_TOKEN)
    cloned, use = await _watched(clone, stack)
    figures.add("clone-repository, large repository", str(use))
    branch = client.create_branch(
        session_id="large", user_request="Add a page", base_branch="main", access_token=GIT_TOKEN
    )
    branched, use = await _watched(branch, stack)
    figures.add("create-branch in it", str(use))

    assert cloned.commit == branched.commit == origin.branches()[branched.branch_name]
    actions = {event.action for event in events.seen[before:]}
    assert not actions & {"oom", "kill", "health_status: unhealthy"}


class Use(Struct):
    """What a job took: seconds, and bytes at most of memory and of scratch space."""

    seconds: float = 0.0
    memory: int = 0
    scratch: int = 0

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {self.memory >> 20} MiB of memory, {self.scratch >> 20} MiB of scratch"


async def _watched(job: Coroutine[Any, Any, AnyResult], stack: Stack) -> tuple[AnyResult, Use]:
    """Await a job, looking now and then at what the workers use."""
    use, began = Use(), time.monotonic()
    task = asyncio.create_task(job)
    while not task.done():
        for container in await asyncio.to_thread(stack.containers):
            use.memory = max(use.memory, await asyncio.to_thread(stack.memory, container["Id"]))
            use.scratch = max(use.scratch, await asyncio.to_thread(_scratch, container))
        await asyncio.wait({task}, timeout=0.5)
    use.seconds = time.monotonic() - began
    return await task, use


def _scratch(container: dict[str, Any]) -> int:
    folders = [mount["Source"] for mount in container["Mounts"] if mount["Type"] == "volume"]
    listed = subprocess.run(["du", "--summarize", "--bytes", *folders], capture_output=True, check=False)
    return sum(int(line.split()[0]) for line in listed.stdout.splitlines())
