"""A store whose transfers are recorded, for one whose library has no hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from github_worker.exchanges import recorded
from github_worker.storage import Download, Entry, Store


class RecordedStore:
    """Does what another store does, and records downloads and uploads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def download(self, session_id: str) -> Iterator[Download | None]:
        """Open a session's archive, as the store does."""
        with recorded("storage", "download"), self._store.download(session_id) as download:
            yield download

    def upload(self, session_id: str, chunks: Iterator[bytes], version: str | None) -> str | None:
        """Replace the archive, as the store does."""
        with recorded("storage", "upload"):
            return self._store.upload(session_id, chunks, version)

    def entries(self) -> Iterator[Entry]:
        """Yield all sessions, as the store does."""
        return self._store.entries()

    def delete(self, session_id: str) -> bool:
        """Delete a session, as the store does."""
        return self._store.delete(session_id)
