"""Reads the bodies of answers that others write, up to a limit that holds before and after inflating."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable

from github_worker.errors import GitHubWorkerError

ACCEPTED = {"Accept-Encoding": "gzip"}
_GZIP = {"gzip", "x-gzip"}
_GZIP_MEMBER = 16 + zlib.MAX_WBITS


class BodyRefused(GitHubWorkerError):
    """The body is too long, or is encoded in a way that was not asked for; the message says which."""


class Body:
    """Collects a body piece by piece, whose `encoding` is what its `Content-Encoding` says.

    Libraries inflate a whole piece at once, a thousandfold where its writer wants that: here no more
    is inflated than the `limit`, in bytes, leaves room for.
    """

    def __init__(self, encoding: str | None, limit: int) -> None:
        coding = (encoding or "identity").strip().lower()
        if coding not in _GZIP | {"identity"}:
            raise BodyRefused("it is encoded in a way that was not asked for")
        self._inflater = zlib.decompressobj(_GZIP_MEMBER) if coding in _GZIP else None
        self._limit, self._received = limit, 0
        self._content = bytearray()

    def add(self, piece: bytes) -> None:
        """Add a piece as it came; raise BodyRefused where it is one too many, or no gzip."""
        self._received += len(piece)
        if self._received <= self._limit:
            self._content += self._inflate(piece)
        if max(self._received, len(self._content)) > self._limit:
            raise BodyRefused(f"it is over {self._limit:,} bytes")

    def _inflate(self, piece: bytes) -> bytes:
        if self._inflater is None:
            return piece
        try:
            return self._inflater.decompress(piece, self._limit - len(self._content) + 1)
        except zlib.error:
            raise BodyRefused("it is no sound gzip") from None

    @property
    def content(self) -> bytes:
        """What was collected, inflated."""
        return bytes(self._content)


async def read_body(pieces: AsyncIterable[bytes], encoding: str | None, limit: int) -> bytes:
    """Read a body from its pieces as they come; raise BodyRefused."""
    body = Body(encoding, limit)
    async for piece in pieces:
        body.add(piece)
    return body.content
