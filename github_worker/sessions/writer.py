"""Writes members into a gzip'd tar, in pieces that are ready to be sent."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from msgspec.structs import replace

from github_worker.errors import Internal, SessionTooLarge
from github_worker.sessions import tar
from github_worker.sessions.gzip import Deflater
from github_worker.sessions.inventory import Inventory
from github_worker.sessions.limits import Limits, Tally
from github_worker.sessions.tar import BLOCK, Member, shown
from github_worker.sessions.tar_encoding import encode

_PIECE = 1024 * 1024
_STORED_SIZE = 64 * 1024  # below this, a flush costs more than storing saves
_COMPRESSED = tuple(
    b".7z .avif .br .bz2 .docx .flac .gif .gz .heic .jar .jpeg .jpg .lz4 .m4a .m4v .mkv .mov .mp3 .mp4 .ogg"
    b" .pack .pdf .png .pptx .tgz .webm .webp .whl .woff .woff2 .xlsx .xz .zip .zst".split()
)

_NO_RECORDS: dict[bytes, bytes] = {}


class TarWriter:
    """Takes members one after the other; what is ready of the archive is returned by the way."""

    def __init__(self, inventory: Inventory, limits: Limits) -> None:
        self._inventory = inventory
        self._tally = Tally(limits)
        self._deflater = Deflater()
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._inodes: dict[tuple[int, int], bytes] = {}

    def folder(self, path: bytes, status: os.stat_result) -> None:
        """Add a folder."""
        self._add_header(self._member(path, tar.FOLDER, status))

    def link(self, path: bytes, status: os.stat_result, target: bytes) -> None:
        """Add a symbolic link."""
        member = self._member(path, tar.LINK, status)
        member.mode, member.link = 0o777, target
        self._add_header(member)

    def special(self, member: Member) -> None:
        """Add a device or a pipe, which is but a header."""
        self._add_header(replace(member, path=self._inventory.prefix + member.path), subsecond=True)

    def file(self, path: bytes, file: int) -> Iterator[bytes]:
        """Add an open file, or a hard link to what has been added of the same inode.

        A file that grows meanwhile is cut; raise Internal for one that shrinks.
        """
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Internal(f"{shown(path)} was replaced while it was archived")
        member = self._member(path, tar.FILE, status)
        if status.st_nlink > 1:
            first = self._inodes.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                member.kind, member.link, member.size = tar.HARD_LINK, self._inventory.prefix + first, 0
        self._add_header(member)
        stored = member.size >= _STORED_SIZE and path.endswith(_COMPRESSED)
        size = member.size
        while size:
            if not (data := os.read(file, min(size, _PIECE))):
                raise Internal(f"{shown(path)} became shorter while it was archived")
            size -= len(data)
            yield from self._store(data) if stored else self._compress(data)
        self._add(bytes(-member.size % BLOCK))

    @property
    def is_full(self) -> bool:
        """Whether enough waits to be worth taking."""
        return self._waiting_size >= _PIECE

    def take(self) -> Iterator[bytes]:
        """Yield what is ready to be sent."""
        data = b"".join(self._waiting)
        self._waiting, self._waiting_size = [], 0
        if ready := self._deflater.compress(data):
            yield ready

    def finish(self) -> Iterator[bytes]:
        """Yield the end of the archive."""
        self._add(tar.END)
        yield from self.take()
        yield self._deflater.finish()

    def _compress(self, data: bytes) -> Iterator[bytes]:
        self._add(data)
        if self.is_full:
            yield from self.take()

    def _store(self, data: bytes) -> Iterator[bytes]:
        yield from self.take()
        self._tally.add_unpacked(len(data))
        yield self._deflater.store(data)

    def _member(self, path: bytes, kind: bytes, status: os.stat_result) -> Member:
        mode = stat.S_IMODE(status.st_mode)
        owner, records = self._inventory.owner, _NO_RECORDS
        if kept := self._inventory.kept.get(path):
            mode = kept.mode if kept.disk_mode == mode else mode
            owner, records = kept.owner, kept.records
        size = status.st_size if kind == tar.FILE else 0
        path = self._inventory.prefix + path if path else b"."
        return Member(path, kind, size, mode, status.st_mtime_ns, owner, records=records)

    def _add_header(self, member: Member, *, subsecond: bool = False) -> None:
        if len(member.path) - 2 > self._tally.limits.max_path:
            raise SessionTooLarge(f"The session has too deep a path: {shown(member.path)}")
        self._tally.add_file()
        self._add(encode(member, subsecond=subsecond or self._inventory.subsecond))

    def _add(self, data: bytes) -> None:
        self._tally.add_unpacked(len(data))
        self._waiting.append(data)
        self._waiting_size += len(data)
