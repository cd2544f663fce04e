"""Scratch space: a private folder of this process, and the removal of what dead ones left."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from github_worker.errors import Internal, JobError, SessionTooLarge
from github_worker.redaction import hide, unhide

_PREFIX = "github-worker-job-"
_LOCK = ".lock"


class Scratch:
    """A folder that only this process may enter (0700), and that is gone when the job ends."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent
        self._folder: Path | None = None
        self._lock: int | None = None

    def open(self, *, take_in: bool = True) -> Path:
        """Make it, unless it is there, and move into it what killed processes left; return where it is."""
        if self._folder is None:
            self._folder = self._create()
            if take_in:
                self._take_in(self._folder)
        return self._folder

    def folder(self) -> Path:
        """Make a folder in it."""
        folder = Path(tempfile.mkdtemp(dir=self.open()))
        hide(folder)
        return folder

    def remove(self) -> None:
        """Remove everything that was made in it."""
        if self._folder is not None:
            _remove(self._folder)
            unhide(self._folder)
            self._folder = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def sweep(self) -> None:
        """Remove what `open` has moved into it, which may take long."""
        own = self.open()
        for name in os.listdir(own):  # a pattern would be compiled first, for each job anew
            if name.startswith(_PREFIX):
                _remove(own / name)

    def _create(self) -> Path:
        # Locked before it has the name that others look for.
        new = Path(tempfile.mkdtemp(prefix=".github-worker-", dir=self.parent))
        self._lock = _lock_folder(new)
        folder = new.rename(self.parent / f"{_PREFIX}{new.name.rpartition('-')[2]}")
        hide(folder)
        return folder

    def _take_in(self, own: Path) -> None:
        """Move the folders of dead processes, which alone are not locked, to where this one may write."""
        for folder in self.parent.glob(f"{_PREFIX}*"):
            if folder != own and not folder.is_symlink() and (lock := _lock_folder(folder)) is not None:
                with suppress(OSError):  # another one was faster
                    folder.rename(own / folder.name)
                os.close(lock)


def _lock_folder(folder: Path) -> int | None:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:  # another user's, or gone
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BROKEN = (errno.EIO, errno.EROFS)


def explain_disk_failure(error: Exception) -> JobError | None:
    """Return SessionTooLarge for a disk that is full, Internal for one that is broken, None for all else."""
    if not isinstance(error, OSError):
        return None
    if error.errno in _FULL:
        return no_room()
    return (
        Internal(f"This worker's disk failed: {os.strerror(error.errno)}") if error.errno in _BROKEN else None
    )


def is_disk_full(message: str) -> bool:
    """Tell whether a native library's words are about a disk that is full."""
    return any(os.strerror(number) in message for number in _FULL)


def no_room() -> SessionTooLarge:
    """Say that the disk is full."""
    return SessionTooLarge("The session does not fit on this worker's disk")
