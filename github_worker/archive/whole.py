"""A session in one folder, as people and agents work in it: unpacked with all that it holds, and packed.

Nothing is kept from git here, since no libgit2 looks at it: hooks and configuration are where they belong.
What is written follows no link, as in `unpack`; what is read back may have been made by anybody.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from github_worker.archive.gzip import inflate
from github_worker.archive.limits import Limits, Tally
from github_worker.archive.pack import TarWriter
from github_worker.archive.quarantine import Disk, Folders, Inventory, Kind, open_no_follow
from github_worker.archive.tar import Member, quote
from github_worker.archive.unpack import Reader, TarReader, Unpacker
from github_worker.errors import GitHubWorkerError, Internal, SessionCorrupt, SessionTooLarge

# What opening or reading an entry ends in that something of another kind has taken the place of
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EINVAL}
_STATUS = struct.Struct("<QIqqq")
_COARSE = 5  # CLOCK_REALTIME_COARSE of Linux's time.h
_TICK = 0.001  # seconds: how often the file system's clock is asked


class FilesChanged(GitHubWorkerError):
    """The files were changed while they were read; the message names one where it is known."""


class Snapshot(Struct, frozen=True):
    """The state of a folder: `digest` is another one as soon as anything in it was changed.

    `left_out` are the paths of sockets, pipes and devices, which are not archived.
    """

    digest: bytes
    left_out: tuple[bytes, ...]


def unpack_whole(
    chunks: Iterable[bytes], folder: Path, limits: Limits, tally: Tally | None = None
) -> Inventory:
    """Write the content of a gzip'd tar into an empty folder, and return all that a disk cannot say of it.

    Blocks: call it in a thread. Raises SessionCorrupt, SessionTooLarge, OSError of the disk, and what
    `chunks` raises.
    """
    tally = tally or Tally(limits)
    inventory = Inventory()
    disk = Disk(Folders(folder, folder), inventory, tally)
    _WholeUnpacker(disk, inventory, tally).run(TarReader(inflate(chunks, tally), tally))
    return inventory


class _WholeUnpacker(Unpacker):
    """Writes members as they are: git itself judges objects and indexes here."""

    def _write_file(self, member: Member, reader: Reader) -> None:
        disk_mode = member.mode & 0o777 | 0o400
        path = self._disk.prepare(member.path, Kind.FILE)
        self._disk.write_file(path, disk_mode, member.mtime, reader.content(member), None)
        self._keep(member, disk_mode)

    def _link_file(self, source: bytes, path: bytes) -> None:
        old, new = self._disk.locate(source, Kind.FILE), self._disk.prepare(path, Kind.FILE)
        if not (os.path.isfile(old) and not os.path.islink(old)):
            raise SessionCorrupt(f"The session's archive has {quote(path)}, a link to no file before it")
        self._disk.make_hard_link(old, new)

    def _refuse_conflicts(self) -> None:
        for path in self._inventory.specials:
            if os.path.lexists(self._disk.tree + b"/" + path):
                raise SessionCorrupt(f"The session's archive has two kinds of {quote(path)}")

    def _check_packs(self) -> None:
        pass


def take_snapshot(folder: Path, limits: Limits, *, without: bytes = b"") -> Snapshot:
    """Look at every file's status below a folder, but at the top-level name `without`; no file is read.

    Returns when any later change must show, even one within the same tick of the file system's clock. Raises
    SessionTooLarge and OSError.
    """
    recorder = _Recorder()
    newest = 0
    with ExitStack() as stack:
        for entry in _walk(_open_folder(stack, os.fsencode(folder)), b"", without, limits):
            recorder.add(entry)
            newest = max(newest, entry.status.st_ctime_ns)
    while newest >= _now() > newest - 10**9:  # a time that is further ahead is of another clock
        time.sleep(_TICK)
    return recorder.snapshot


class _Entry(Struct):
    """What lies in an open folder, which its status was asked of."""

    folder: int
    name: bytes
    path: bytes
    status: os.stat_result


class _Recorder:
    """Makes a snapshot of the entries of a walk, which come in the order of their names."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=32)
        self._left_out: list[bytes] = []

    @property
    def snapshot(self) -> Snapshot:
        """The state so far."""
        return Snapshot(self._digest.digest(), tuple(self._left_out))

    def add(self, entry: _Entry) -> None:
        """Take an entry in."""
        self._digest.update(b"%b\0%b" % (entry.path, _stamp(entry.status)))
        if not _is_archived(entry.status):
            self._left_out.append(entry.path)


