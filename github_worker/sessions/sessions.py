"""Sessions as operations see them: opened from the store, worked on in folders, saved whole or not at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from github_worker.errors import SessionNotFound
from github_worker.progress import ByteCount, Report, watched
from github_worker.scratch import Scratch
from github_worker.sessions.inventory import Folders, Inventory
from github_worker.sessions.limits import Limits
from github_worker.sessions.metadata import Metadata
from github_worker.sessions.pack import pack
from github_worker.sessions.store import Store
from github_worker.sessions.unpack import unpack

WORKSPACE = Path("workspace/workspace")


class Session:
    """One version of a session, unpacked: `version` is the store's, None for one that is new."""

    def __init__(
        self, session_id: str, folders: Folders, inventory: Inventory, limits: Limits, version: str | None
    ) -> None:
        self.id = session_id
        self.folders = folders
        self.inventory = inventory
        self.version = version
        self._limits = limits
        self.metadata = Metadata.read(folders.tree, session_id)

    @property
    def is_new(self) -> bool:
        """Whether the store has none of this id."""
        return self.version is None

    def worktree(self, cloned_path: str) -> Path:
        """Return the folder of the session's repository."""
        return self.folders.tree / WORKSPACE / cloned_path

    def config_file(self, cloned_path: str) -> Path:
        """Return where the repository's own config is kept, away from libgit2."""
        return self.folders.aside / WORKSPACE / cloned_path / ".git" / "config"

    def repositories_aside(self, cloned_path: str) -> list[str]:
        """Return the folders below the worktree (`.` is itself) whose `.git` is kept from libgit2."""
        root = f"{WORKSPACE}/{cloned_path}"
        aside = (os.fsdecode(folder) for folder in self.inventory.repositories_aside)
        return [os.path.relpath(folder, root) for folder in aside if f"{folder}/".startswith(f"{root}/")]

    def pack(self, before_worktree: Callable[[], None], before_tail: Callable[[], None]) -> Iterator[bytes]:
        """Pack it; the two callables block until those parts are ready."""
        return pack(
            self.folders,
            self.inventory,
            self._limits,
            before_worktree=before_worktree,
            before_tail=before_tail,
        )


class Sessions:
    """Opens sessions out of a store."""

    def __init__(self, store: Callable[[], Store], scratch: Scratch, limits: Limits) -> None:
        self._make_store = store
        self._scratch = scratch
        self._limits = limits
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The store, connected to when it is first used."""
        if self._store is None:
            self._store = self._make_store()
        return self._store

    async def open(self, session_id: str, report: Report) -> Session:
        """Download and unpack a session; raise SessionNotFound when there is none."""
        session = await self.open_or_new(session_id, report)
        if session.is_new:
            raise SessionNotFound(f"There is no session {session_id}")
        return session

    async def open_or_new(self, session_id: str, report: Report) -> Session:
        """Download and unpack a session, or begin one."""
        report("downloading_session", "Downloading the session")
        received = ByteCount()

        def count() -> None:
            report.count("Downloading the session", received.bytes, received.total, received.bytes)

        session = await watched(asyncio.to_thread(self.load, session_id, received), count)
        received.total = received.bytes
        count()
        return session

    def load(self, session_id: str, received: ByteCount | None = None) -> Session:
        """Do what `open_or_new` does, in this thread and in silence."""
        count = received or ByteCount()
        folders = Folders.make(self._scratch.folder())
        with self.store.download(session_id) as download:
            if download is None:
                return Session(session_id, folders, Inventory(), self._limits, None)
            count.total = download.size
            inventory = unpack(count.counted(download.chunks), folders, self._limits)
        return Session(session_id, folders, inventory, self._limits, download.version)

    async def metadata(self, session_id: str, report: Report) -> Metadata:
        """Return a session's metadata alone; raise SessionNotFound."""
        return (await self.open(session_id, report)).metadata
