"""What can go wrong with a session's files, as one tree.

    SessionError
    ├── SessionNotFound     there is none of this id
    ├── SessionConflict     another writer saved it meanwhile
    ├── SessionCorrupt      its archive cannot be read
    ├── SessionTooLarge     it is over the limits, or there is no room for it
    ├── NoRepository        it holds none, or its metadata names one that is not there
    ├── FilesUnsettled      its files keep changing while they are saved, or one cannot be read
    ├── StoreUnavailable    the store does not answer, or refuses
    └── NotOffered          the store does not list or delete sessions

All of them are a GitHubWorkerError.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from github_worker import errors as service
from github_worker import storage
from github_worker.archive.whole import FilesChanged
from github_worker_client.errors import GitHubWorkerError


class SessionError(GitHubWorkerError):
    """The base of what goes wrong with a session's files.

    `folder` is where the files are that could not be saved, None where there are none.
    """

    code = "session_error"
    folder: Path | None = None


class SessionNotFound(SessionError):
    """The store has no session of this id."""

    code = "session_not_found"


class SessionConflict(SessionError):
    """Another writer saved the session meanwhile, and nothing was overwritten.

    `ours` is when the version was saved that was checked out, None if there was none; `theirs` when the one
    that the store has now, None if it has none any more. Each is None too where the store does not tell.
    """

    code = "session_conflict"

    def __init__(self, message: str, *, ours: datetime | None, theirs: datetime | None) -> None:
        super().__init__(message)
        self.ours = ours
        self.theirs = theirs


class SessionCorrupt(SessionError):
    """The session's archive cannot be read."""

    code = "session_corrupt"


class SessionTooLarge(SessionError):
    """The session is over the limits, or there is no room for it."""

    code = "session_too_large"


class NoRepository(SessionError):
    """The session holds no repository where its metadata says."""

    code = "no_repository"


class FilesUnsettled(SessionError):
    """The session's files keep changing while they are saved, or one of them cannot be read."""

    code = "files_unsettled"
    retryable = True


class StoreUnavailable(SessionError):
    """The store does not answer, or refuses."""

    code = "storage_unavailable"
    retryable = True


class NotOffered(SessionError):
    """The store does not do this."""

    code = "not_offered"


_KINDS: dict[type[Exception], type[SessionError]] = {
    service.SessionCorrupt: SessionCorrupt,
    service.SessionTooLarge: SessionTooLarge,
    service.StorageUnavailable: StoreUnavailable,
    storage.NotOffered: NotOffered,
    FilesChanged: FilesUnsettled,
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the service's own packages and the disk end in as a SessionError."""
    try:
        yield
    except tuple(_KINDS) as error:
        raise next(ours for kind, ours in _KINDS.items() if isinstance(error, kind))(str(error)) from error
    except OSError as error:
        kind = SessionTooLarge if error.errno in _FULL else FilesUnsettled
        raise kind(f"The session's files cannot be read or written: {_describe(error)}") from error


def _describe(error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return reason if error.filename is None else f"{os.fsdecode(error.filename)!a}: {reason}"
