"""This worker's own disk, and what its failures mean for a job."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from github_worker.errors import Internal, SessionTooLarge

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BROKEN = (errno.EIO, errno.EROFS)


@contextmanager
def failures_translated() -> Iterator[None]:
    """Turn a disk that is full into SessionTooLarge, and one that is broken into Internal."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise no_room() from error
        if error.errno in _BROKEN:
            raise Internal(f"This worker's disk failed: {os.strerror(error.errno)}") from error
        raise


def is_full(message: str) -> bool:
    """Tell whether a native library's words are about a disk that is full."""
    return any(os.strerror(number) in message for number in _FULL)


def no_room() -> SessionTooLarge:
    """Say that the disk is full."""
    return SessionTooLarge("The session does not fit on this worker's disk")
