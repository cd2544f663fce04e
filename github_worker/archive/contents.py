"""What was unpacked, by git's own ids: so an edit is seen where neither size nor time tells of it."""

from __future__ import annotations

import hashlib
import os
import stat
from array import array

from msgspec import Struct, field


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


def blob_id(data: bytes) -> bytes:
    """Return the id of a blob, twenty bytes."""
    content = ContentHash(len(data))
    content.update(data)
    return content.digest()


class Contents(Struct):
    """The ids of many files' contents, in eight bytes a file.

    Text with carriage returns is apart, as git may convert it. A name that the archive has more than once is
    not known. `attribute_files` are the paths of the files named `.gitattributes`.
    """

    plain: array[int] = field(default_factory=lambda: array("q"))
    with_returns: array[int] = field(default_factory=lambda: array("q"))
    repeated: set[bytes] = field(default_factory=set)
    attribute_files: list[bytes] = field(default_factory=list)

    def add(self, path: bytes, content: ContentHash) -> None:
        """Remember the content of a file that was written."""
        ids = self.with_returns if content.has_returns else self.plain
        ids.append(_key(path, content.digest()))
        if path.endswith(b"/.gitattributes"):
            self.attribute_files.append(path)

    def of_folder(self, folder: bytes, path: bytes, *, converting: bool) -> FolderContents:
        """Return what is known of the files below `folder`, which is at `path` on the disk.

        `converting` says that git may convert text with carriage returns, whose blob is not its content.
        """
        known = {*self.plain} if converting else {*self.plain, *self.with_returns}
        return FolderContents(folder + b"/", path + b"/", known, self.repeated)


class FolderContents(Struct, frozen=True):
    """The contents of one folder's files."""

    prefix: bytes
    folder: bytes
    known: set[int]
    repeated: set[bytes]

    @classmethod
    def unknown(cls) -> FolderContents:
        """Return the contents of a folder of which nothing is known."""
        return cls(b"", b"", set(), set())

    def has(self, path: bytes, status: os.stat_result, oid: bytes) -> bool:
        """Tell whether the file or link at `path` is known to have the content of the blob `oid`."""
        if stat.S_ISLNK(status.st_mode):
            return bool(self.folder) and blob_id(os.readlink(self.folder + path)) == oid
        name = self.prefix + path
        return _key(name, oid) in self.known and name not in self.repeated


def _key(path: bytes, digest: bytes) -> int:
    # Python's own hash of bytes is keyed anew in each process, so no archive can aim at a collision.
    return hash(path + b"\0" + digest)
