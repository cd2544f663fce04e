"""Unpacks a session's archive into two folders, whoever wrote it.

Folders and plain files come first, under parents that were made here; symbolic links are made when nothing
else is left to write. So nothing is ever written through a link, whatever the archive's names say.
"""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Protocol

from msgspec.structs import replace

from github_worker.archive import pack_index, tar
from github_worker.archive.contents import ContentHash, Spool
from github_worker.archive.gzip import inflate
from github_worker.archive.limits import ENTRY, RECORD, Limits, Tally
from github_worker.archive.loose_object import inspect, inspect_file
from github_worker.archive.quarantine import (
    METADATA,
    REPOSITORIES,
    WORKSPACE,
    Disk,
    Folders,
    Inventory,
    Kept,
    Kind,
    in_tree,
    is_in_worktree,
    is_loose_object,
    is_object_file,
)
from github_worker.archive.tar import BLOCK, NANO, Member, quote
from github_worker.errors import SessionCorrupt, SessionTooLarge

_CONFLICTS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY}
_MAX_MTIME = 2**63 - 1  # nanoseconds: the year 2262


def unpack(
    chunks: Iterable[bytes],
    folders: Folders,
    limits: Limits,
    tally: Tally | None = None,
    *,
    spool: Spool | None = None,
    within: bytes = b"",
) -> Inventory:
    """Write the content of a gzip'd tar into empty `folders`, and return all that a disk cannot say of it.

    With a `spool`, plain files wait there until they are fetched, as far as that is possible. `within` is a
    folder of the archive, for whoever wants to look at that alone: all else is passed over.
    Blocks: call it in a thread, and read `tally` from any other. Raises SessionCorrupt, SessionTooLarge,
    OSError of the disk, and what `chunks` raises.
    """
    tally = tally or Tally(limits)
    inventory = Inventory(spool=spool or Spool())
    unpacker = Unpacker(Disk(folders, inventory, tally), inventory, tally)
    reader = TarReader(inflate(chunks, tally), tally)
    unpacker.run(_PartReader(reader, within) if within else reader)
    return inventory


class Reader(Protocol):
    """Yields an archive's members, and the content of the one that was yielded last."""

    def __iter__(self) -> Iterator[Member]: ...
    def content(self, member: Member) -> Iterator[memoryview]:
        """Return a file's bytes in pieces, which must all be taken before the next member."""
        ...


