"""The pointers that stand in commits for large files, as git-lfs reads and writes them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from msgspec import Struct

LONGEST = 1024  # bytes: what has as many is content
_VERSIONS = {
    b"https://git-lfs.github.com/spec/v1",
    b"https://hawser.github.com/spec/v1",
    b"http://git-media.io/v/2",
}
_KEYS = (b"version", b"oid", b"size")
_EXTENSION = re.compile(rb"ext-[0-9]-\w+")
_OID = re.compile(rb"sha256:([0-9a-f]{64})")
_SIZE = re.compile(rb"\+?[0-9]{1,19}")
_MOST = 2**63 - 1


class Pointer(Struct, frozen=True):
    """The SHA-256 and the size of a content; one with extensions is of another content than its file's."""

    oid: str
    size: int
    is_extended: bool = False

    def encode(self) -> bytes:
        """Return the pointer as git-lfs writes it."""
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n"
        return text.encode()


def parse_pointer(data: bytes) -> Pointer | None:
    """Read the pointer that a whole file is, None where it is content."""
    if len(data) >= LONGEST:
        return None
    lines = [line.removesuffix(b"\r") for line in data.strip().split(b"\n")]
    pairs = [line.partition(b" ") for line in lines if line]
    extensions = [key for key, _, _ in pairs if _EXTENSION.match(key)]
    values = [value for key, _, value in pairs if key not in extensions]
    if tuple(key for key, _, _ in pairs if key not in extensions) != _KEYS or values[0] not in _VERSIONS:
        return None
    oid, size = _OID.fullmatch(values[1]), _SIZE.fullmatch(values[2])
    if oid is None or size is None or int(size[0]) > _MOST:
        return None
    return Pointer(oid[1].decode(), int(size[0]), bool(extensions))


def point_to(file: Path | bytes, size: int) -> Pointer:
    """Return the pointer to the content of a file, which has this size."""
    with open(file, "rb", buffering=0) as content:
        return Pointer(hashlib.file_digest(content, "sha256").hexdigest(), size)
