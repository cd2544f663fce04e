"""Reads a tar archive as it streams by, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from github_worker.archive import tar
from github_worker.archive.limits import Tally
from github_worker.archive.tar import (
    BLOCK,
    CHARACTER,
    DEVICE,
    FILE,
    FOLDER,
    HARD_LINK,
    HEADERS,
    LAYOUT,
    LINK,
    MAGIC,
    MAX_OCTAL_7,
    NANO,
    NO_CHECKSUM,
    PIPE,
    SPECIALS,
    Member,
    Owner,
    byte_sum,
    shown,
)
from github_worker.errors import SessionCorrupt, SessionTooLarge

_MAX_MTIME = 2**63 - 1  # nanoseconds: the year 2262


class TarReader:
    """Members one after the other; what `content` has not yielded of one is passed over by the next."""

    def __init__(self, pieces: Iterator[bytes], tally: Tally) -> None:
        self._pieces = pieces
        self._tally = tally
        self._piece = memoryview(b"")
        self._at = self._end = 0
        self._defaults: dict[bytes, bytes] = {}
        self._pending = self._pending_defaults = 0

    def __iter__(self) -> Iterator[Member]:
        records: dict[bytes, bytes] = {}
        while (member := decode(self._block())) is not None:
            if member.kind in tar.HEADERS:
                self._take_header(member, records)
                continue
            complete(member, self._defaults | records)
            records, self._pending = {}, 0
            self._check(member)
            yield member
        if records:
            raise SessionCorrupt("The session's archive ends with a header of nothing")
        self._pass_over_end()

    def content(self, member: Member) -> Iterator[memoryview]:
        """Yield a file's bytes, which must all be taken before the next member."""
        yield from self._bytes(member.size)
        for _ in self._bytes(-member.size % BLOCK):
            pass

    def _check(self, member: Member) -> None:
        self._tally.add_file()
        if member.kind in (tar.HARD_LINK, tar.LINK):
            member.size = 0  # as GNU tar has it: some writers give the size of what they link to
        elif member.size and member.kind != tar.FILE:
            raise SessionCorrupt(f"The session's archive has content for {tar.shown(member.path)}, no file")
        if abs(member.mtime) > _MAX_MTIME:
            raise SessionCorrupt(f"The session's archive has an impossible time of {tar.shown(member.path)}")
        self._tally.check_room(member.size)

    def _take_header(self, header: Member, records: dict[bytes, bytes]) -> None:
        self._pending += header.size
        if self._pending + self._pending_defaults > self._tally.limits.max_header:
            raise SessionTooLarge(f"The session's archive has a header of {header.size} bytes")
        data = b"".join(self.content(header))
        if header.kind == tar.GLOBAL_PAX:
            self._defaults |= {k: v for k, v in decode_records(data).items() if k in TAKEN}
            self._pending -= header.size
            self._pending_defaults += header.size
        elif header.kind == tar.LONG_NAME:
            records[b"path"] = data.partition(b"\0")[0]
        elif header.kind == tar.LONG_LINK:
            records[b"linkpath"] = data.partition(b"\0")[0]
        else:
            records |= decode_records(data)

    def _block(self) -> memoryview:
        if self._end - self._at >= BLOCK:
            self._at += BLOCK
            return self._piece[self._at - BLOCK : self._at]
        return memoryview(b"".join(self._bytes(BLOCK)))

    def _bytes(self, size: int) -> Iterator[memoryview]:
        while size:
            if self._at == self._end and not self._next_piece():
                raise SessionCorrupt("The session's archive ends too early")
            start, self._at = self._at, min(self._end, self._at + size)
            size -= self._at - start
            yield self._piece[start : self._at]

    def _next_piece(self) -> bool:
        piece = next(self._pieces, b"")
        self._piece, self._at, self._end = memoryview(piece), 0, len(piece)
        return self._end > 0

    def _pass_over_end(self) -> None:
        """Read on to the gzip stream's own checksum; after the end there are only zeros."""
        rest = self._piece[self._at :]
        while True:
            if bytes(rest).strip(b"\0"):
                raise SessionCorrupt("The session's archive goes on after its end")
            if not self._next_piece():
                return
            rest = self._piece


_KINDS = {b"\0": FILE, b"7": FILE} | {
    kind: kind for kind in (FILE, HARD_LINK, LINK, CHARACTER, DEVICE, FOLDER, PIPE, *HEADERS)
}

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
_XATTR, _BSD_XATTR = b"SCHILY.xattr.", b"LIBARCHIVE.xattr."


def decode(block: bytes | memoryview) -> Member | None:
    """Read a header block, or None where it is all zeros; raise SessionCorrupt.

    What it says may be cut: `complete` it with the long name and the pax records that came before.
    """
    name, mode, owner, size, mtime, checksum, kind, link, magic, names, device, prefix = LAYOUT.unpack(block)
    if not name[0] and not any(block):
        return None
    if _number(checksum) != byte_sum(block) - sum(checksum) + sum(NO_CHECKSUM):
        raise SessionCorrupt("The session's archive has a header with a wrong checksum")
    path = _text(name)
    if prefix[0] and magic[:6] == MAGIC[:6]:  # GNU's own magic means other fields at this place
        path = _text(prefix) + b"/" + path
    if kind not in _KINDS:
        raise SessionCorrupt(f"The session's archive has a member of unknown kind {kind!r}: {shown(path)}")
    return Member(
        path,
        _KINDS[kind],
        _count(size),
        _number(mode) & 0o7777,
        _number(mtime) * NANO,
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
            f"The session's archive has a sparse file, which is not read: {shown(member.path)}"
        )
    # An empty value takes back what a global header said; then the member's own header counts.
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
    for key in [key for key in member.records if key.startswith(_BSD_XATTR)]:
        # bsdtar writes each attribute twice, and GNU tar complains of the spelling that it does not know.
        if _XATTR + key.removeprefix(_BSD_XATTR) in member.records:
            del member.records[key]


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
    if max(major, minor) > MAX_OCTAL_7:
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
    amount = int(match[2]) * NANO + int((match[3] or b"")[:9].ljust(9, b"0"))
    return -amount if match[1] else amount
