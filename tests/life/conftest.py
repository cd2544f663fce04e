"""Workers whose jobs are scripted, each a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.worker import Worker

ROOT = Path(__file__).parents[2]
TOKEN = "caller-token-0123456789"
StartWorker = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartWorker]:
    """Yield a function that starts a worker; `limits` are its limits, the rest is its environment."""
    with ExitStack() as workers:

        def start_one(limits: dict[str, float] | None = None, **env: str) -> Worker:
            return workers.enter_context(scripted(tmp_path / "worker.log", limits or {}, env))

        yield start_one


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Yield a worker that is never given a job, so that many tests may knock at it."""
    log = tmp_path_factory.mktemp("idle") / "worker.log"
    with scripted(log, {"body": 0.5}, {"GITHUB_WORKER_TOKEN": f"{TOKEN},next-token-0123456789"}) as worker:
        yield worker


@pytest.fixture(scope="session")
def client(idle: Worker) -> Iterator[httpx.Client]:
    """Yield a client of the idle worker that may start jobs."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=idle.base_url, headers=headers, trust_env=False) as client:
        yield client


def scripted(log: Path, limits: dict[str, float], env: dict[str, str]) -> Worker:
    """Start a worker that plays the steps which a job's message holds."""
    program = ("-m", "tests.support.life_worker", json.dumps(limits))
    # Their store is the test's folder, so that a confined job may make files there.
    given = {"TMP_DIR": str(log.parent), "STORAGE_URL": log.parent.as_uri(), "PYTHONPATH": str(ROOT)}
    worker = Worker(given | env, log, program=program)
    worker.wait_until_healthy()
    return worker


def job(*steps: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a request whose job takes these steps."""
    message = json.dumps(steps)
    return {"sessionId": "s1", "githubAccessToken": "git-token-0123456789", "message": message, **fields}


def post(worker: Worker, *steps: tuple[str, Any], **fields: Any) -> httpx.Response:
    """Start a job and read its stream to the end."""
    url = f"{worker.base_url}/commit-and-push"
    return httpx.post(url, json=job(*steps, **fields), trust_env=False, timeout=30)


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream."""
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: ")]
