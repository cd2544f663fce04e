"""The index of a pack (gitformat-pack), looked at before libgit2 1.9.7 believes it.

An offset beyond the pack makes libgit2 read beyond its memory, and deltas in a circle keep it for ever. All
else that is wrong with a pack it finds by itself.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack

from github_worker.archive.tar import quote
from github_worker.errors import SessionCorrupt

_MAGIC = b"\xfftOc"
_FANOUT = struct.Struct(">256I")
_ID = 20
_TRAILER = 2 * _ID
_FIRST_OBJECT = 12
_OFS_DELTA, _REF_DELTA = 6, 7
_HEAD = 32  # bytes: the longest head of a delta, its size and what it is a delta of
_AT_ONCE = 65536
_LONGEST_WALK = 10_000  # git makes no chain of over 4095 deltas
_MOST_KNOWN = 500_000


def check(file: bytes) -> None:
    """See that libgit2 can use the index in `file` with the pack beside it; raise SessionCorrupt.

    An index without a pack is used by nobody.
    """
    pack = file.removesuffix(b".idx") + b".pack"
    if not os.path.isfile(pack):
        return
    what = f"a pack that git cannot read: {quote(os.path.basename(file))}"
    with ExitStack() as stack:
        try:
            _Pack(_Index(_map(stack, file)), _map(stack, pack)).check()
        except (ValueError, IndexError, struct.error):  # a file is empty, or ends too early
            raise SessionCorrupt(f"The session's repository has {what}") from None


def _map(stack: ExitStack, file: bytes) -> mmap.mmap:
    with open(file, "rb") as opened:
        return stack.enter_context(mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ))


class _Index:
    """Finds the objects' places in a pack; raises ValueError or struct.error where it is no index."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._is_first_version = data[:4] != _MAGIC
        start = 0 if self._is_first_version else 8
        self._fanout = _FANOUT.unpack_from(data, start)
        self.count = self._fanout[-1]
        self._table = start + _FANOUT.size
        self._width = 24 if self._is_first_version else 28
        self._large = self._table + self._width * self.count
        self._large_count = (len(data) - self._large - _TRAILER) // 8
        if list(self._fanout) != sorted(self._fanout) or self._large_count < 0:
            raise ValueError

    def offsets(self) -> Iterator[array[int]]:
        """Yield all places, many at once, in the order of the objects' ids."""
        for start in range(0, self.count, _AT_ONCE):
            yield self._offsets(start, min(start + _AT_ONCE, self.count))

    def find(self, oid: bytes) -> int | None:
        """Return the place of an object."""
        first = self._fanout[oid[0] - 1] if oid[0] else 0
        at = bisect_left(range(self._fanout[oid[0]]), oid, lo=first, key=self._id)
        return self._offsets(at, at + 1)[0] if at < self.count and self._id(at) == oid else None

    def _id(self, number: int) -> bytes:
        at = self._table + (24 * number + 4 if self._is_first_version else _ID * number)
        return self._data[at : at + _ID]

    def _offsets(self, start: int, end: int) -> array[int]:
        if self._is_first_version:
            return self._numbers("I", self._table + 24 * start, 6 * (end - start))[::6]
        offsets = self._numbers("I", self._table + 24 * self.count + 4 * start, end - start)
        return offsets if max(offsets) < 2**31 else array("Q", map(self._resolve, offsets))

    def _resolve(self, offset: int) -> int:
        """Return a place, which may be said in the table of those that need more than 31 bits."""
        if offset < 2**31:
            return offset
        if (number := offset - 2**31) >= self._large_count:
            raise ValueError
        return self._numbers("Q", self._large + 8 * number, 1)[0]

    def _numbers(self, kind: str, at: int, count: int) -> array[int]:
        numbers = array(kind)
        numbers.frombytes(self._data[at : at + count * numbers.itemsize])
        if sys.byteorder == "little":
            numbers.byteswap()
        return numbers


class _Pack:
    """A pack whose deltas are followed as libgit2 follows them; raises ValueError or IndexError."""

    def __init__(self, index: _Index, data: mmap.mmap) -> None:
        self._index = index
        self._data = data
        self._known: set[int] = set()

    def check(self) -> None:
        """See that every object is in the pack, and every chain of deltas has an end."""
        last = len(self._data) - _ID - 1
        for offsets in self._index.offsets():
            if min(offsets) < _FIRST_OBJECT or max(offsets) > last:
                raise ValueError
            for offset, byte in zip(offsets, map(self._data.__getitem__, offsets), strict=True):
                if byte & 0x60 == 0x60:  # a delta of either kind
                    self._follow(offset)

    def _follow(self, offset: int) -> None:
        chain: list[int] = []
        base: int | None = offset
        while base is not None and base not in self._known:
            if len(chain) == _LONGEST_WALK:
                raise ValueError
            chain.append(base)
            base = self._base(base)
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known.update(chain)

    def _base(self, offset: int) -> int | None:
        """Return where the object is that the one at `offset` is a delta of."""
        head = self._data[offset : offset + _HEAD]
        at = 0
        while head[at] & 0x80:
            at += 1
        at += 1
        kind = head[0] >> 4 & 7
        if kind == _REF_DELTA:
            return self._index.find(head[at : at + _ID])
        if kind != _OFS_DELTA:
            return None
        distance = head[at] & 0x7F
        while head[at] & 0x80:
            at += 1
            distance = (distance + 1 << 7) + (head[at] & 0x7F)
        if not 0 < distance <= offset - _FIRST_OBJECT:
            raise ValueError
        return offset - distance
