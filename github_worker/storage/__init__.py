"""The stores of sessions: what every one of them does, and the choice of the one that is configured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from github_worker.errors import GitHubWorkerError
from github_worker.settings import Settings

_WHOLE = 16 * 1024 * 1024  # bytes at most that are held in memory, to be sent in one request


class SessionChanged(GitHubWorkerError):
    """Another writer saved the session since it was downloaded; nothing was overwritten."""


class Download(Struct, frozen=True, kw_only=True):
    """An archive on its way: `version` is what `upload` compares, `size` is in bytes where it is known."""

    version: str
    size: int | None
    chunks: Iterator[bytes]


class Store(Protocol):
    """Keeps archives by session id. Its methods block: call them from a thread."""

    def download(self, session_id: str) -> AbstractContextManager[Download | None]:
        """Open a session's archive, or None where there is none; raise StorageUnavailable."""

    def upload(self, session_id: str, chunks: Iterator[bytes], version: str | None) -> None:
        """Replace the archive whole if it still is `version` (None: if there is none).

        Raise SessionChanged when it is not, StorageUnavailable when storage fails. An exception from
        `chunks` aborts the upload, leaves the stored archive as it was, and comes through.
        """


def store_for(settings: Settings) -> Store:
    """Open the store that is configured, or a private folder under TMP_DIR; raise ConfigurationError."""
    # These imports cost tens of milliseconds, and a worker does them after its port is open.
    if settings.storage_worker_url is not None:
        from github_worker.storage.storage_worker import StorageWorkerStore  # noqa: PLC0415

        return StorageWorkerStore(settings.storage_worker_url, settings.storage_timeout)
    from github_worker.storage.object_store import ObjectStore  # noqa: PLC0415

    if settings.storage_url is not None:
        return ObjectStore.at(settings.storage_url, settings.storage_options, settings.storage_timeout)
    return ObjectStore.in_folder(settings.tmp_dir / "github-worker-sessions")


def read_ahead(chunks: Iterator[bytes]) -> tuple[deque[bytes], bool]:
    """Return the first chunks, and whether they are all: the archive is small enough for one request."""
    first: deque[bytes] = deque()
    size = 0
    for chunk in chunks:
        first.append(chunk)
        size += len(chunk)
        if size > _WHOLE:
            return first, False
    return first, True


def follow_up(first: deque[bytes], rest: Iterator[bytes], check: Callable[[], None]) -> Iterator[bytes]:
    """Yield `first`, emptying it, and then `rest`; `check` is called at the end, and aborts by raising."""
    while first:
        yield first.popleft()
    yield from rest
    check()
