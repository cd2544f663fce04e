"""Packs a session's two folders into one gzip'd tar, as it is uploaded.

Three parts: the repository's objects, which no step changes; then, once the worktree is settled, everything
else; then, once the push is settled, what a push changes. No link is followed: a folder is opened by its
parent's descriptor, and no file is opened through a link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import accumulate
from operator import itemgetter

from msgspec.structs import replace

from github_worker.archive import tar
from github_worker.archive.contents import SpooledFile
from github_worker.archive.gzip import Deflater
from github_worker.archive.limits import Limits, Tally
from github_worker.archive.quarantine import (
    METADATA,
    REPOSITORIES,
    Folders,
    Inventory,
    Kind,
    in_tree,
    open_no_follow,
)
from github_worker.archive.tar import BLOCK, Member, encode, quote
from github_worker.errors import Internal, SessionTooLarge, UnsupportedRepository

_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER, stat.S_IFLNK: Kind.LINK}
_PIECE = 1024 * 1024
_STORED_SIZE = 64 * 1024  # below this, a flush costs more than storing saves
_COMPRESSED = tuple(
    b".7z .avif .br .bz2 .docx .flac .gif .gz .heic .jar .jpeg .jpg .lz4 .m4a .m4v .mkv .mov .mp3 .mp4 .ogg"
    b" .pack .pdf .png .pptx .tgz .webm .webp .whl .woff .woff2 .xlsx .xz .zip .zst".split()
)
_NO_RECORDS: dict[bytes, bytes] = {}


def pack(
    folders: Folders,
    inventory: Inventory,
    limits: Limits,
    *,
    before_worktree: Callable[[], None],
    before_tail: Callable[[], None],
) -> Iterator[bytes]:
    """Yield the archive in pieces of about a megabyte or less.

    `before_worktree` is called when the objects have been yielded, `before_tail` when all has but what a
    push changes: they block until the checkout and the push are settled, and abort by raising. Iterate in
    a thread. Raises SessionTooLarge, Internal if a file shrinks while it is read, and OSError.
    """
    packer = _Packer(folders, inventory, limits)
    yield from packer.pack_objects()
    before_worktree()
    yield from packer.pack_rest()
    before_tail()
    yield from packer.pack_tail()


class _Packer:
    def __init__(self, folders: Folders, inventory: Inventory, limits: Limits) -> None:
        self._tree, self._quarantine = os.fsencode(folders.tree), os.fsencode(folders.quarantine)
        self._inventory = inventory
        self._limits = limits
        self._writer = TarWriter(inventory, limits)
        self._written: set[bytes] = set()
        self._later: dict[bytes, set[bytes]] = {self._tree: set(), self._quarantine: set()}

    def pack_objects(self) -> Iterator[bytes]:
        """Yield the repositories' objects, as far as they are there by now."""
        for repository in self._repositories():
            yield from self._pack_path(self._tree, repository + b"/objects")

    def pack_rest(self) -> Iterator[bytes]:
        """Yield all else that a push does not change."""
        repositories = self._repositories()
        self._later = {
            self._tree: {METADATA, *repositories},
            self._quarantine: {folder + b"/config" for folder in repositories},
        }
        if b"" in self._inventory.kept:
            self._writer.add_folder(b"", os.stat(self._tree))
        for root in (self._tree, self._quarantine):
            yield from self._pack_root(root)
        for path, special in self._inventory.specials.items():
            if self._has_room(path):
                self._writer.add_special(special)
            if self._writer.is_full:
                yield from self._writer.flush()

    def pack_tail(self) -> Iterator[bytes]:
        """Yield the files that a push changes, the objects that came meanwhile, and the archive's end."""
        later, self._later = self._later, {self._tree: set(), self._quarantine: set()}
        for root, paths in later.items():
            for path in sorted(paths):
                yield from self._pack_path(root, path)
        yield from self._writer.finish()

    def _repositories(self) -> list[bytes]:
        """Return the `.git` folders of the session's repositories."""
        try:
            names = sorted(os.listdir(self._tree + b"/" + REPOSITORIES))
        except (FileNotFoundError, NotADirectoryError):
            return []
        paths = [b"%b/%b/.git" % (REPOSITORIES, name) for name in names]
        if self._inventory.repository:
            paths.append(self._inventory.repository + b"/.git")
        return [path for path in paths if self._kind_in_tree(path) is Kind.FOLDER]

    def _pack_path(self, root: bytes, path: bytes) -> Iterator[bytes]:
        """Yield the member `path` of a root, with all that is in it, if it is there."""
        *parents, name = path.split(b"/")
        with ExitStack() as stack:
            try:
                folder = _open_folder(stack, root)
                for segment in parents:
                    folder = _open_folder(stack, segment, folder)
                kind = _kind_of(os.lstat(name, dir_fd=folder))
            except FileNotFoundError:
                return
            yield from self._pack_entry(root, folder, name, path, kind)

    def _pack_root(self, root: bytes) -> Iterator[bytes]:
        with ExitStack() as stack:
            yield from self._pack_folder(root, _open_folder(stack, root), b"")

    def _pack_folder(self, root: bytes, folder: int, path: bytes) -> Iterator[bytes]:
        """Yield all that is in an open folder."""
        if path.count(b"/") + 2 > self._limits.max_depth:
            raise SessionTooLarge(f"The session has too deep a path: {quote(path)}")
        later = self._later[root]
        spooled = self._inventory.spool.files(path) if root == self._tree else {}
        waiting = [(name, Kind.FILE) for name in spooled]
        for name, kind in sorted([*_list(folder), *waiting], key=itemgetter(0)):
            inner = path + b"/" + name if path else name
            if name in spooled:
                yield from self._writer.add_spooled(inner, spooled[name])
            elif inner not in later:
                yield from self._pack_entry(root, folder, name, inner, kind)
            if self._writer.is_full:
                yield from self._writer.flush()

    def _pack_entry(
        self, root: bytes, folder: int, name: bytes, path: bytes, kind: Kind | None
    ) -> Iterator[bytes]:
        if kind is None or not self._belongs(root, path, kind):
            return
        try:
            if kind is Kind.FOLDER:
                yield from self._pack_subfolder(root, folder, name, path)
            elif kind is Kind.LINK:
                self._writer.add_link(path, os.lstat(name, dir_fd=folder), os.readlink(name, dir_fd=folder))
            elif self._is_new(path):
                yield from self._pack_file(folder, name, path)
        except FileNotFoundError:
            return  # it was there when its folder was listed: what is gone is not archived

    def _pack_subfolder(self, root: bytes, parent: int, name: bytes, path: bytes) -> Iterator[bytes]:
        with ExitStack() as stack:
            folder = _open_folder(stack, name, parent)
            shared = root == self._quarantine and self._kind_in_tree(path) is not None
            if not shared and self._is_new(path):
                self._writer.add_folder(path, os.fstat(folder))
            yield from self._pack_folder(root, folder, path)

    def _pack_file(self, folder: int, name: bytes, path: bytes) -> Iterator[bytes]:
        # Nor does it wait for the other end of a pipe.
        file = open_no_follow(name, os.O_RDONLY | os.O_NONBLOCK, folder=folder)
        try:
            yield from self._writer.add_file(path, file)
        finally:
            os.close(file)

    def _belongs(self, root: bytes, path: bytes, kind: Kind) -> bool:
        """Tell whether the archive takes `path` from this root: what the tree may hold wins."""
        if root == self._tree:
            return in_tree(path, kind, self._inventory.repository)
        there = self._kind_in_tree(path)
        if kind is not Kind.FOLDER:
            return there is None
        if there not in (None, Kind.FOLDER):
            raise UnsupportedRepository(
                f"{quote(path)} holds a nested repository, and is a file in the branch"
            )
        return True

    def _kind_in_tree(self, path: bytes) -> Kind | None:
        if path in self._inventory.spool:
            return Kind.FILE
        try:
            kind = _kind_of(os.lstat(self._tree + b"/" + path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        is_there = kind is not None and in_tree(path, kind, self._inventory.repository)
        return kind if is_there else None

    def _has_room(self, path: bytes) -> bool:
        """Tell whether nothing in the tree stands at `path`, and only folders above it."""
        parents = accumulate(path.split(b"/")[:-1], lambda parent, name: b"%b/%b" % (parent, name))
        return self._kind_in_tree(path) is None and all(
            self._kind_in_tree(parent) in (None, Kind.FOLDER) for parent in parents
        )

    def _is_new(self, path: bytes) -> bool:
        """Tell whether `path` was not written yet; only objects are come by twice."""
        if b"/.git/objects" not in path:
            return True
        new = path not in self._written
        self._written.add(path)
        return new


class TarWriter:
    """Writes an archive in memory, member by member; a caller flushes it when it is full."""

    def __init__(self, inventory: Inventory, limits: Limits) -> None:
        self._inventory = inventory
        self._tally = Tally(limits)
        self._deflater = Deflater()
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._inodes: dict[tuple[int, int], bytes] = {}

    def add_folder(self, path: bytes, status: os.stat_result) -> None:
        """Add a folder."""
        self._add_header(self._member(path, tar.FOLDER, status.st_mode, status.st_mtime_ns))

    def add_link(self, path: bytes, status: os.stat_result, target: bytes) -> None:
        """Add a symbolic link."""
        member = self._member(path, tar.LINK, status.st_mode, status.st_mtime_ns)
        member.mode, member.link = 0o777, target
        self._add_header(member)

    def add_special(self, member: Member) -> None:
        """Add a device or a pipe, which has a header alone."""
        self._add_header(replace(member, path=self._inventory.prefix + member.path), subsecond=True)

    def add_file(self, path: bytes, file: int) -> Iterator[bytes]:
        """Add an open file, or a hard link to the first one of its inode, and yield full pieces.

        A file that grows meanwhile is cut; raises Internal for one that shrinks.
        """
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Internal(f"{quote(path)} was replaced while it was archived")
        member = self._member(path, tar.FILE, status.st_mode, status.st_mtime_ns, status.st_size)
        if status.st_nlink > 1:
            first = self._inodes.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                member.kind, member.link, member.size = tar.HARD_LINK, self._inventory.prefix + first, 0
        yield from self._add_file(path, member, _read(file, member.size, path))

    def add_spooled(self, path: bytes, file: SpooledFile) -> Iterator[bytes]:
        """Add a file of the spool, and yield full pieces."""
        member = self._member(path, tar.FILE, file.mode, file.mtime, file.size)
        yield from self._add_file(path, member, self._inventory.spool.read(file))

    def _add_file(self, path: bytes, member: Member, pieces: Iterator[bytes]) -> Iterator[bytes]:
        self._add_header(member)
        stored = member.size >= _STORED_SIZE and path.endswith(_COMPRESSED)
        for data in pieces:
            yield from self._store(data) if stored else self._compress(data)
        self._add(bytes(-member.size % BLOCK))

    @property
    def is_full(self) -> bool:
        """Tells whether a piece is ready to be sent."""
        return self._waiting_size >= _PIECE

    def flush(self) -> Iterator[bytes]:
        """Yield the members that were added since the last time."""
        data = b"".join(self._waiting)
        self._waiting, self._waiting_size = [], 0
        if ready := self._deflater.compress(data):
            yield ready

    def finish(self) -> Iterator[bytes]:
        """Yield the end of the archive."""
        self._add(tar.END)
        yield from self.flush()
        yield self._deflater.finish()

    def _compress(self, data: bytes) -> Iterator[bytes]:
        self._add(data)
        if self.is_full:
            yield from self.flush()

    def _store(self, data: bytes) -> Iterator[bytes]:
        yield from self.flush()
        self._tally.add_unpacked(len(data))
        yield self._deflater.store(data)

    def _member(self, path: bytes, kind: bytes, mode: int, mtime: int, size: int = 0) -> Member:
        mode = stat.S_IMODE(mode)
        owner, records = self._inventory.owner, _NO_RECORDS
        if kept := self._inventory.kept.get(path):
            mode = kept.mode if kept.disk_mode == mode else mode
            owner, records = kept.owner, kept.records
        path = self._inventory.prefix + path if path else b"."
        return Member(path, kind, size, mode, mtime, owner, records=records)

    def _add_header(self, member: Member, *, subsecond: bool = False) -> None:
        if len(member.path) - 2 > self._tally.limits.max_path:
            raise SessionTooLarge(f"The session has too deep a path: {quote(member.path)}")
        self._tally.add_file()
        self._add(encode(member, subsecond=subsecond or self._inventory.subsecond))

    def _add(self, data: bytes) -> None:
        self._tally.add_unpacked(len(data))
        self._waiting.append(data)
        self._waiting_size += len(data)


def _open_folder(stack: ExitStack, name: bytes, parent: int | None = None) -> int:
    folder = open_no_follow(name, os.O_RDONLY | os.O_DIRECTORY, folder=parent)
    stack.callback(os.close, folder)
    return folder


def _read(file: int, size: int, path: bytes) -> Iterator[bytes]:
    while size:
        if not (data := os.read(file, min(size, _PIECE))):
            raise Internal(f"{quote(path)} became shorter while it was archived")
        size -= len(data)
        yield data


def _kind_of(status: os.stat_result) -> Kind | None:
    return _KINDS.get(stat.S_IFMT(status.st_mode))


def _list(folder: int) -> list[tuple[bytes, Kind | None]]:
    """Return what is in an open folder by name; sockets and the like are of no kind."""
    with os.scandir(folder) as entries:
        return sorted((os.fsencode(entry.name), _entry_kind(entry)) for entry in entries)


def _entry_kind(entry: os.DirEntry[str]) -> Kind | None:
    if entry.is_file(follow_symlinks=False):
        return Kind.FILE
    if entry.is_dir(follow_symlinks=False):
        return Kind.FOLDER
    return Kind.LINK if entry.is_symlink() else None
