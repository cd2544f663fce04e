"""The client against real workers behind a balancer that is blind to which of them is busy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from github_worker_client import GitHubWorker
from tests.conftest import WRITE_TOKEN
from tests.support.balancer import Balancer
from tests.support.git_server import GitServer
from tests.support.sessions import SessionFolder
from tests.support.worker import RestartLoop

JOBS = 30


@pytest.fixture
def loops(worker_env: dict[str, str], tmp_path: Path) -> Iterator[list[RestartLoop]]:
    """Yield three workers that are started again whenever they end, each with scratch space of its own."""
    with ExitStack() as stack:
        loops = []
        for name in ("a", "b", "c"):
            folder = tmp_path / name
            (folder / "scratch").mkdir(parents=True)
            env = worker_env | {"TMP_DIR": str(folder / "scratch")}
            loops.append(stack.enter_context(RestartLoop(env, folder)))
        yield loops


async def test_thirty_jobs_at_once_complete_on_three_restarting_workers(
    loops: list[RestartLoop], git_server: GitServer, sessions: SessionFolder
) -> None:
    """All complete, and every process that ended served exactly one and exited with 0."""
    origin = git_server.seed("owner", "repo")
    names = [f"session-{number}" for number in range(JOBS)]
    async with (
        Balancer(*(loop.port for loop in loops)) as balancer,
        GitHubWorker(balancer.base_url) as client,
    ):
        jobs = (
            client.clone_repository(session_id=name, repo_url=origin.url, access_token=WRITE_TOKEN)
            for name in names
        )
        results = await asyncio.gather(*jobs)
    await _ended(loops, JOBS)

    assert {result.commit for result in results} == {origin.branches()["main"]}
    assert [sessions.get(name).metadata["sessionId"] for name in names] == names
    ended = [generation for loop in loops for generation in loop.ended]
    assert [(generation.jobs, generation.exit_status) for generation in ended] == [(1, 0)] * JOBS


async def _ended(loops: list[RestartLoop], count: int) -> None:
    async with asyncio.timeout(30.0):
        while sum(len(loop.ended) for loop in loops) < count:  # noqa: ASYNC110 (threads count them)
            await asyncio.sleep(0.02)
