"""What libgit2 and a git server say, translated to this service's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pygit2

from github_worker.errors import (
    AuthenticationFailed,
    JobError,
    PermissionDenied,
    RemoteUnavailable,
    RepositoryNotFound,
)
from github_worker.redaction import scrub

_STATUS = re.compile(r"unexpected http status code: (\d{3})")
_AUTHENTICATION = re.compile(
    r"authentication (?:required|replays)|no callback set|unsupported authentication|too many redirects"
)
_DENIED = re.compile(r"permission|denied|not authorized|write access|protected|scope", re.IGNORECASE)
_STATUS_ERRORS: dict[str, type[JobError]] = {
    "401": AuthenticationFailed,
    "403": PermissionDenied,
    "404": RepositoryNotFound,
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a network call of libgit2 raises into a JobError."""
    try:
        yield
    except (pygit2.GitError, OSError, ValueError, KeyError) as error:
        message = scrub(str(error))
        raise decipher(message)(f"The git server: {message}") from error


def decipher(message: str) -> type[JobError]:
    """Tell from libgit2's words what went wrong with a remote."""
    if status := _STATUS.search(message):
        return _STATUS_ERRORS.get(status[1], RemoteUnavailable)
    return AuthenticationFailed if _AUTHENTICATION.search(message) else RemoteUnavailable


def is_denial(reason: str) -> bool:
    """Tell whether a remote's reason for refusing a ref is about rights."""
    return _DENIED.search(reason) is not None
