"""What a session store does, whatever stands behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from github_worker.errors import GitHubWorkerError


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
