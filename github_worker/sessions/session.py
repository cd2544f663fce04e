"""A session, unpacked: where its parts are on the disk, and how it is read from a store and packed again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from github_worker.archive.limits import Limits
from github_worker.archive.pack import pack
from github_worker.archive.quarantine import FolderContents, Folders, Inventory
from github_worker.archive.unpack import unpack
from github_worker.progress import ByteCount
from github_worker.redaction import hide
from github_worker.retry import retry
from github_worker.scratch import Scratch
from github_worker.sessions.metadata import DownloadInterrupted, Metadata, translate_interruption
from github_worker.storage import Store

WORKSPACE = Path("workspace/workspace")


class RepositoryFolders(Struct, frozen=True):
    """Where a repository of the session is, and what git must not see of it.

    `quarantine` is the folder of the files of its `.git` that libgit2 does not see. `nested` are folders
    below the worktree (`.` is itself) whose `.git` is kept from libgit2, `misnamed` are paths that git takes
    for a `.git`, such as `.GIT`, and never adds, `attribute_files` those named `.gitattributes`.
    """

    worktree: Path
    quarantine: Path
    nested: list[str]
    misnamed: list[str]
    attribute_files: list[Path]
    contents: Callable[..., FolderContents]


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

    def repository_folders(self, cloned_path: str) -> RepositoryFolders:
        """Return where the repository at `cloned_path` is, or will be."""
        path, inventory = WORKSPACE / cloned_path, self.inventory
        worktree = self.folders.tree / path

        return RepositoryFolders(
            worktree,
            self.folders.quarantine / path / ".git",
            _below(path, inventory.quarantined_repositories),
            _below(path, inventory.misnamed),
            [worktree / name for name in _below(path, inventory.contents.attribute_files)],
            partial(inventory.contents.of_folder, os.fsencode(path), os.fsencode(worktree)),
        )

    def pack(self, before_worktree: Callable[[], None], before_tail: Callable[[], None]) -> Iterator[bytes]:
        """Pack it; the two callables block until those parts are ready."""
        return pack(
            self.folders,
            self.inventory,
            self._limits,
            before_worktree=before_worktree,
            before_tail=before_tail,
        )


def load_session(
    session_id: str, store: Store, scratch: Scratch, limits: Limits, received: ByteCount
) -> Session:
    """Download and unpack a session, or begin one where there is none; what breaks off is fetched anew."""
    return retry(lambda: _load(session_id, store, scratch, limits, received), DownloadInterrupted)


def _load(session_id: str, store: Store, scratch: Scratch, limits: Limits, received: ByteCount) -> Session:
    folder = scratch.folder()
    folders = Folders.make(folder)
    hide(folders.tree)
    hide(folders.quarantine)
    try:
        with store.download(session_id) as download:
            if download is None:
                return Session(session_id, folders, Inventory(), limits, None)
            received.size, received.total = 0, download.size
            inventory = unpack(
                translate_interruption(received.count_chunks(download.chunks)), folders, limits
            )
        return Session(session_id, folders, inventory, limits, download.version)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _below(root: Path, paths: Iterable[bytes]) -> list[str]:
    """Return those of the archive's paths that are below a folder, relative to it."""
    decoded = (os.fsdecode(path) for path in paths)
    return [os.path.relpath(path, root) for path in decoded if f"{path}/".startswith(f"{root}/")]
