"""What a session's files hold: ids of what was written to the disk, and a spool of what need not be.

To make ten thousand files costs several times what it costs to move their bytes, and most jobs need few of
them. So small files wait in one file, the spool, until somebody needs them, and are packed from there.
"""

from __future__ import annotations

import hashlib
import os
import stat
import weakref
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

from github_worker.archive.limits import ENTRY
from github_worker.errors import Internal

_PIECE = 1024 * 1024
_MOST_KEPT = 32 * 1024 * 1024  # enough for about 100,000 files
_FREED_AT_ONCE = 4 * 1024 * 1024
_NO_FILES: Mapping[bytes, SpooledFile] = {}


class ContentHash:
    """The id that git would give a file's content (a blob's SHA-1), made while the content streams by."""

    def __init__(self, size: int) -> None:
        self._sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        self.has_returns = False

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next piece of the content."""
        self._sha1.update(piece)
        self.has_returns = self.has_returns or bytes(piece).find(b"\r") >= 0

    def digest(self) -> bytes:
        """Return the id, twenty bytes."""
        return self._sha1.digest()


class Contents(Struct):
    """The ids of many files' contents, in eight bytes a file: an edit is seen whatever its size and time.

    Text with carriage returns is apart, as git may convert it. A name that the archive has more than once is
    not known. `attribute_files` are the paths of the files named `.gitattributes`.
    """

    plain: array[int] = field(default_factory=lambda: array("q"))
    with_returns: array[int] = field(default_factory=lambda: array("q"))
    repeated: set[bytes] = field(default_factory=set)
    attribute_files: set[bytes] = field(default_factory=set)

    def add(self, path: bytes, content: ContentHash) -> None:
        """Remember the content of a file that was written."""
        ids = self.with_returns if content.has_returns else self.plain
        ids.append(_key(path, content.digest()))


class SpooledFile(NamedTuple):
    """A plain file in the spool: where it is there, its mode on the disk, and its time in nanoseconds."""

    start: int
    size: int
    mode: int
    mtime: int


class Spool:
    """Keeps small plain files in one `file`, until they are written to where they belong below `tree`.

    Paths are the archive's. Without a file it takes none; `most_kept` is the most memory that it takes for
    what it knows of the files, roughly, in bytes.
    """

    def __init__(
        self, file: Path | None = None, tree: Path | None = None, *, most_kept: int = _MOST_KEPT
    ) -> None:
        self._most_kept = most_kept
        self._tree = b"" if tree is None else os.fsencode(tree) + b"/"
        self._folders: dict[bytes, dict[bytes, SpooledFile]] = {}
        self._kept = self._end = 0
        self._is_open = file is not None
        if file is not None:
            self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            weakref.finalize(self, os.close, self._file)

    def __contains__(self, path: bytes) -> bool:
        return self.get(path) is not None

    def get(self, path: bytes) -> SpooledFile | None:
        """Return what is known of a file, None if it is not here."""
        folder, _, name = path.rpartition(b"/")
        return self._folders.get(folder, _NO_FILES).get(name)

    def files(self, folder: bytes) -> Mapping[bytes, SpooledFile]:
        """Return the files that are right in a folder, by name."""
        return self._folders.get(folder, _NO_FILES)

    def has_room(self, path: bytes) -> bool:
        """Tell whether the memory bears one more name; once it does not, it never does for the same name."""
        return self._is_open and self._kept + _cost(path) <= self._most_kept

    def add(self, path: bytes, mode: int, mtime: int, pieces: Iterable[memoryview]) -> None:
        """Take in a file, in the place of one of the same name."""
        start = self._end
        for piece in pieces:
            self._end += _write_all(self._file, piece)
        folder, _, name = path.rpartition(b"/")
        self._folders.setdefault(folder, {})[name] = SpooledFile(start, self._end - start, mode, mtime)
        self._kept += _cost(path)

    def discard(self, path: bytes) -> None:
        """Forget a file, if it is here."""
        folder, _, name = path.rpartition(b"/")
        self._folders.get(folder, {}).pop(name, None)

    def read(self, file: SpooledFile) -> Iterator[bytes]:
        """Yield a file's content in pieces of about a megabyte or less."""
        at, end = file.start, file.start + file.size
        while at < end:
            if not (piece := os.pread(self._file, min(_PIECE, end - at), at)):
                raise Internal("The spool became shorter while it was read")
            at += len(piece)
            yield piece

    def hash(self, file: SpooledFile) -> ContentHash:
        """Return the id of a file's content."""
        content = ContentHash(file.size)
        for piece in self.read(file):
            content.update(piece)
        return content

    def fetch(self, path: bytes) -> ContentHash | None:
        """Write a file to the disk and forget it here; None if it is not here."""
        if (file := self.get(path)) is None:
            return None
        content = ContentHash(file.size)
        with _new_file(self._tree + path) as new:
            for piece in self.read(file):
                content.update(piece)
                _write_all(new, piece)
            os.fchmod(new, file.mode)
            os.utime(new, ns=(file.mtime, file.mtime))
        self.discard(path)
        return content

    def fetch_all(self) -> Iterator[tuple[bytes, ContentHash]]:
        """Write all files to the disk, the last one first, and yield the path and content of each."""
        files = [
            (file.start, folder + b"/" + name if folder else name)
            for folder, names in self._folders.items()
            for name, file in names.items()
        ]
        for start, path in sorted(files, reverse=True):
            if (content := self.fetch(path)) is not None:
                yield path, content
            if self._end - start >= _FREED_AT_ONCE:  # so that the disk need not hold everything twice
                self._end = start
                os.ftruncate(self._file, start)