class WholePacker:
    """Packs a folder, but its top-level name `without`; `snapshot` is the state that the archive is of."""

    def __init__(self, folder: Path, inventory: Inventory, limits: Limits, *, without: bytes = b"") -> None:
        self._folder, self._root = folder, os.fsencode(folder)
        self._inventory = inventory
        self._limits = limits
        self._without = without
        self._writer = TarWriter(inventory, limits)
        self._recorder = _Recorder()

    @property
    def snapshot(self) -> Snapshot:
        """The state of what was packed so far."""
        return self._recorder.snapshot

    def pack(self, *, as_one: bool) -> Iterator[bytes]:
        """Yield the archive in pieces of about a megabyte or less; blocks, so iterate in a thread.

        Raises FilesChanged, before the archive is whole, for a file that changed while it was read, and with
        `as_one` for any change since the beginning: the archive is then of one moment. Raises SessionTooLarge
        and OSError.
        """
        with ExitStack() as stack:
            root = _open_folder(stack, self._root)
            if b"" in self._inventory.kept:
                self._writer.add_folder(b"", os.fstat(root))
            for entry in _walk(root, b"", self._without, self._limits):
                self._recorder.add(entry)
                yield from self._pack_entry(entry)
                if self._writer.is_full:
                    yield from self._writer.flush()
        yield from self._pack_specials()
        if as_one and take_snapshot(self._folder, self._limits, without=self._without) != self.snapshot:
            raise FilesChanged("The session's files were changed while they were saved")
        yield from self._writer.finish()

    def _pack_entry(self, entry: _Entry) -> Iterator[bytes]:
        mode = entry.status.st_mode
        if stat.S_ISDIR(mode):
            self._writer.add_folder(entry.path, entry.status)
        elif stat.S_ISLNK(mode):
            self._writer.add_link(entry.path, entry.status, _read_link(entry))
        elif stat.S_ISREG(mode):
            yield from self._pack_file(entry)

    def _pack_file(self, entry: _Entry) -> Iterator[bytes]:
        if entry.status.st_size > self._limits.max_bytes:
            raise SessionTooLarge(f"{quote(entry.path)} has {entry.status.st_size:,} bytes")
        with _replacement_noticed(entry):
            # Nor does it wait for the other end of a pipe.
            file = open_no_follow(entry.name, os.O_RDONLY | os.O_NONBLOCK, folder=entry.folder)
        try:
            _check(file, entry)
            yield from self._writer.add_file(entry.path, file)
            _check(file, entry)
        except Internal as error:  # it became shorter
            raise _changed(entry) from error
        finally:
            os.close(file)

    def _pack_specials(self) -> Iterator[bytes]:
        """Yield the devices and pipes that came with the archive, where nothing else stands now."""
        for path, special in self._inventory.specials.items():
            if self._has_room(path):
                self._writer.add_special(special)
            if self._writer.is_full:
                yield from self._writer.flush()

    def _has_room(self, path: bytes) -> bool:
        """Tell whether nothing stands at `path`, and only folders above it."""
        parents = accumulate(path.split(b"/")[:-1], lambda parent, name: b"%b/%b" % (parent, name))
        standing = (self._root + b"/" + parent for parent in parents)
        is_free = all(not os.path.lexists(parent) or _is_folder(parent) for parent in standing)
        return is_free and not os.path.lexists(self._root + b"/" + path)


def _walk(folder: int, path: bytes, without: bytes, limits: Limits) -> Iterator[_Entry]:
    """Yield all below an open folder by name, each folder before what is in it; no link is followed."""
    for name, status in _list(folder):
        if name == without:
            continue
        inner = path + b"/" + name if path else name
        yield (entry := _Entry(folder, name, inner, status))
        if not stat.S_ISDIR(status.st_mode):
            continue
        if inner.count(b"/") + 2 > limits.max_depth or len(inner) > limits.max_path:
            raise SessionTooLarge(f"The session has too deep a path: {quote(inner)}")
        with ExitStack() as stack:
            with _replacement_noticed(entry):
                below = _open_folder(stack, name, folder)
            yield from _walk(below, inner, b"", limits)


def _list(folder: int) -> list[tuple[bytes, os.stat_result]]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue  # it went since it was listed, which its folder's status tells
    found.sort(key=lambda each: each[0])
    return found


def _open_folder(stack: ExitStack, name: bytes, parent: int | None = None) -> int:
    folder = open_no_follow(name, os.O_RDONLY | os.O_DIRECTORY, folder=parent)
    stack.callback(os.close, folder)
    return folder


def _read_link(entry: _Entry) -> bytes:
    with _replacement_noticed(entry):
        return os.readlink(entry.name, dir_fd=entry.folder)


@contextmanager
def _replacement_noticed(entry: _Entry) -> Iterator[None]:
    """Raise FilesChanged where an entry is no more what it was when its folder was listed."""
    try:
        yield
    except OSError as error:
        if error.errno in _REPLACED:
            raise _changed(entry) from error
        raise


def _check(file: int, entry: _Entry) -> None:
    """Raise FilesChanged unless an open file is what it was when its folder was listed."""
    if _stamp(os.fstat(file)) != _stamp(entry.status):
        raise _changed(entry)


def _changed(entry: _Entry) -> FilesChanged:
    return FilesChanged(f"{quote(entry.path)} was changed while it was saved")


def _stamp(status: os.stat_result) -> bytes:
    """Return what is another as soon as a file is changed, replaced or given another mode."""
    return _STATUS.pack(status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _is_archived(status: os.stat_result) -> bool:
    return stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


def _is_folder(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _now() -> int:
    """Return the time by the clock that Linux's file systems take theirs from, in nanoseconds."""
    return time.clock_gettime_ns(_COARSE if sys.platform == "linux" else time.CLOCK_REALTIME)
