"""Members of a tar archive as bytes: ustar and pax (POSIX.1-2017, pax), and what GNU tar adds to them.

Everything here is pure. Names are bytes, so that they come back as they were whatever their encoding.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from github_worker.errors import SessionCorrupt

BLOCK = 512
END = bytes(2 * BLOCK)

FILE, HARD_LINK, LINK, CHARACTER, DEVICE, FOLDER, PIPE = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
SPECIALS = frozenset((CHARACTER, DEVICE, PIPE))
PAX, GLOBAL_PAX, SOLARIS_PAX, LONG_NAME, LONG_LINK = b"x", b"g", b"X", b"L", b"K"
HEADERS = frozenset((PAX, GLOBAL_PAX, SOLARIS_PAX, LONG_NAME, LONG_LINK))
_KINDS = {b"\0": FILE, b"7": FILE} | {
    kind: kind for kind in (FILE, HARD_LINK, LINK, CHARACTER, DEVICE, FOLDER, PIPE, *HEADERS)
}

# name mode owner size mtime checksum kind link magic names device prefix
_LAYOUT = struct.Struct("100s 8s 16s 12s 12s 8s c 100s 8s 64s 16s 155s 12x")
_MAGIC = b"ustar\x0000"
_NO_CHECKSUM = b" " * 8
_NANO = 10**9
_RECORD_SIZE = re.compile(rb"([1-9][0-9]{0,7}) ")
# Records that say what the next run of any writer will say otherwise, or that are taken into the member.
TAKEN = frozenset((b"path", b"linkpath", b"size", b"mtime", b"uid", b"gid", b"uname", b"gname"))
_VOLATILE = frozenset(
    (
        b"atime",
        b"ctime",
        b"hdrcharset",
        b"LIBARCHIVE.creationtime",
        b"SCHILY.dev",
        b"SCHILY.ino",
        b"SCHILY.nlink",
    )
)


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


# Reading


def decode(block: bytes | memoryview) -> Member | None:
    """Read a header block, or None where it is all zeros; raise SessionCorrupt."""
    name, mode, owner, size, mtime, checksum, kind, link, magic, names, device, prefix = _LAYOUT.unpack(block)
    if not name[0] and not any(block):
        return None
    if _number(checksum) != _byte_sum(block) - sum(checksum) + sum(_NO_CHECKSUM):
        raise SessionCorrupt("The session's archive has a header with a wrong checksum")
    path = _text(name)
    if prefix[0] and magic[:6] == _MAGIC[:6]:  # GNU's own magic means other fields at this place
        path = _text(prefix) + b"/" + path
    if kind not in _KINDS:
        raise SessionCorrupt(f"The session's archive has a member of unknown kind {kind!r}: {shown(path)}")
    return Member(
        path,
        FOLDER if kind in b"\x000" and path.endswith(b"/") else _KINDS[kind],
        _count(size),
        _number(mode) & 0o7777,
        _number(mtime) * _NANO,
        _owner(owner, names),
        _text(link),
        _device(device) if kind in SPECIALS else (0, 0),
    )


def decode_records(data: bytes) -> dict[bytes, bytes]:
    """Read the content of a pax header; raise SessionCorrupt."""
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        if not (match := _RECORD_SIZE.match(data, start)):
            raise SessionCorrupt("The session's archive has a broken pax header")
        end = start + int(match[1])
        key, equals, value = data[match.end() : end - 1].partition(b"=")
        if not key or not equals or data[end - 1 : end] != b"\n":
            raise SessionCorrupt("The session's archive has a broken pax header")
        records[key] = value
        start = end
    return records


def apply_records(member: Member, records: Mapping[bytes, bytes]) -> None:
    """Take pax records into the member that follows them; raise SessionCorrupt."""
    if any(key.startswith(b"GNU.sparse.") for key in records):
        raise SessionCorrupt(
            f"The session's archive has a sparse file, which is not read: {shown(member.path)}"
        )
    member.path = records.get(b"path") or member.path
    member.link = records.get(b"linkpath") or member.link
    if size := records.get(b"size"):
        member.size = _decimal(size)
    if mtime := records.get(b"mtime"):
        member.mtime = _nanoseconds(mtime)
    if records.keys() & {b"uid", b"gid", b"uname", b"gname"}:
        uid, gid, uname, gname = member.owner
        member.owner = Owner(
            _decimal(records[b"uid"]) if records.get(b"uid") else uid,
            _decimal(records[b"gid"]) if records.get(b"gid") else gid,
            records.get(b"uname", uname),
            records.get(b"gname", gname),
        )
    member.records = {k: v for k, v in records.items() if k not in TAKEN and k not in _VOLATILE}


def _byte_sum(block: bytes | memoryview) -> int:
    # The low half of an Adler-32 is 1 plus the sum modulo 65521, which 256 bytes cannot reach.
    return (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    if field[0] in (0x80, 0xFF):  # GNU's base-256
        value = int.from_bytes(field[1:], "big")
        return value if field[0] == 0x80 else value - (1 << 8 * (len(field) - 1))
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise SessionCorrupt("The session's archive has a header with a broken number")
    return int(digits, 8)


def _count(field: bytes) -> int:
    if (value := _number(field)) < 0:
        raise SessionCorrupt("The session's archive has a header with a negative number")
    return value


@lru_cache(maxsize=256)
def _owner(ids: bytes, names: bytes) -> Owner:
    return Owner(_count(ids[:8]), _count(ids[8:]), _text(names[:32]), _text(names[32:]))


def _device(field: bytes) -> tuple[int, int]:
    major, minor = _count(field[:8]), _count(field[8:])
    if max(major, minor) > _MAX_OCTAL_7:
        raise SessionCorrupt("The session's archive has an impossible device number")
    return major, minor


def _decimal(value: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,20}", value):
        raise SessionCorrupt("The session's archive has a pax header with a broken number")
    return int(value)


def _nanoseconds(value: bytes) -> int:
    match = re.fullmatch(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?", value)
    if not match:
        raise SessionCorrupt("The session's archive has a pax header with a broken time")
    amount = int(match[2]) * _NANO + int((match[3] or b"")[:9].ljust(9, b"0"))
    return -amount if match[1] else amount


# Writing

_MAX_OCTAL_7, _MAX_OCTAL_11 = 8**7 - 1, 8**11 - 1


def encode(member: Member, *, subsecond: bool = False) -> bytes:
    """Write a member's header blocks; fractions of its `mtime` only with `subsecond`."""
    path = member.path + b"/" if member.kind == FOLDER else member.path
    prefix, name = _split(path)
    ids, names, records = _owner_fields(member.owner)
    seconds, fraction = divmod(member.mtime, _NANO)
    extra = dict(records) | member.records
    if name is None or not path.isascii():
        extra[b"path"] = path
    if len(member.link) > 100 or not member.link.isascii():
        extra[b"linkpath"] = member.link
    if (fraction and subsecond) or not 0 <= seconds <= _MAX_OCTAL_11:
        extra[b"mtime"] = _decimal_time(member.mtime)
    if member.size > _MAX_OCTAL_11:
        extra[b"size"] = b"%d" % member.size
    block = _checked(
        _LAYOUT.pack(
            path if name is None else name,
            b"%07o" % member.mode,
            ids,
            b"%011o" % (member.size if member.size <= _MAX_OCTAL_11 else 0),
            b"%011o" % (seconds if 0 <= seconds <= _MAX_OCTAL_11 else 0),
            _NO_CHECKSUM,
            member.kind,
            member.link,
            _MAGIC,
            names,
            b"%07o\0%07o" % member.device,
            prefix,
        )
    )
    return _pax_header(extra) + block if extra else block


