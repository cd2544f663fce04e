"""How alike two files are by git's own measure, which decides what counts as a rename."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache

from msgspec import Struct

MOST = 60_000  # git's MAX_SCORE
RENAMED = MOST // 2  # the score from which a file counts as renamed
RENAMED_IN_NAME = RENAMED * 3 // 2  # the same for two files that alone have a name, which git compares first
_CHUNK = 64  # bytes of a line after which git begins another chunk
_BUCKETS = 107_927
_WORD = 0xFFFFFFFF
_COMPARISONS = 2_000  # after that many, and for larger files, the answer is "perhaps"
_BYTES = 256 * 1024


class Likeness(Struct, frozen=True):
    """The score of two files: the least and the most that any version of git may give them."""

    least: int
    most: int


_PERHAPS = Likeness(0, MOST)
_DIFFERENT = Likeness(0, 0)


class Similarity:
    """Compares blobs, which `read` returns by their ids, and stops when that takes too long."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = cache(read)
        self._chunks = cache(self._count)
        self._left = _COMPARISONS

    def compare(self, old: str, new: str) -> Likeness:
        """Score a rename of the blob `old` to the blob `new`."""
        self._left -= 1
        if self._left < 0:
            return _PERHAPS
        sizes = len(self._read(old)), len(self._read(new))
        if max(sizes) * RENAMED < (max(sizes) - min(sizes)) * MOST:
            return _DIFFERENT
        if max(sizes) > _BYTES:
            return _PERHAPS
        scores = [
            (self._chunks(old, way) & self._chunks(new, way)).total() * MOST // max(sizes)
            for way in self._ways(old, new)
        ]
        return Likeness(min(scores), max(scores))

    def _ways(self, old: str, new: str) -> list[tuple[bool, bool]]:
        """Return how gits may cut the files: an attribute makes a file binary, and 2.39 forgets its end."""
        files = self._read(old), self._read(new)
        texts = {False} if all(b"\r\n" not in file for file in files) else {False, True}
        ends = {False} if all(file.endswith(b"\n") for file in files) else {False, True}
        return [(text, end) for text in texts for end in ends]

    def _count(self, blob: str, way: tuple[bool, bool]) -> Counter[int]:
        text, end = way
        content = self._read(blob)
        return _buckets(content.replace(b"\r\n", b"\n") if text else content, end)


def _buckets(content: bytes, end: bool) -> Counter[int]:
    """Count the bytes of a file's chunks by their hashes, as `hash_chars` of diffcore-delta.c does."""
    counts: Counter[int] = Counter()
    for line in _lines(content):
        for start in range(0, len(line), _CHUNK):
            chunk = line[start : start + _CHUNK]
            if end or len(chunk) == _CHUNK or chunk.endswith(b"\n"):
                counts[_hash(chunk)] += len(chunk)
    return counts


def _lines(content: bytes) -> list[bytes]:
    *lines, last = content.split(b"\n")
    return [line + b"\n" for line in lines] + [last]


def _hash(chunk: bytes) -> int:
    one = two = 0
    for byte in chunk:
        one, two = (((one << 7) & _WORD) ^ (two >> 25)) + byte & _WORD, ((two << 7) & _WORD) ^ (one >> 25)
    return (one + two * 0x61 & _WORD) % _BUCKETS
