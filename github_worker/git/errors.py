"""What libgit2 and a git server say, translated to this service's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pygit2

from github_worker import disk
from github_worker.errors import (
    AuthenticationFailed,
    JobError,
    PermissionDenied,
    RateLimited,
    RemoteUnavailable,
    RepositoryNotFound,
    SessionCorrupt,
    UnsupportedRepository,
)
from github_worker.redaction import scrub

_STATUS = re.compile(r"unexpected http status code: (\d{3})")
_AUTHENTICATION = re.compile(
    r"authentication (?:required|replays|that we)|no callback set|unsupported authentication"
    r"|too many redirects"
)
_DENIED = re.compile(r"permission|denied|not authorized|write access|protected|scope", re.IGNORECASE)
_SILENT = re.compile(r"timed out", re.IGNORECASE)


class RemoteFaltered(RemoteUnavailable):
    """The git server failed in a way that may be over in a moment."""


_STATUS_ERRORS: dict[str, type[JobError]] = {
    "401": AuthenticationFailed,
    "403": PermissionDenied,
    "404": RepositoryNotFound,
    "429": RateLimited,
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a network call of libgit2 raises into a JobError."""
    try:
        yield
    except (pygit2.GitError, OSError, ValueError, KeyError) as error:
        message = scrub(str(error))
        if disk.is_full(message):
            raise disk.no_room() from error
        raise decipher(message)(f"The git server: {message}") from error


@contextmanager
def damage_translated() -> Iterator[None]:
    """Turn what libgit2 raises at the session's own repository into a JobError."""
    try:
        yield
    except pygit2.GitError as error:
        message = scrub(str(error))
        if disk.is_full(message):
            raise disk.no_room() from error
        if "unsupported" in message:
            raise UnsupportedRepository(f"The repository cannot be worked in: {message}") from error
        raise SessionCorrupt(f"The session's repository is damaged: {message}") from error


def decipher(message: str) -> type[JobError]:
    """Tell from libgit2's words what went wrong with a remote."""
    if status := _STATUS.search(message):
        faltered = RemoteFaltered if status[1].startswith("5") else RemoteUnavailable
        return _STATUS_ERRORS.get(status[1], faltered)
    if _AUTHENTICATION.search(message):
        return AuthenticationFailed
    return RemoteUnavailable if _SILENT.search(message) else RemoteFaltered


def is_denial(reason: str) -> bool:
    """Tell whether a remote's reason for refusing a ref is about rights."""
    return _DENIED.search(reason) is not None
