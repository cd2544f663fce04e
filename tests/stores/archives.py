"""Archives to save, and what comes back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from github_worker.storage import Store

SMALL = 1000
LARGE = 21 * 1024 * 1024  # more than goes in one request


def archive(size: int, seed: int = 0) -> bytes:
    """Return bytes that do not repeat."""
    return random.Random(seed).randbytes(size)  # noqa: S311


def chunks(data: bytes, then: Callable[[], object] = lambda: None) -> Iterator[bytes]:
    """Yield `data` in uneven chunks, calling `then` before the last of them."""
    step = max(1, min(len(data) // 3, 700_001))
    starts = range(0, len(data), step)
    for start in starts:
        if start == starts[-1]:
            then()
        yield data[start : start + step]


def load(store: Store) -> tuple[bytes, str] | None:
    """Return the archive of `session-1` and its version."""
    with store.download("session-1") as download:
        if download is None:
            return None
        data = b"".join(download.chunks)
        assert download.size == len(data)
        return data, download.version


def version(store: Store) -> str:
    """Return the version of `session-1`, its archive unread."""
    with store.download("session-1") as download:
        assert download is not None
        return download.version
