"""Sessions as operations see them: opened from the store, worked on in folders, saved whole or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from github_worker.archive.contents import FolderContents
from github_worker.archive.limits import Limits
from github_worker.archive.pack import pack
from github_worker.archive.quarantine import Folders, Inventory
from github_worker.archive.unpack import unpack
from github_worker.errors import SessionNotFound, StorageUnavailable
from github_worker.progress import ByteCount, Report, watched
from github_worker.redaction import hide
from github_worker.retry import retried
from github_worker.scratch import Scratch
from github_worker.sessions.metadata import Metadata
from github_worker.storage import Store

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

    def quarantined_repositories(self, cloned_path: str) -> list[str]:
        """Return the folders below the worktree (`.` is itself) whose `.git` is kept from libgit2."""
        return _below(f"{WORKSPACE}/{cloned_path}", self.inventory.quarantined_repositories)

    def misnamed(self, cloned_path: str) -> list[str]:
        """Return the paths below the worktree that git takes for a `.git`, such as `.GIT`, and never adds."""
        return _below(f"{WORKSPACE}/{cloned_path}", self.inventory.misnamed)

    def kept_file(self, cloned_path: str, name: str) -> Path:
        """Return where a file of the repository's `.git` is kept that libgit2 does not see."""
        return self.folders.quarantine / WORKSPACE / cloned_path / ".git" / name

    def contents(self, cloned_path: str, *, converting: bool) -> FolderContents:
        """Return which content the worktree's files had when they were unpacked."""
        return self.inventory.contents.of_folder(
            os.fsencode(WORKSPACE / cloned_path),
            os.fsencode(self.worktree(cloned_path)),
            converting=converting,
        )

    def attribute_files(self, cloned_path: str) -> list[Path]:
        """Return the files named `.gitattributes` that were unpacked into the worktree."""
        below = _below(f"{WORKSPACE}/{cloned_path}", self.inventory.contents.attribute_files)
        return [self.worktree(cloned_path) / path for path in below]

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

    def __init__(self, store: Store, scratch: Scratch, limits: Limits) -> None:
        self.store = store
        self._scratch = scratch
        self._limits = limits

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
        """Do what `open_or_new` does, in this thread and in silence; what breaks off is fetched anew."""
        return retried(lambda: self._load(session_id, received or ByteCount()), _BrokenOff)

    def _load(self, session_id: str, count: ByteCount) -> Session:
        folder = self._scratch.folder()
        folders = Folders.make(folder)
        hide(folders.tree)
        hide(folders.quarantine)
        try:
            return self._unpack(session_id, count, folders)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _unpack(self, session_id: str, count: ByteCount, folders: Folders) -> Session:
        with self.store.download(session_id) as download:
            if download is None:
                return Session(session_id, folders, Inventory(), self._limits, None)
            count.bytes, count.total = 0, download.size
            inventory = unpack(_whole(count.counted(download.chunks)), folders, self._limits)
        return Session(session_id, folders, inventory, self._limits, download.version)

    async def metadata(self, session_id: str, report: Report) -> Metadata:
        """Return a session's metadata alone; raise SessionNotFound."""
        return (await self.open(session_id, report)).metadata


def _below(root: str, paths: Iterable[bytes]) -> list[str]:
    decoded = (os.fsdecode(path) for path in paths)
    return [os.path.relpath(path, root) for path in decoded if f"{path}/".startswith(f"{root}/")]


class _BrokenOff(StorageUnavailable):
    """The archive began to arrive, and did not arrive whole."""


def _whole(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except StorageUnavailable as error:
        raise _BrokenOff(str(error)) from error
