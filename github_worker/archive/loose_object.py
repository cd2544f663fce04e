"""A loose object of git's, checked while it is unpacked: libgit2 1.9.7 inflates for ever a cut one."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from functools import partial

from github_worker.archive.limits import Tally
from github_worker.archive.tar import quote
from github_worker.errors import SessionCorrupt

_HEADER = re.compile(rb"(?:blob|tree|commit|tag) (0|[1-9][0-9]{0,18})\0")
_MAX_HEADER = 32  # bytes: git looks no further for its end
_STEP = 256 * 1024


def inspect(path: bytes, pieces: Iterable[memoryview], tally: Tally) -> Iterator[memoryview]:
    """Yield the pieces of the loose object at `path`, and see that git can read it, all but its hash.

    Raises SessionCorrupt, or SessionTooLarge for one that inflates to more than a session may.
    """
    inflation = _Inflation(tally)
    is_sound = True
    try:
        for piece in pieces:
            inflation.add(piece)
            yield piece
    except zlib.error:
        is_sound = False
    if not (is_sound and inflation.is_whole):
        raise SessionCorrupt(f"The session's repository has an object that git cannot read: {quote(path)}")


def inspect_file(path: bytes, file: bytes, tally: Tally) -> None:
    """See that git can read `file` as the loose object at `path`; raise as `inspect` does."""
    with open(file, "rb") as source:
        for _ in inspect(path, map(memoryview, iter(partial(source.read, _STEP), b"")), tally):
            pass


class _Inflation:
    """Inflates an object in bounded memory, and keeps nothing of it but its header."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        # zlib and not isal: what it takes, git and libgit2 take, and for small objects it is as fast.
        self._zlib = zlib.decompressobj()
        self._head = b""
        self._size = 0
        self._goes_on = False

    @property
    def is_whole(self) -> bool:
        """Tells whether the stream ended where the file does, with as much content as its header says."""
        header = _HEADER.match(self._head)
        if header is None or self._goes_on or not self._zlib.eof:
            return False
        return self._size == header.end() + int(header[1])

    def add(self, piece: memoryview) -> None:
        """Inflate one more piece; raise zlib.error, or SessionTooLarge."""
        rest: bytes | memoryview = piece
        while rest:
            if self._zlib.eof:
                self._goes_on = True
                return
            data = self._zlib.decompress(rest, _STEP)
            self._tally.add_inflated(len(data))
            self._size += len(data)
            self._head += data[: _MAX_HEADER - len(self._head)]
            rest = self._zlib.unconsumed_tail or self._zlib.unused_data