class Unpacker:
    """Puts the members of one archive onto the disk, each where and as it may be."""

    def __init__(self, disk: Disk, inventory: Inventory, tally: Tally) -> None:
        self._disk = disk
        self._inventory = inventory
        self._tally = tally
        self._mtimes: dict[bytes, int] = {}
        self._links: dict[bytes, Member] = {}

    def run(self, reader: Reader) -> None:
        """Write all members, the links last, and set the folders' times."""
        is_named = False
        for member in reader:
            if self._tally.files == 1:
                self._inventory.owner = member.owner
            if not is_named:
                self._inventory.prefix = b"./" if member.path.startswith(b"./") else b""
            member.path = self._normalize(member.path)
            is_named = is_named or member.path != b""  # the root is `./` however the others begin
            if not member.path and member.kind != tar.FOLDER:
                raise SessionCorrupt("The session's archive has a member without a name")
            try:
                self._unpack(member, reader)
            except OSError as error:
                raise _translate(error, member.path) from error
        self._refuse_conflicts()
        self._refuse_misplaced()
        self._check_packs()
        self._make_links()
        for folder, mtime in self._mtimes.items():
            os.utime(folder, ns=(mtime, mtime))

    def _unpack(self, member: Member, reader: Reader) -> None:
        self._forget(member.path)
        if member.kind == tar.FILE:
            self._write_file(member, reader)
        elif member.kind == tar.FOLDER:
            self._make_folder(member)
        elif member.kind == tar.LINK:
            self._keep_link(member)
        elif member.kind == tar.HARD_LINK:
            self._make_hard_link(member)
        else:
            self._keep_special(member)

    def _write_file(self, member: Member, reader: Reader) -> None:
        disk_mode = member.mode & 0o777 | _least_mode(member.path)
        pieces = reader.content(member)
        if is_loose_object(member.path):
            pieces = inspect(member.path, pieces, self._tally)
        path = self._disk.prepare(member.path, Kind.FILE)
        if self._disk.can_spool(member.path, member.size):
            self._disk.spool_file(member.path, disk_mode, member.mtime, pieces)
        else:
            content = ContentHash(member.size) if is_in_worktree(member.path) else None
            self._inventory.spool.discard(member.path)
            self._disk.write_file(path, disk_mode, member.mtime, pieces, content)
            self._note_content(member.path, content)
        self._keep(member, disk_mode)

    def _note_content(self, path: bytes, content: ContentHash | None) -> None:
        if content is None:
            return
        self._inventory.contents.add(path, content)
        if path.endswith(b"/.gitattributes"):
            self._tally.add_kept(ENTRY + len(path))
            self._inventory.contents.attribute_files.add(path)

    def _make_folder(self, member: Member) -> None:
        if not member.path:
            return self._keep_root(member)
        disk_mode = member.mode & 0o777 | 0o700
        path = self._disk.prepare(member.path, Kind.FOLDER)
        self._disk.make_folder(path, disk_mode)
        self._mtimes[path] = member.mtime
        return self._keep(member, disk_mode)

    def _keep_root(self, member: Member) -> None:
        """Note that the archive has a member `./`: the folder that stands for it keeps its own mode."""
        disk_mode = stat.S_IMODE(os.stat(self._disk.tree).st_mode)
        self._mtimes[self._disk.tree] = member.mtime
        self._inventory.kept[b""] = Kept(member.mode, disk_mode, member.owner, member.records)

    def _keep_link(self, member: Member) -> None:
        if not 0 < len(member.link) < self._tally.limits.max_path or b"\0" in member.link:
            raise SessionCorrupt(f"The session's archive has a link to nowhere: {quote(member.path)}")
        self._disk.prepare(member.path, Kind.LINK)
        self._inventory.spool.discard(member.path)
        self._links[member.path] = member
        self._tally.add_kept(ENTRY + _size_of(member))
        self._keep(member, member.mode)

    def _make_hard_link(self, member: Member) -> None:
        """Link to, or across the two folders copy, what an earlier member made."""
        source = self._normalize(member.link)
        if source == member.path:
            raise SessionCorrupt(f"The session's archive has a link to itself: {quote(source)}")
        if kept := self._inventory.kept.get(source):
            self._inventory.kept[member.path] = kept
            self._tally.add_kept(ENTRY + len(member.path))
        if link := self._links.get(source):
            self._keep_link(replace(link, path=member.path))
        elif special := self._inventory.specials.get(source):
            self._keep_special(replace(special, path=member.path))
        else:
            self._link_file(source, member.path)

    def _link_file(self, source: bytes, path: bytes) -> None:
        old, new = self._disk.locate(source, Kind.FILE), self._disk.prepare(path, Kind.FILE)
        self._inventory.spool.fetch(source)
        if not _is_file(old):
            raise SessionCorrupt(f"The session's archive has {quote(path)}, a link to no file before it")
        if is_loose_object(path):
            inspect_file(path, old, self._tally)
        self._inventory.spool.discard(path)
        # What is written in place, as a log of git's is, must not change an object by its other name.
        together = in_tree(source, Kind.FILE) == in_tree(path, Kind.FILE)
        if together and is_object_file(source) == is_object_file(path):
            self._disk.make_hard_link(old, new)
        else:
            self._disk.copy_file(old, new)

    def _keep_special(self, member: Member) -> None:
        path = self._disk.prepare(member.path, Kind.FILE)
        if os.path.lexists(path) or member.path in self._inventory.spool:
            raise _two_kinds(member.path)
        self._inventory.specials[member.path] = member
        self._tally.add_kept(2 * ENTRY + _size_of(member))

    def _refuse_conflicts(self) -> None:
        """See that the two folders make one archive again; there are no links on the disk yet."""
        for folder in self._disk.quarantined_folders():
            there = self._disk.tree + b"/" + folder
            is_file = folder in self._inventory.spool
            if is_file or folder in self._links or (os.path.lexists(there) and not os.path.isdir(there)):
                raise _two_kinds(folder)
        for folder in self._inventory.quarantined_repositories:
            if os.path.lexists(os.path.join(self._disk.tree, folder, b".git")):
                raise _two_kinds(os.path.join(folder, b".git"))
        for path in self._links:
            if not in_tree(path, Kind.LINK) and os.path.lexists(self._disk.tree + b"/" + path):
                raise _two_kinds(path)
        for path in self._inventory.specials:
            if any(os.path.lexists(root + b"/" + path) for root in self._disk.roots):
                raise _two_kinds(path)

    def _refuse_misplaced(self) -> None:
        """See that what the worker itself opens is what it takes it for."""
        files = [path for path in (WORKSPACE, REPOSITORIES) if _is_file(self._disk.locate(path, Kind.FILE))]
        folders = [METADATA] if os.path.isdir(self._disk.locate(METADATA, Kind.FOLDER)) else []
        for path in files + folders:
            raise SessionCorrupt(f"The session's archive has {quote(path)}, which is of another kind")

    def _check_packs(self) -> None:
        """Look at the indexes of packs that libgit2 may see; there are no links on the disk yet."""
        pattern = os.path.join(glob.escape(self._disk.tree), REPOSITORIES, b"*/.git/objects/pack/*.idx")
        for file in glob.iglob(pattern, include_hidden=True):
            pack_index.check(file)

    def _make_links(self) -> None:
        for path, member in self._links.items():
            try:
                self._disk.make_link(self._disk.locate(path, Kind.LINK), member.link, member.mtime)
            except OSError as error:
                raise _translate(error, path) from error

    def _keep(self, member: Member, disk_mode: int) -> None:
        if member.mtime % NANO:
            self._inventory.subsecond = True
        if member.mode == disk_mode and member.owner == self._inventory.owner and not member.records:
            return
        self._inventory.kept[member.path] = Kept(member.mode, disk_mode, member.owner, member.records)
        self._tally.add_kept(2 * ENTRY + _size_of(member))

    def _forget(self, path: bytes) -> None:
        """Let a later member of a name replace the earlier one."""
        self._links.pop(path, None)
        self._inventory.kept.pop(path, None)
        self._inventory.specials.pop(path, None)

    def _normalize(self, name: bytes) -> bytes:
        """Return a member's name without `.` and empty segments; raise SessionCorrupt, SessionTooLarge."""
        segments = [segment for segment in name.split(b"/") if segment not in (b"", b".")]
        if name[:1] in (b"", b"/") or b".." in segments or b"\0" in name:
            raise SessionCorrupt(f"The session's archive has a member that lies outside of it: {quote(name)}")
        limits, path = self._tally.limits, b"/".join(segments)
        if len(segments) > limits.max_depth or len(path) > limits.max_path:
            raise SessionTooLarge(f"The session's archive has too deep a path: {quote(name)}")
        if max(map(len, segments), default=0) > limits.max_name:
            raise SessionTooLarge(f"The session's archive has too long a name: {quote(name)}")
        return path


