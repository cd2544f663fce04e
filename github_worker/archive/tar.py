"""The headers of a tar archive, read and written: ustar and pax (POSIX.1-2017, pax), and what GNU tar adds.

Names are bytes, so that they come back as they were whatever their encoding. `tarfile` took four times as
long to unpack 50,000 small files and six times to pack them, and it refuses links that sessions hold.
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

# name mode owner size mtime checksum kind link magic names device prefix
_LAYOUT = struct.Struct("100s 8s 16s 12s 12s 8s c 100s 8s 64s 16s 155s 12x")
_MAGIC = b"ustar\x0000"
_NO_CHECKSUM = b" " * 8
NANO = 10**9
_MAX_OCTAL_7, _MAX_OCTAL_11 = 8**7 - 1, 8**11 - 1  # what fields of 8 and 12 bytes hold

_KINDS = {b"\0": FILE, b"7": FILE} | {
    kind: kind for kind in (FILE, HARD_LINK, LINK, CHARACTER, DEVICE, FOLDER, PIPE, *HEADERS)
}

_RECORD_SIZE = re.compile(rb"([1-9][0-9]{0,7}) ")
# Records that stand for a field of the header, and those that any writer will write otherwise the next time.
HEADER_RECORDS = frozenset((b"path", b"linkpath", b"size", b"mtime", b"uid", b"gid", b"uname", b"gname"))
_VOLATILE = frozenset(
    b"atime ctime hdrcharset LIBARCHIVE.creationtime SCHILY.dev SCHILY.ino SCHILY.nlink".split()
)
_XATTR, _BSD_XATTR = b"SCHILY.xattr.", b"LIBARCHIVE.xattr."


class Owner(NamedTuple):
    """The user and the group that a member belongs to."""

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


_NOBODY = Owner(0, 0, b"", b"")


def quote(path: bytes) -> str:
    """Quote a member's name so that it can stand in a message."""
    text = ascii(path[:200].decode("utf-8", "surrogateescape"))
    return text if len(path) <= 200 else f"{text}…"


