"""The stores of sessions: what every one of them does, and the choice of the one that is configured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from github_worker.errors import GitHubWorkerError

if TYPE_CHECKING:
    from github_worker.redaction import Secret
    from github_worker.settings import Settings

_WHOLE = 16 * 1024 * 1024  # bytes at most that are held in memory, to be sent in one request


class SessionChanged(GitHubWorkerError):
    """Another writer saved the session since it was downloaded; nothing was overwritten."""


class NotOffered(GitHubWorkerError):
    """The store does not do what it was asked for; the message says what."""


class Download(Struct, frozen=True, kw_only=True):
    """An archive on its way: `version` is what `upload` compares, `size` is in bytes where it is known.

    `modified` is when it was saved, where the store tells.
    """

    version: str
    size: int | None
    chunks: Iterator[bytes]
    modified: datetime | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """A session as a store lists it; `size` is in bytes and `modified` when it was saved, where it tells."""

    session_id: str
    size: int | None
    modified: datetime | None


class Store(Protocol):
    """Keeps archives by session id. Its methods block: call them from a thread."""

    def download(self, session_id: str) -> AbstractContextManager[Download | None]:
        """Open a session's archive, or None where there is none; raise StorageUnavailable."""

    def upload(self, session_id: str, chunks: Iterator[bytes], version: str | None) -> str | None:
        """Replace the archive whole if it still is `version` (None: if there is none).

        Return the new version, None where the store does not tell. Raise SessionChanged when it is not,
        StorageUnavailable when storage fails. An exception from `chunks` aborts the upload, leaves the stored
        archive as it was, and comes through.
        """

    def entries(self) -> Iterator[Entry]:
        """Yield all sessions; raise NotOffered where the store has no list, StorageUnavailable."""

    def delete(self, session_id: str) -> bool:
        """Delete a session, and return whether there was one; raise NotOffered, StorageUnavailable."""


def store_for(settings: Settings) -> Store:
    """Open the store that is configured, or a private folder under TMP_DIR; raise ConfigurationError."""
    if (url := settings.storage_worker_url or settings.storage_url) is not None:
        return open_store(url, settings.storage_options, settings.storage_timeout)
    from github_worker.storage.object_store import ObjectStore  # noqa: PLC0415

    return ObjectStore.in_folder(settings.tmp_dir / "github-worker-sessions")


def open_store(url: str, options: Mapping[str, Secret | str], timeout: float) -> Store:
    """Open the store at a URL: a storage worker's, or that of an object store or folder.

    `options` are the cloud's environment variables in lower case, `timeout` is in seconds without a byte.
    Raises ConfigurationError.
    """
    # These imports cost tens of milliseconds, and a worker does them after its port is open.
    if url.startswith(("http://", "https://")):
        from github_worker.storage.storage_worker import StorageWorkerStore  # noqa: PLC0415

        return StorageWorkerStore(url, timeout)
    from github_worker.storage.object_store import ObjectStore  # noqa: PLC0415

    return ObjectStore.at(url, options, timeout)


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
