"""What libgit2 and a git server say, translated to this service's errors."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pygit2

from github_worker import disk
from github_worker.errors import (
    AuthenticationFailed,
    JobError,
    PermissionDenied,
    PushRejected,
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
_NOT_SMART = "it does not answer as one over smart HTTP, and the dumb protocol is not supported"
# What a git server is for good, by libgit2's words for it.
_UNSUPPORTED = {
    "unknown remote object format": "its repository names objects by SHA-256, which is not supported",
    "invalid content-type": _NOT_SMART,
    "no content-type header": _NOT_SMART,
    "error parsing REF pkt-line": "it speaks version 2 of git's protocol alone, which is not supported",
    # libgit2 takes an answer with neither Content-Length nor chunks for an empty one.
    "could not read refs": "it does not say how long its answers are (HTTP/1.0), which is not supported",
}
_PATH = re.compile(r"'(.*)'|symlink (.*): ", re.DOTALL)
_SHOWN = 200  # characters of a path


class RemoteFaltered(RemoteUnavailable):
    """The git server failed in a way that may be over in a moment."""


_STATUS_ERRORS: dict[str, type[JobError]] = {
    "401": AuthenticationFailed,
    "403": PermissionDenied,
    "404": RepositoryNotFound,
    "413": PushRejected,
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
        raise decipher(message) from error


@contextmanager
def damage_translated() -> Iterator[None]:
    """Turn what libgit2 raises at the session's own repository into a JobError."""
    try:
        yield
    except pygit2.GitError as error:
        message = scrub(str(error))
        if disk.is_full(message):
            raise disk.no_room() from error
        if "invalid path" in message or os.strerror(errno.ENAMETOOLONG) in message:
            raise UnsupportedRepository(
                f"The repository has a path that no checkout can make: {_path(message)}"
            ) from error
        if "unsupported" in message:
            raise UnsupportedRepository(f"The repository cannot be worked in: {message}") from error
        raise SessionCorrupt(f"The session's repository is damaged: {message}") from error


def decipher(message: str) -> JobError:
    """Tell from libgit2's words what went wrong with a remote."""
    for words, meaning in _UNSUPPORTED.items():
        if words in message:
            return UnsupportedRepository(f"The git server cannot be worked with: {meaning} ({message})")
    return _kind(message)(f"The git server: {message}")


def _kind(message: str) -> type[JobError]:
    if status := _STATUS.search(message):
        faltered = RemoteFaltered if status[1].startswith("5") else RemoteUnavailable
        return _STATUS_ERRORS.get(status[1], faltered)
    if _AUTHENTICATION.search(message):
        return AuthenticationFailed
    return RemoteUnavailable if _SILENT.search(message) else RemoteFaltered


def _path(message: str) -> str:
    match = _PATH.search(message)
    path = (match[1] or match[2]) if match else message
    return path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"


def is_denial(reason: str) -> bool:
    """Tell whether a remote's reason for refusing a ref is about rights."""
    return _DENIED.search(reason) is not None
