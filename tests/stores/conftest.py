"""Every kind of store, each with another writer that knows nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from github_worker.settings import from_env
from github_worker.storage import Store, store_for
from tests.support.s3 import S3Server
from tests.support.storage_worker import StorageWorker

KEY = "session-1/session.tar.gz"
STORES = (
    "storage worker with ETags",
    "storage worker without ETags",
    "storage worker that lists and deletes",
    "folder",
    "s3",
)


@dataclass(frozen=True)
class Place:
    """A store, how another writer reads and replaces its `session-1`, and whether it lists and deletes."""

    store: Store
    read: Callable[[], bytes | None]
    write: Callable[[bytes], None]
    manages: bool = True


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Yield an S3 server."""
    with S3Server() as server:
        yield server


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Yield an empty store of every kind."""
    if request.param == "folder":
        yield folder_place(tmp_path)
    elif request.param == "s3":
        yield s3_place(request.getfixturevalue("s3"))
    else:
        with storage_worker_place(
            etags="without" not in request.param, manages="lists" in request.param
        ) as place:
            yield place


@contextmanager
def storage_worker_place(*, etags: bool, manages: bool = False) -> Iterator[Place]:
    """Yield a storage worker."""
    with StorageWorker(etags=etags, manages=manages) as worker:
        store = store_for(from_env({"STORAGE_WORKER_URL": worker.origin, "STORAGE_TIMEOUT": "5"}))
        yield Place(
            store,
            lambda: worker.archive("session-1"),
            lambda archive: worker.save("session-1", archive),
            manages,
        )


def folder_place(folder: Path) -> Place:
    """Return a folder."""
    file = folder / "sessions of all" / KEY

    def write(archive: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name("beside")
        beside.write_bytes(archive)
        beside.replace(file)

    file.parent.parent.mkdir()
    store = store_for(from_env({"STORAGE_URL": f"file://{folder}/sessions%20of%20all"}))
    return Place(store, lambda: file.read_bytes() if file.exists() else None, write)


def s3_place(s3: S3Server) -> Place:
    """Return a bucket with a prefix."""
    bucket = s3.create_bucket()
    store = store_for(from_env({"STORAGE_URL": f"s3://{bucket}/some/prefix", **s3.variables}))
    key = f"some/prefix/{KEY}"
    return Place(store, lambda: s3.read(bucket, key), lambda archive: s3.write(bucket, key, archive))
