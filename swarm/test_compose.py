"""compose.yml, with the tests' own store in the place of the one that it names."""

from __future__ import annotations

from github_worker_client import GitHubWorker
from swarm.conftest import GIT_TOKEN, REPOSITORY, WORKER_TOKEN
from swarm.engine import Engine
from swarm.load import Call, Counting, current
from tests.support.git_server import GitServer
from tests.support.s3 import S3Server


async def test_a_worker_of_compose_does_one_job_after_another(
    engine: Engine, image: str, git_server: GitServer, store: S3Server
) -> None:
    """It comes up with an S3 store, and again when a job has ended it."""
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
            for session in ("first", "second"):
                current.set(Call(session, 0.0))
                await client.clone_repository(
                    session_id=session,
                    repo_url=f"{git_server.origin}/owner/small.git",
                    access_token=GIT_TOKEN,
                )
    finally:
        engine.docker(*compose, "down", "--volumes", env=env)
    assert all(store.read(bucket, f"{session}/session.tar.gz") for session in ("first", "second"))
