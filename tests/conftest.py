"""Fixtures that every folder of tests may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.git_server import GitServer
from tests.support.model import Model
from tests.support.sessions import SessionFolder
from tests.support.worker import RestartLoop, Worker

WRITE_TOKEN = "write-token-0123456789"
READ_TOKEN = "read-token-0123456789"

# scripts/fuzz takes the long one; deadlines would only measure the machine.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("suite"), max_examples=2000, print_blob=True)
settings.load_profile("suite")


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes share the tests: half of a test's time is waiting, so two for each core."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let scripts/fuzz say which random rounds the tests of fidelity play."""
    parser.addoption("--rounds", default="", metavar="FIRST[:COUNT]", help="seeds of random rounds")


@pytest.fixture
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """Yield a git server with a token that may write and one that may read."""
    root = tmp_path_factory.mktemp("remote")
    with GitServer(root, {WRITE_TOKEN: "write", READ_TOKEN: "read"}) as server:
        yield server


@pytest.fixture
def model() -> Iterator[Model]:
    """Yield a model that has nothing to say until a test scripts it."""
    with Model() as model:
        yield model


@pytest.fixture
def sessions(tmp_path_factory: pytest.TempPathFactory) -> SessionFolder:
    """Return the folder that the workers keep their sessions in."""
    return SessionFolder(tmp_path_factory.mktemp("sessions"))


@pytest.fixture
def worker_env(
    git_server: GitServer,
    model: Model,
    sessions: SessionFolder,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Return the workers' environment; a test may change it before it asks for a worker."""
    return {
        "TMP_DIR": str(tmp_path_factory.mktemp("scratch")),
        "STORAGE_URL": sessions.url,
        "GIT_ALLOWED_HOSTS": git_server.origin,
        "ANTHROPIC_BASE_URL": model.origin,
        "NAMING_TIMEOUT": "60",  # on a busy machine too
    }


@pytest.fixture
def worker(worker_env: dict[str, str], tmp_path: Path) -> Iterator[Worker]:
    """Yield one worker that answers."""
    with Worker(worker_env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        yield worker


@pytest.fixture
def restart_loop(worker_env: dict[str, str], tmp_path: Path) -> Iterator[RestartLoop]:
    """Yield a worker that is started again whenever it ends."""
    with RestartLoop(worker_env, tmp_path) as loop:
        loop.wait_until_healthy()
        yield loop