class Trust(Enum):
    """Which contents git would make a blob of as they are: none for certain, those without CR, or all."""

    NONE = auto()
    PLAIN = auto()
    ALL = auto()


class FolderFiles:
    """The files below one folder as they were unpacked, on the disk or in the spool.

    Paths are relative to the folder; `trust` says which contents are known to be their blobs.
    """

    def __init__(
        self, contents: Contents, spool: Spool, folder: bytes, path: bytes, trust: Trust = Trust.NONE
    ) -> None:
        self._spool = spool
        self._prefix, self._path = folder + b"/", path + b"/"
        self._trust = trust
        self._repeated = contents.repeated
        self._known: set[int] = set()
        if trust is not Trust.NONE:
            self._known.update(contents.plain)
        if trust is Trust.ALL:
            self._known.update(contents.with_returns)

    @classmethod
    def none(cls) -> FolderFiles:
        """Return the files of a folder of which nothing is known."""
        return cls(Contents(), Spool(), b"", b"")

    def has(self, path: bytes, status: os.stat_result, oid: bytes) -> bool:
        """Tell whether the file or link at `path` on the disk is known to have the content of a blob."""
        if stat.S_ISLNK(status.st_mode) and self._trust is not Trust.NONE:
            target = os.readlink(self._path + path)
            content = ContentHash(len(target))
            content.update(target)
            return content.digest() == oid
        name = self._prefix + path
        return _key(name, oid) in self._known and name not in self._repeated

    # What is in the spool

    def mode(self, path: bytes) -> int | None:
        """Return the mode of a file in the spool, None if it is not there."""
        file = self._spool.get(self._prefix + path)
        return None if file is None else stat.S_IFREG | file.mode

    def spool_has(self, path: bytes, oid: bytes) -> bool:
        """Tell whether the file in the spool is known to have the content of a blob."""
        file = self._spool.get(self._prefix + path)
        if file is None or self._trust is Trust.NONE:
            return False
        content = self._spool.hash(file)
        return content.digest() == oid and self._is_blob(content)

    def names(self, folder: bytes) -> Iterable[bytes]:
        """Return the names of the files in the spool that are right in a folder."""
        return self._spool.files((self._prefix + folder).rstrip(b"/"))

    def fetch(self, path: bytes) -> None:
        """Let a file be on the disk, if it is in the spool."""
        name = self._prefix + path
        if (content := self._spool.fetch(name)) is not None:
            self._add(name, content)

    def fetch_all(self) -> bool:
        """Let all files of the session be on the disk, and tell whether some were not."""
        has_fetched = False
        for name, content in self._spool.fetch_all():
            self._add(name, content)
            has_fetched = True
        return has_fetched

    def _add(self, name: bytes, content: ContentHash) -> None:
        if self._is_blob(content):
            self._known.add(_key(name, content.digest()))

    def _is_blob(self, content: ContentHash) -> bool:
        return self._trust is Trust.ALL or (self._trust is Trust.PLAIN and not content.has_returns)


@contextmanager
def _new_file(path: bytes) -> Iterator[int]:
    """Make a file for the block, and leave none behind if it fails; its folder stays as old as it was."""
    folder = path.rpartition(b"/")[0]
    status = os.lstat(folder)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        yield file
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(file)
        os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _key(path: bytes, digest: bytes) -> int:
    # Python's own hash of bytes is keyed anew in each process, so no archive can aim at a collision.
    return hash(path + b"\0" + digest)


def _cost(path: bytes) -> int:
    return ENTRY + len(path)


def _write_all(file: int, data: bytes | memoryview) -> int:
    """Write data to a file, however often that takes, and return its size."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    return len(data)
