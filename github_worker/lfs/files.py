"""The large files of one session's repository: what git-lfs's filters, its fetch and its push do."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from io import FileIO
from pathlib import Path

from github_worker.errors import FileTooLarge, JobError, SessionTooLarge
from github_worker.lfs.locks import find_locks, refuse_locked
from github_worker.lfs.pointer import LONGEST, Pointer, parse_pointer, point_to
from github_worker.lfs.server import Server
from github_worker.lfs.store import Store, copy, open_no_follow
from github_worker.lfs.transfer import Transfers
from github_worker.progress import Report
from github_worker.settings import Settings

_SHOWN = 5
_MOST_WARNINGS = 20


class LargeFiles:
    """The objects of a session's `store`, and those of its repository's `server`; its methods block."""

    def __init__(self, store: Store, server: Server, settings: Settings, report: Report) -> None:
        self._store, self._server = store, server
        self._settings, self._report = settings, report

    def moved_to(self, store: Store) -> LargeFiles:
        """Return the same for another store, which takes in the objects of this one."""
        store.copy_from(self._store)
        return LargeFiles(store, self._server, self._settings, self._report)

    def clean(self, file: bytes, size: int) -> tuple[bytes, Pointer | None]:
        """Return what stands in a commit for a file, and the pointer to its content if it is none itself."""
        if size < LONGEST:
            with open_no_follow(file) as content:
                if parse_pointer(data := content.read()) is not None:
                    return data, None
        pointer = point_to(file, size)
        return pointer.encode(), pointer

    def keep(self, folder: Path, files: Mapping[bytes, Pointer]) -> None:
        """Take the contents of files in a folder into the store; raise FileTooLarge before any is."""
        self._check(set(files.values()), FileTooLarge, f"The new large files ({_list(files)})")
        for path, pointer in files.items():
            self._store.copy_in(os.fsencode(folder) + b"/" + path, pointer)

    def fetch(self, files: Mapping[str, Pointer], branch: str) -> None:
        """Let the objects of files be in the store; raise SessionTooLarge before any is fetched.

        What the server does not have is a warning.
        """
        lacking = {path: pointer for path, pointer in files.items() if pointer not in self._store}
        pointers = sorted(set(lacking.values()), key=lambda pointer: pointer.oid)
        if not pointers:
            return
        self._check(pointers, SessionTooLarge, "The large files of the branch")
        total = sum(pointer.size for pointer in pointers)
        self._report("fetching_lfs", f"Fetching {_count(pointers)}")
        with self._server:
            absent = self._transfers(branch, total).download(pointers)
        fetched = sum(pointer.size for pointer in pointers if pointer not in absent)
        self._report.count_last(fetched, fetched)
        self._warn_of_absence([path for path, pointer in lacking.items() if pointer in absent])

    def _warn_of_absence(self, paths: Sequence[str]) -> None:
        for path in paths[:_MOST_WARNINGS]:
            self._report.warning("lfs_missing", f"{path} is its pointer still: the server has no such object")
        if more := len(paths[_MOST_WARNINGS:]):
            self._report.warning("lfs_missing", f"{more} more files are their pointers still")

    def has(self, pointer: Pointer) -> bool:
        """Tell whether an object is in the store."""
        return pointer in self._store

    def open(self, pointer: Pointer) -> FileIO:
        """Open an object of the store."""
        return self._store.open(pointer)

    def write(self, pointer: Pointer, file: bytes) -> None:
        """Write an object over a file, which is no link."""
        number = os.open(file, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(number, "wb", buffering=0) as target, self._store.open(pointer) as source:
            copy(source, target)

    def push(self, pointers: Collection[Pointer], paths: Iterable[str], branch: str) -> None:
        """Send what the server lacks of what is to be pushed; raise FileLocked before anything is sent."""
        with self._server:
            refuse_locked(find_locks(self._server, branch, self._warn_of_locks), paths)
            if pointers:
                self._upload(pointers, branch)

    def _upload(self, pointers: Collection[Pointer], branch: str) -> None:
        self._check(pointers, FileTooLarge, "The large files that are not pushed yet")
        self._report("uploading_lfs", f"Uploading {_count(pointers)}, as far as the server lacks them")
        sent = self._transfers(branch, None).upload(sorted(pointers, key=lambda pointer: pointer.oid))
        self._report.count_last(sent, sent)

    def _transfers(self, branch: str, total: int | None) -> Transfers:
        return Transfers(
            self._server, self._store, branch, lambda size: self._report.count(size, total, size)
        )

    def warn_of_config(self) -> None:
        """Say that the repository's own words on where its large files are count for nothing."""
        self._report.warning("lfs_config_ignored", _IGNORED)

    def warn_of_extension(self, path: str) -> None:
        """Say that a file stays a pointer, as a program of the session's would have to make its content."""
        self._report.warning("lfs_missing", f"{path} is its pointer still: it needs an extension of git-lfs")

    def _warn_of_locks(self, message: str) -> None:
        self._report.warning("lfs_locks_unknown", message)

    def _check(self, pointers: Collection[Pointer], error: type[JobError], what: str) -> None:
        """Raise an error for more objects, or more bytes of them, than a job may move."""
        size, most = sum(pointer.size for pointer in pointers), self._settings.lfs_max_bytes
        if len(pointers) > self._settings.lfs_max_objects:
            limit = f"LFS_MAX_OBJECTS is {self._settings.lfs_max_objects:,}"
            raise error(f"{what} are {len(pointers):,}; {limit}")
        if size > most:
            raise error(f"{what} have {size:,} bytes; LFS_MAX_BYTES is {most:,}")


_IGNORED = (
    "The repository's .lfsconfig is not heeded: its large files are fetched from, and sent to, its own server"
)


def _count(pointers: Collection[Pointer]) -> str:
    return "1 large file" if len(pointers) == 1 else f"{len(pointers)} large files"


def _list(paths: Collection[bytes]) -> str:
    first = ", ".join(os.fsdecode(path) for path in sorted(paths)[:_SHOWN])
    return f"{first}, …" if len(paths) > _SHOWN else first
