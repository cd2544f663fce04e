"""compose.yml, with the tests' own store in the place of the one that it names."""

from __future__ import annotations

import asyncio

from github_worker_client import GitHubWorker
from swarm.conftest import GIT_TOKEN, REPOSITORY, WORKER_TOKEN
from swarm.engine import Engine
from swarm.load import Call, Counting, current
from tests.support.git_server import GitServer
from tests.support.s3 import S3Server

SESSIONS = ("first", "second", "third", "fourth")


async def test_the_worker_of_compose_does_jobs_without_being_restarted(
    engine: Engine, image: str, git_server: GitServer, store: S3Server
) -> None:
    """It comes up with an S3 store, does jobs two at a time, and ends well when it is told to."""
    bucket = store.create_bucket()
    env = {
        "STORAGE_URL": f"s3://{bucket}",
        "IMAGE": f"github-worker:{image}",
        "STORE_URL": store.endpoint,
        "GIT_ALLOWED_HOSTS": git_server.origin,
        "GITHUB_WORKER_TOKEN": WORKER_TOKEN,
    }
    compose = ("compose", "--file", REPOSITORY / "compose.yml")
    engine.docker(*compose, "up", "--detach", "--no-build", "--no-deps", "worker", env=env)
    try:
        async with GitHubWorker("http://127.0.0.1:5003", WORKER_TOKEN, transport=Counting()) as client:

            async def clone(session: str) -> None:
                current.set(Call(session, 0.0))
                await client.clone_repository(
                    session_id=session,
                    repo_url=f"{git_server.origin}/owner/small.git",
                    access_token=GIT_TOKEN,
                )

            for pair in (SESSIONS[:2], SESSIONS[2:]):
                await asyncio.gather(*map(clone, pair))
        engine.docker(*compose, "stop", "worker", env=env)
        container = engine.docker(*compose, "ps", "--all", "--quiet", "worker", env=env).strip()
        state = engine.get(f"/containers/{container}/json")
    finally:
        engine.docker(*compose, "down", "--volumes", env=env)
    assert all(store.read(bucket, f"{session}/session.tar.gz") for session in SESSIONS)
    assert (state["RestartCount"], state["State"]["ExitCode"], state["State"]["OOMKilled"]) == (0, 0, False)
