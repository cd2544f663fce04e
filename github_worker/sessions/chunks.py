"""Archives on their way to a store: what is small goes in one request, what is large in a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

WHOLE = 16 * 1024 * 1024  # bytes at most that are held in memory, to be sent in one request


def take(chunks: Iterator[bytes]) -> tuple[deque[bytes], bool]:
    """Return the first chunks, and whether they are all, at most `WHOLE` bytes."""
    first: deque[bytes] = deque()
    size = 0
    for chunk in chunks:
        first.append(chunk)
        size += len(chunk)
        if size > WHOLE:
            return first, False
    return first, True


def chained(first: deque[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    """Yield `first`, emptying it, and then `rest`."""
    while first:
        yield first.popleft()
    yield from rest
