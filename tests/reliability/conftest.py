"""A git server, a model and storages that fail on demand, and timeouts that are over soon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reliability.runner import SESSION, GateRunner, Storage
from tests.support.git_server import GitServer
from tests.support.model import Model
from tests.support.proxy import FaultyProxy
from tests.support.repositories import Repository as Origin
from tests.support.s3 import S3Server
from tests.support.storage_worker import StorageWorker

_PATH = f"/api/storage-worker/sessions/{SESSION}"


@pytest.fixture
def origin(git_server: GitServer) -> Origin:
    """Return a repository with two files."""
    return git_server.seed("octo", "demo", {"README.md": "# Demo\n", "src/app.py": "print('hi')\n"})


@pytest.fixture
def storage() -> Iterator[Storage]:
    """Yield a storage worker with ETags."""
    with storage_worker(etags=True) as storage:
        yield storage


@pytest.fixture(params=["storage worker", "storage worker without ETags", "object store"])
def every_storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Yield a storage of every kind that has a network."""
    if request.param == "object store":
        with object_store() as storage:
            yield storage
    else:
        with storage_worker(etags="without" not in request.param) as storage:
            yield storage


@contextmanager
def storage_worker(*, etags: bool) -> Iterator[Storage]:
    """Yield a storage worker."""
    with StorageWorker(etags=etags) as worker:
        yield Storage(
            env={"STORAGE_WORKER_URL": worker.origin},
            faults=worker.faults,
            download=f"GET {_PATH}/download",
            upload=f"POST {_PATH}/upload",
            archive=lambda: worker.archive(SESSION),
            save=lambda archive: worker.save(SESSION, archive),
            delete=lambda: worker.delete(SESSION),
        )


@contextmanager
def object_store() -> Iterator[Storage]:
    """Yield a bucket of an S3 server behind a proxy that fails."""
    key = f"{SESSION}/session.tar.gz"
    with S3Server() as s3, FaultyProxy(s3.endpoint) as proxy:
        bucket = s3.create_bucket()
        yield Storage(
            env={"STORAGE_URL": f"s3://{bucket}", **s3.variables, "AWS_ENDPOINT_URL": proxy.origin},
            faults=proxy.faults,
            download=f"GET /{bucket}",
            upload=f"PUT /{bucket}",
            archive=lambda: s3.read(bucket, key),
            save=lambda archive: s3.write(bucket, key, archive),
            delete=lambda: s3.delete(bucket, key),
        )


@pytest.fixture
def env(git_server: GitServer, model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what leads a worker to everything but its storage."""
    return {
        "TMP_DIR": str(tmp_path_factory.mktemp("scratch")),
        "GIT_ALLOWED_HOSTS": git_server.origin,
        "ANTHROPIC_BASE_URL": model.origin,
        "GIT_TIMEOUT": "20",
        "STORAGE_TIMEOUT": "20",
        "NAMING_TIMEOUT": "20",
    }


@pytest.fixture
def impatient(env: dict[str, str]) -> None:
    """Let workers wait no longer than a test may that lets something hang."""
    env |= {"GIT_TIMEOUT": "2", "STORAGE_TIMEOUT": "2", "NAMING_TIMEOUT": "2"}


@pytest.fixture
def scratch(env: dict[str, str]) -> Path:
    """Return the folder of the workers' scratch space."""
    return Path(env["TMP_DIR"])


@pytest.fixture
def runner(env: dict[str, str], storage: Storage) -> GateRunner:
    """Return a runner whose sessions are in the storage worker."""
    return GateRunner(env | storage.env)


@pytest.fixture
async def branch(runner: GateRunner, origin: Origin) -> str:
    """Start a session on a branch of its own, and return the branch."""
    name: str = (await runner.init(origin.url)).completed["branchName"]
    return name
