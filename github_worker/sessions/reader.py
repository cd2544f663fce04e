"""Reads a tar archive as it streams by, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from github_worker.errors import SessionCorrupt, SessionTooLarge
from github_worker.sessions import tar
from github_worker.sessions.limits import Tally
from github_worker.sessions.tar import BLOCK, Member
from github_worker.sessions.tar_decoding import TAKEN, complete, decode, decode_records

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
