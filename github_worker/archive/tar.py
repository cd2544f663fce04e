"""Members of a tar archive: ustar and pax (POSIX.1-2017, pax), and what GNU tar adds to them.

Names are bytes, so that they come back as they were whatever their encoding.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
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


_NOBODY = Owner(0, 0, b"", b"")


def encode(member: Member, *, subsecond: bool = False) -> bytes:
    """Write a member's header blocks; fractions of its `mtime` only with `subsecond`."""
    path = member.path + b"/" if member.kind == FOLDER else member.path
    prefix, name = _split(path)
    ids, names, records = _owner_fields(member.owner)
    seconds, fraction = divmod(member.mtime, NANO)
    extra = records | member.records
    if (fraction and subsecond) or not 0 <= seconds <= MAX_OCTAL_11:
        extra[b"mtime"] = _decimal_time(member.mtime)
    if member.size > MAX_OCTAL_11:
        extra[b"size"] = b"%d" % member.size
    block = _checked(
        LAYOUT.pack(
            _start(path, member.kind) if name is None else name,
            b"%07o" % member.mode,
            ids,
            b"%011o" % (member.size if member.size <= MAX_OCTAL_11 else 0),
            b"%011o" % (seconds if 0 <= seconds <= MAX_OCTAL_11 else 0),
            NO_CHECKSUM,
            member.kind,
            member.link,
            MAGIC,
            names,
            b"%07o\0%07o" % member.device,
            prefix,
        )
    )
    if extra:
        block = _pax_header(extra) + block
    if len(member.link) > 100:
        block = _long(LONG_LINK, member.link) + block
    return _long(LONG_NAME, path) + block if name is None else block


def _checked(block: bytes) -> bytes:
    return b"%b%06o\0%b" % (block[:148], byte_sum(block), block[155:])


def _split(path: bytes) -> tuple[bytes, bytes | None]:
    """Return the prefix and name of ustar; the name is None if the path does not fit."""
    if len(path) <= 100:
        return b"", path
    slash = path.rfind(b"/", 0, min(156, len(path) - 1))
    if slash <= 0 or len(path) - slash - 1 > 100:
        return b"", None
    return path[:slash], path[slash + 1 :]


def _start(path: bytes, kind: bytes) -> bytes:
    """Return what the header holds of a long path."""
    # Some readers, older node-tars among them, take a file for a folder if its name is cut behind a slash.
    return path[:100] if kind == FOLDER else path[:100].rstrip(b"/")


@lru_cache(maxsize=256)
def _owner_fields(owner: Owner) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    records = {
        key: b"%d" % number
        for key, number in ((b"uid", owner.uid), (b"gid", owner.gid))
        if number > MAX_OCTAL_7
    }
    records |= {
        key: name for key, name in ((b"uname", owner.uname), (b"gname", owner.gname)) if len(name) > 31
    }
    uid, gid = (number if number <= MAX_OCTAL_7 else 0 for number in owner[:2])
    return b"%07o\0%07o\0" % (uid, gid), owner.uname[:31].ljust(32, b"\0") + owner.gname[:31], records


def _decimal_time(mtime: int) -> bytes:
    seconds, fraction = divmod(abs(mtime), NANO)
    text = b"-%d" % seconds if mtime < 0 else b"%d" % seconds
    return text + (b".%09d" % fraction).rstrip(b"0") if fraction else text


def _pax_header(records: Mapping[bytes, bytes]) -> bytes:
    data = b"".join(_record(key, value) for key, value in records.items())
    return _header(b"././@PaxHeader", PAX, data)


def _long(kind: bytes, name: bytes) -> bytes:
    return _header(b"././@LongLink", kind, name + b"\0")


def _header(path: bytes, kind: bytes, data: bytes) -> bytes:
    return encode(Member(path, kind, len(data), 0o644, 0, _NOBODY)) + data + bytes(-len(data) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" %b=%b\n" % (key, value)
    size = len(rest)
    while size != len(rest) + len(str(size)):
        size = len(rest) + len(str(size))
    return b"%d%b" % (size, rest)
