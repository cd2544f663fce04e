"""Members of a tar archive: ustar and pax (POSIX.1-2017, pax), and what GNU tar adds to them.

Names are bytes, so that they come back as they were whatever their encoding.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from msgspec import Struct

BLOCK = 512
END = bytes(2 * BLOCK)

FILE, HARD_LINK, LINK, CHARACTER, DEVICE, FOLDER, PIPE = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
SPECIALS = frozenset((CHARACTER, DEVICE, PIPE))
PAX, GLOBAL_PAX, SOLARIS_PAX, LONG_NAME, LONG_LINK = b"x", b"g", b"X", b"L", b"K"
HEADERS = frozenset((PAX, GLOBAL_PAX, SOLARIS_PAX, LONG_NAME, LONG_LINK))

# name mode owner size mtime checksum kind link magic names device prefix
LAYOUT = struct.Struct("100s 8s 16s 12s 12s 8s c 100s 8s 64s 16s 155s 12x")
MAGIC = b"ustar\x0000"
NO_CHECKSUM = b" " * 8
NANO = 10**9
MAX_OCTAL_7, MAX_OCTAL_11 = 8**7 - 1, 8**11 - 1  # what fields of 8 and 12 bytes hold


class Owner(NamedTuple):
    """Whom a member belongs to."""

    uid: int
    gid: int
    uname: bytes
    gname: bytes


class Member(Struct):
    """One header, with what precedes it taken in; `mtime` is in nanoseconds, `records` are pax records."""

    path: bytes
    kind: bytes
    size: int
    mode: int
    mtime: int
    owner: Owner
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    records: dict[bytes, bytes] = {}


def shown(path: bytes) -> str:
    """Write a member's name so that it can stand in a message."""
    text = ascii(path[:200].decode("utf-8", "surrogateescape"))
    return text if len(path) <= 200 else f"{text}…"


def byte_sum(block: bytes | memoryview) -> int:
    """Return the sum of a block's bytes, which its checksum is made of."""
    # The low half of an Adler-32 is 1 plus the sum modulo 65521, which 256 bytes cannot reach.
    return (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
