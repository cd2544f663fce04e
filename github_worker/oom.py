"""Whom the kernel kills first when memory runs out: Linux's `oom_score_adj` (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FILE = "/proc/self/oom_score_adj"
_MORE = 500  # thousandths of the memory there is, which the kernel counts on top of what a process has
_MOST = 1000


class OomScore:
    """The score of this process, which needs no privilege to be raised or to be what it was again.

    Open it before the process is sealed, as its file is root's from then on. Where there is none, nothing is
    raised.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        with suppress(OSError):  # another system, or one that does not show it
            self._file = os.open(_FILE, os.O_RDWR | os.O_CLOEXEC)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise the score for the block, so that what is forked in it is killed before this process."""
        if (file := self._file) is None:
            yield
            return
        before = int(os.pread(file, 16, 0))
        os.pwrite(file, b"%d" % min(before + _MORE, _MOST), 0)
        try:
            yield
        finally:
            os.pwrite(file, b"%d" % before, 0)

    def close(self) -> None:
        """Close the file: a process that was forked shares it, and it is its parent's score."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
