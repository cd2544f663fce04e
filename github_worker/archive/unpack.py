"""Unpacks a session's archive into two folders, whoever wrote it.

Folders and plain files come first, under parents that were made here; symbolic links are made when nothing
else is left to write. So nothing is ever written through a link, whatever the archive's names say.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from msgspec.structs import replace

from github_worker.archive import tar
from github_worker.archive.contents import ContentHash
from github_worker.archive.gzip import inflate
from github_worker.archive.limits import ENTRY, Limits, Tally
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
    is_file,
    is_in_worktree,
    misnamed,
    quarantined_repository,
    write_all,
)
from github_worker.archive.reader import TarReader
from github_worker.archive.tar import NANO, Member, shown
from github_worker.errors import SessionCorrupt, SessionTooLarge

_CONFLICTS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY}


def unpack(
    chunks: Iterable[bytes], folders: Folders, limits: Limits, tally: Tally | None = None
) -> Inventory:
    """Write what a gzip'd tar holds into empty `folders`; return what a disk cannot say of it.

    Blocks: call it in a thread, and read `tally` from any other. Raises SessionCorrupt, SessionTooLarge,
    OSError of the disk, and what `chunks` raises.
    """
    tally = tally or Tally(limits)
    unpacker = _Unpacker(Disk(folders, tally), tally)
    unpacker.run(TarReader(inflate(chunks, tally), tally))
    return unpacker.inventory


class _Unpacker:
    def __init__(self, disk: Disk, tally: Tally) -> None:
        self.inventory = Inventory()
        self._disk = disk
        self._tally = tally
        self._mtimes: dict[bytes, int] = {}
        self._links: dict[bytes, Member] = {}

    def run(self, reader: TarReader) -> None:
        for member in reader:
            if self._tally.files == 1:
                self.inventory.owner = member.owner
                self.inventory.prefix = b"./" if member.path.startswith(b"./") else b""
            member.path = self._checked(member.path)
            if not member.path and member.kind != tar.FOLDER:
                raise SessionCorrupt("The session's archive has a member without a name")
            try:
                self._take(member, reader)
            except OSError as error:
                raise _translated(error, member.path) from error
        self.inventory.contents.repeated |= self._disk.replaced
        self._refuse_conflicts()
        self._make_links()
        for folder, mtime in self._mtimes.items():
            os.utime(folder, ns=(mtime, mtime))

    def _take(self, member: Member, reader: TarReader) -> None:
        self._forget(member.path)
        if member.kind == tar.FILE:
            self._file(member, reader)
        elif member.kind == tar.FOLDER:
            self._folder(member)
        elif member.kind == tar.LINK:
            self._link(member)
        elif member.kind == tar.HARD_LINK:
            self._hard_link(member)
        else:
            self._special(member)

    def _file(self, member: Member, reader: TarReader) -> None:
        disk_mode = member.mode & 0o777 | _least_mode(member.path)
        file = self._disk.create(self._place(member.path, Kind.FILE), disk_mode)
        try:
            content = ContentHash(member.size) if is_in_worktree(member.path) else None
            for piece in reader.content(member):
                write_all(file, piece)
                if content is not None:
                    content.update(piece)
            os.utime(file, ns=(member.mtime, member.mtime))
        finally:
            os.close(file)
        if content is not None:
            self.inventory.contents.add(member.path, content)
        self._keep(member, disk_mode)

    def _folder(self, member: Member) -> None:
        if not member.path:
            return self._root(member)
        disk_mode = member.mode & 0o777 | 0o700
        path = self._place(member.path, Kind.FOLDER)
        self._disk.make_folder(path, disk_mode)
        self._mtimes[path] = member.mtime
        return self._keep(member, disk_mode)

    def _root(self, member: Member) -> None:
        """Note that the archive has a member `./`: the folder that stands for it keeps its own mode."""
        disk_mode = stat.S_IMODE(os.stat(self._disk.tree).st_mode)
        self._mtimes[self._disk.tree] = member.mtime
        self.inventory.kept[b""] = Kept(member.mode, disk_mode, member.owner, member.records)

    def _link(self, member: Member) -> None:
        if not 0 < len(member.link) < self._tally.limits.max_path or b"\0" in member.link:
            raise SessionCorrupt(f"The session's archive has a link to nowhere: {shown(member.path)}")
        self._place(member.path, Kind.LINK)
        self._links[member.path] = member
        self._tally.add_kept(ENTRY + len(member.path) + len(member.link))
        self._keep(member, member.mode)

    def _hard_link(self, member: Member) -> None:
        """Link to, or across the two folders copy, what an earlier member made."""
        source = self._checked(member.link)
        if source == member.path:
            raise SessionCorrupt(f"The session's archive has a link to itself: {shown(source)}")
        if kept := self.inventory.kept.get(source):
            self.inventory.kept[member.path] = kept
            self._tally.add_kept(ENTRY + len(member.path))
        if link := self._links.get(source):
            self._link(replace(link, path=member.path))
        elif special := self.inventory.specials.get(source):
            self._special(replace(special, path=member.path))
        else:
            self._link_file(source, member.path)

    def _link_file(self, source: bytes, path: bytes) -> None:
        old, new = self._where(source, Kind.FILE), self._place(path, Kind.FILE)
        if not is_file(old):
            raise SessionCorrupt(f"The session's archive has {shown(path)}, a link to no file before it")
        if in_tree(source, Kind.FILE) == in_tree(path, Kind.FILE):
            self._disk.make_hard_link(old, new)
        else:
            self._disk.copy_file(old, new)

    def _special(self, member: Member) -> None:
        if os.path.lexists(self._place(member.path, Kind.FILE)):
            raise _two_kinds(member.path)
        self.inventory.specials[member.path] = member
        self._tally.add_kept(2 * ENTRY + len(member.path))

    def _refuse_conflicts(self) -> None:
        """See that the two folders make one archive again; there are no links on the disk yet."""
        for folder in self._disk.quarantined_folders():
            there = self._disk.tree + b"/" + folder
            if folder in self._links or (os.path.lexists(there) and not os.path.isdir(there)):
                raise _two_kinds(folder)
        for folder in self.inventory.quarantined_repositories:
            if os.path.lexists(os.path.join(self._disk.tree, folder, b".git")):
                raise _two_kinds(os.path.join(folder, b".git"))
        for path in self._links:
            if not in_tree(path, Kind.LINK) and os.path.lexists(self._disk.tree + b"/" + path):
                raise _two_kinds(path)
        for path in self.inventory.specials:
            if any(os.path.lexists(root + b"/" + path) for root in (self._disk.tree, self._disk.quarantine)):
                raise _two_kinds(path)
        self._refuse_misplaced()

    def _refuse_misplaced(self) -> None:
        """See that what the worker itself opens is what it takes it for."""
        files = [path for path in (WORKSPACE, REPOSITORIES) if is_file(self._where(path, Kind.FILE))]
        folders = [METADATA] if os.path.isdir(self._where(METADATA, Kind.FOLDER)) else []
        for path in files + folders:
            raise SessionCorrupt(f"The session's archive has {shown(path)}, which is of another kind")

    def _make_links(self) -> None:
        for path, member in self._links.items():
            try:
                self._disk.make_link(self._where(path, Kind.LINK), member.link, member.mtime)
            except OSError as error:
                raise _translated(error, path) from error

    def _where(self, path: bytes, kind: Kind) -> bytes:
        root = self._disk.tree if in_tree(path, kind) else self._disk.quarantine
        return root + b"/" + path

    def _place(self, path: bytes, kind: Kind) -> bytes:
        """Return where `path` goes on the disk, with its parents made."""
        if (folder := quarantined_repository(path, kind)) is not None:
            self._tally.add_kept(ENTRY if folder not in self.inventory.quarantined_repositories else 0)
            self.inventory.quarantined_repositories.add(folder)
        elif (name := misnamed(path)) is not None:
            self._tally.add_kept(ENTRY if name not in self.inventory.misnamed else 0)
            self.inventory.misnamed.add(name)
        where = self._where(path, kind)
        self._disk.make_parents(where)
        return where

    def _keep(self, member: Member, disk_mode: int) -> None:
        if member.mtime % NANO:
            self.inventory.subsecond = True
        if member.mode == disk_mode and member.owner == self.inventory.owner and not member.records:
            return
        self.inventory.kept[member.path] = Kept(member.mode, disk_mode, member.owner, member.records)
        size = sum(len(key) + len(value) for key, value in member.records.items())
        self._tally.add_kept(2 * ENTRY + len(member.path) + size)

    def _forget(self, path: bytes) -> None:
        """Let a later member of a name replace the earlier one."""
        self._links.pop(path, None)
        self.inventory.kept.pop(path, None)
        self.inventory.specials.pop(path, None)

    def _checked(self, name: bytes) -> bytes:
        """Return a member's name without `.` and empty segments; raise SessionCorrupt, SessionTooLarge."""
        segments = [segment for segment in name.split(b"/") if segment not in (b"", b".")]
        if name[:1] in (b"", b"/") or b".." in segments or b"\0" in name:
            raise SessionCorrupt(f"The session's archive has a member that lies outside of it: {shown(name)}")
        limits, path = self._tally.limits, b"/".join(segments)
        if len(segments) > limits.max_depth or len(path) > limits.max_path:
            raise SessionTooLarge(f"The session's archive has too deep a path: {shown(name)}")
        if max(map(len, segments), default=0) > limits.max_name:
            raise SessionTooLarge(f"The session's archive has too long a name: {shown(name)}")
        return path


def _least_mode(path: bytes) -> int:
    # Git appends to its logs and rewrites its files, but objects and the worktree's files it replaces.
    return 0o600 if b"/.git/" in path and b"/.git/objects/" not in path else 0o400


def _two_kinds(path: bytes) -> SessionCorrupt:
    return SessionCorrupt(f"The session's archive has two kinds of {shown(path)}, or of a folder above it")


def _translated(error: OSError, path: bytes) -> Exception:
    if error.errno in _CONFLICTS:
        return _two_kinds(path)
    if error.errno == errno.ENAMETOOLONG:
        return SessionTooLarge(f"The session's archive has too long a name: {shown(path)}")
    return error