class TarReader:
    """Reads a tar archive as it streams by, in bounded memory: its members one after the other."""

    def __init__(self, pieces: Iterator[bytes], tally: Tally) -> None:
        self._pieces = pieces
        self._tally = tally
        self._piece = memoryview(b"")
        self._at = self._end = 0
        self._defaults: dict[bytes, bytes] = {}
        self._pending = self._pending_defaults = self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        records: dict[bytes, bytes] = {}
        while (member := tar.decode(self._block())) is not None:
            if member.kind in tar.HEADERS:
                self._take_header(member, records)
                continue
            tar.complete(member, self._defaults | records)
            records, self._pending = {}, 0
            self._check(member)
            yield member
        if records:
            raise SessionCorrupt("The session's archive ends with a header of nothing")
        self._pass_over_end()

    def content(self, member: Member) -> Iterator[memoryview]:
        """Return a file's bytes in pieces, which must all be taken before the next member."""
        self._padding = -member.size % BLOCK
        return self._bytes(member.size)

    def _check(self, member: Member) -> None:
        self._tally.add_file()
        if member.kind in (tar.HARD_LINK, tar.LINK):
            member.size = 0  # as GNU tar has it: some writers give the size of what they link to
        elif member.size and member.kind != tar.FILE:
            raise SessionCorrupt(f"The session's archive has content for {quote(member.path)}, no file")
        if abs(member.mtime) > _MAX_MTIME:
            raise SessionCorrupt(f"The session's archive has an impossible time of {quote(member.path)}")
        self._tally.check_room(member.size)

    def _take_header(self, header: Member, records: dict[bytes, bytes]) -> None:
        self._pending += header.size
        if self._pending + self._pending_defaults > self._tally.limits.max_header:
            raise SessionTooLarge(f"The session's archive has a header of {header.size} bytes")
        data = b"".join(self.content(header))
        if header.kind == tar.GLOBAL_PAX:
            self._defaults |= {k: v for k, v in tar.decode_records(data).items() if k in tar.HEADER_RECORDS}
            self._pending -= header.size
            self._pending_defaults += header.size
        elif header.kind == tar.LONG_NAME:
            records[b"path"] = data.partition(b"\0")[0]
        elif header.kind == tar.LONG_LINK:
            records[b"linkpath"] = data.partition(b"\0")[0]
        else:
            records |= tar.decode_records(data)

    def _block(self) -> memoryview:
        padding, self._padding = self._padding, 0
        for _ in self._bytes(padding):
            pass
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