def encode(member: Member, *, subsecond: bool = False) -> bytes:
    """Write a member's header blocks; fractions of its `mtime` only with `subsecond`."""
    path = member.path + b"/" if member.kind == FOLDER else member.path
    prefix, name = _split_path(path)
    ids, names, records = _encode_owner(member.owner)
    seconds, fraction = divmod(member.mtime, NANO)
    extra = records | member.records
    if (fraction and subsecond) or not 0 <= seconds <= _MAX_OCTAL_11:
        extra[b"mtime"] = _format_time(member.mtime)
    if member.size > _MAX_OCTAL_11:
        extra[b"size"] = b"%d" % member.size
    block = _add_checksum(
        _LAYOUT.pack(
            _cut_path(path, member.kind) if name is None else name,
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
    if extra:
        block = _encode_records(extra) + block
    if len(member.link) > 100:
        block = _encode_long_name(LONG_LINK, member.link) + block
    return _encode_long_name(LONG_NAME, path) + block if name is None else block


def _add_checksum(block: bytes) -> bytes:
    return b"%b%06o\0%b" % (block[:148], _sum_bytes(block), block[155:])


def _split_path(path: bytes) -> tuple[bytes, bytes | None]:
    """Return the prefix and name of ustar; the name is None if the path does not fit."""
    if len(path) <= 100:
        return b"", path
    slash = path.rfind(b"/", 0, min(156, len(path) - 1))
    if slash <= 0 or len(path) - slash - 1 > 100:
        return b"", None
    return path[:slash], path[slash + 1 :]


def _cut_path(path: bytes, kind: bytes) -> bytes:
    """Cut a long path to what the header holds of it."""
    # Some readers, older node-tars among them, take a file for a folder if its name is cut behind a slash.
    return path[:100] if kind == FOLDER else path[:100].rstrip(b"/")


@lru_cache(maxsize=256)
def _encode_owner(owner: Owner) -> tuple[bytes, bytes, dict[bytes, bytes]]:
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


def _format_time(mtime: int) -> bytes:
    seconds, fraction = divmod(abs(mtime), NANO)
    text = b"-%d" % seconds if mtime < 0 else b"%d" % seconds
    return text + (b".%09d" % fraction).rstrip(b"0") if fraction else text


def _encode_records(records: Mapping[bytes, bytes]) -> bytes:
    data = b"".join(_encode_record(key, value) for key, value in records.items())
    return _encode_header(b"././@PaxHeader", PAX, data)


def _encode_long_name(kind: bytes, name: bytes) -> bytes:
    return _encode_header(b"././@LongLink", kind, name + b"\0")


def _encode_header(path: bytes, kind: bytes, data: bytes) -> bytes:
    return encode(Member(path, kind, len(data), 0o644, 0, _NOBODY)) + data + bytes(-len(data) % BLOCK)


def _encode_record(key: bytes, value: bytes) -> bytes:
    rest = b" %b=%b\n" % (key, value)
    size = len(rest)
    while size != len(rest) + len(str(size)):
        size = len(rest) + len(str(size))
    return b"%d%b" % (size, rest)


def decode(block: bytes | memoryview) -> Member | None:
    """Read a header block, or return None where it is all zeros; raise SessionCorrupt.

    Its fields may be cut: `complete` it with the long name and the pax records that came before.
    """
    name, mode, owner, size, mtime, checksum, kind, link, magic, names, device, prefix = _LAYOUT.unpack(block)
    if not name[0] and not any(block):
        return None
    if _parse_number(checksum) != _sum_bytes(block) - sum(checksum) + sum(_NO_CHECKSUM):
        raise SessionCorrupt("The session's archive has a header with a wrong checksum")
    path = _parse_text(name)
    if prefix[0] and magic[:6] == _MAGIC[:6]:  # GNU's own magic means other fields at this place
        path = _parse_text(prefix) + b"/" + path
    if kind not in _KINDS:
        raise SessionCorrupt(f"The session's archive has a member of unknown kind {kind!r}: {quote(path)}")
    return Member(
        path,
        _KINDS[kind],
        _parse_count(size),
        _parse_number(mode) & 0o7777,
        _parse_number(mtime) * NANO,
        _parse_owner(owner, names),
        _parse_text(link),
        _parse_device(device) if kind in SPECIALS else (0, 0),
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


def complete(member: Member, records: Mapping[bytes, bytes]) -> None:
    """Take the records that precede a member into it, and see what it is; raise SessionCorrupt."""
    if records:
        _apply_records(member, records)
    # So did tar mark folders before it had a kind for them. It holds for the whole name: the header's own
    # may be the first 100 bytes of a longer one, and end anywhere.
    if member.kind == FILE and member.path.endswith(b"/"):
        member.kind = FOLDER


def _apply_records(member: Member, records: Mapping[bytes, bytes]) -> None:
    if any(key.startswith(b"GNU.sparse.") for key in records):
        raise SessionCorrupt(
            f"The session's archive has a sparse file, which is not read: {quote(member.path)}"
        )
    # An empty value takes back what a global header said; then the member's own header counts.
    member.path = records.get(b"path") or member.path
    member.link = records.get(b"linkpath") or member.link
    if size := records.get(b"size"):
        member.size = _parse_decimal(size)
    if mtime := records.get(b"mtime"):
        member.mtime = _parse_time(mtime)
    if records.keys() & {b"uid", b"gid", b"uname", b"gname"}:
        uid, gid, uname, gname = member.owner
        member.owner = Owner(
            _parse_decimal(records[b"uid"]) if records.get(b"uid") else uid,
            _parse_decimal(records[b"gid"]) if records.get(b"gid") else gid,
            records.get(b"uname", uname),
            records.get(b"gname", gname),
        )
    member.records = {k: v for k, v in records.items() if k not in HEADER_RECORDS and k not in _VOLATILE}
    for key in [key for key in member.records if key.startswith(_BSD_XATTR)]:
        # bsdtar writes each attribute twice, and GNU tar complains of the spelling that it does not know.
        if _XATTR + key.removeprefix(_BSD_XATTR) in member.records:
            del member.records[key]


def _parse_text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _parse_number(field: bytes) -> int:
    if field[0] in (0x80, 0xFF):  # GNU's base-256
        value = int.from_bytes(field[1:], "big")
        return value if field[0] == 0x80 else value - (1 << 8 * (len(field) - 1))
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise SessionCorrupt("The session's archive has a header with a broken number")
    return int(digits, 8)


def _parse_count(field: bytes) -> int:
    if (value := _parse_number(field)) < 0:
        raise SessionCorrupt("The session's archive has a header with a negative number")
    return value


@lru_cache(maxsize=256)
def _parse_owner(ids: bytes, names: bytes) -> Owner:
    return Owner(
        _parse_count(ids[:8]), _parse_count(ids[8:]), _parse_text(names[:32]), _parse_text(names[32:])
    )


def _parse_device(field: bytes) -> tuple[int, int]:
    major, minor = _parse_count(field[:8]), _parse_count(field[8:])
    if max(major, minor) > _MAX_OCTAL_7:
        raise SessionCorrupt("The session's archive has an impossible device number")
    return major, minor


def _parse_decimal(value: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,20}", value):
        raise SessionCorrupt("The session's archive has a pax header with a broken number")
    return int(value)


def _parse_time(value: bytes) -> int:
    match = re.fullmatch(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?", value)
    if not match:
        raise SessionCorrupt("The session's archive has a pax header with a broken time")
    amount = int(match[2]) * NANO + int((match[3] or b"")[:9].ljust(9, b"0"))
    return -amount if match[1] else amount


def _sum_bytes(block: bytes | memoryview) -> int:
    """Return the sum of a block's bytes, which its checksum is made of."""
    # The low half of an Adler-32 is 1 plus the sum modulo 65521, which 256 bytes cannot reach.
    return (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
