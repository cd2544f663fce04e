"""Writes the headers of a tar archive: ustar, with more before it only where ustar does not hold it.

Names are written as bytes: in the header where they fit, else as GNU tar writes long ones. Pax records
would be the standard's way, but they are text in UTF-8. For a name of other bytes bsdtar needs the record
`hdrcharset`, of which GNU tar complains; and in the locale C, which most containers have, bsdtar complains of
each name there that is not ASCII. GNU tar, bsdtar, Python's tarfile and node-tar read long names in silence,
in any locale.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from github_worker.sessions.tar import (
    BLOCK,
    FOLDER,
    LAYOUT,
    LONG_LINK,
    LONG_NAME,
    MAGIC,
    MAX_OCTAL_7,
    MAX_OCTAL_11,
    NANO,
    NO_CHECKSUM,
    PAX,
    Member,
    Owner,
    byte_sum,
)

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