def _checked(block: bytes) -> bytes:
    return b"%b%06o\0%b" % (block[:148], _byte_sum(block), block[155:])


def _split(path: bytes) -> tuple[bytes, bytes | None]:
    """Return the prefix and name of ustar; the name is None if the path does not fit."""
    if len(path) <= 100:
        return b"", path
    slash = path.rfind(b"/", 0, min(156, len(path) - 1))
    if slash <= 0 or len(path) - slash - 1 > 100:
        return b"", None
    return path[:slash], path[slash + 1 :]


@lru_cache(maxsize=256)
def _owner_fields(owner: Owner) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    records = {
        key: b"%d" % number
        for key, number in ((b"uid", owner.uid), (b"gid", owner.gid))
        if number > _MAX_OCTAL_7
    }
    records |= {
        key: name for key, name in ((b"uname", owner.uname), (b"gname", owner.gname)) if len(name) > 31
    }
    uid, gid = (number if number <= _MAX_OCTAL_7 else 0 for number in owner[:2])
    return b"%07o\0%07o\0" % (uid, gid), owner.uname[:31].ljust(32, b"\0") + owner.gname[:31], records


def _decimal_time(mtime: int) -> bytes:
    seconds, fraction = divmod(abs(mtime), _NANO)
    text = b"-%d" % seconds if mtime < 0 else b"%d" % seconds
    return text + (b".%09d" % fraction).rstrip(b"0") if fraction else text


def _pax_header(records: Mapping[bytes, bytes]) -> bytes:
    if not all(_is_utf8(value) for value in records.values()):
        records = {b"hdrcharset": b"BINARY", **records}
    data = b"".join(_record(key, value) for key, value in records.items())
    member = Member(b"././@PaxHeader", PAX, len(data), 0o644, 0, Owner(0, 0, b"", b""))
    return encode(member) + data + bytes(-len(data) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" %b=%b\n" % (key, value)
    size = len(rest)
    while size != len(rest) + len(str(size)):
        size = len(rest) + len(str(size))
    return b"%d%b" % (size, rest)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