class _PartReader:
    """Reads one folder's members of an archive, and passes over all others."""

    def __init__(self, reader: TarReader, folder: bytes) -> None:
        self._reader = reader
        self._folder = folder + b"/"

    def __iter__(self) -> Iterator[Member]:
        for member in self._reader:
            segments = (segment for segment in member.path.split(b"/") if segment not in (b"", b"."))
            if b"/".join((*segments, b"")).startswith(self._folder):
                yield member
            else:
                for _ in self.content(member):
                    pass

    def content(self, member: Member) -> Iterator[memoryview]:
        return self._reader.content(member)


def _size_of(member: Member) -> int:
    """Return the bytes, roughly, that the texts of a header take while it is kept."""
    texts = (member.path, member.link, member.owner.uname, member.owner.gname)
    records = sum(RECORD + len(key) + len(value) for key, value in member.records.items())
    return sum(map(len, texts)) + records


def _least_mode(path: bytes) -> int:
    # Git appends to its logs and rewrites its files, but objects and the worktree's files it replaces.
    return 0o600 if b"/.git/" in path and b"/.git/objects/" not in path else 0o400


def _two_kinds(path: bytes) -> SessionCorrupt:
    return SessionCorrupt(f"The session's archive has two kinds of {quote(path)}, or of a folder above it")


def _translate(error: OSError, path: bytes) -> Exception:
    if error.errno in _CONFLICTS:
        return _two_kinds(path)
    if error.errno == errno.ENAMETOOLONG:
        return SessionTooLarge(f"The session's archive has too long a name: {quote(path)}")
    return error


def _is_file(path: bytes) -> bool:
    """Tell whether a plain file is there, and no link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
