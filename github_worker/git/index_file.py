"""The index as a file (gitformat-index(5)): its entries, and their stat data renewed after unpacking.

An archive keeps sizes and modification times, and not what else an index remembers of a file: its inode,
its change time, its owner. And the same size and time do not mean the same content (`cp -p`, a reproducible
build). So an entry is believed where the content that was unpacked is known to be its object; every other one
is made to differ from what is on the disk, so that whoever reads the index next looks at the file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct, error
from typing import NamedTuple

from github_worker.errors import UnsupportedRepository

_HEADER = Struct(">4sII")
# ctime (s, ns), mtime (s, ns), device, inode, mode, uid, gid, size: then the object's id, 20 bytes, and flags
_STAT = Struct(">10I")
_FIXED = Struct(">40s20sH")
_MODE = slice(24, 28)
_WORD = Struct(">H")
_EXTENDED, _ASSUME_VALID, _STAGE = 0x4000, 0x8000, 0x3000
_SKIP_WORKTREE, _INTENT_TO_ADD = 0x4000, 0x2000  # of the second word of flags
_CHECKSUM = 20
_LONGEST = 4096  # bytes of a path, as the archive has it
_MASK = 0xFFFFFFFF
_NANO = 10**9

IsUnchanged = Callable[[bytes, os.stat_result, bytes], bool]


class Entry(NamedTuple):
    """One entry of the index; `at` is where it begins, `stats` is its stat data as it stands there.

    `is_conflict` is one side of a conflict, `is_assumed_valid` one whose file git is told never to look at
    (`update-index --assume-unchanged`); `skips_worktree` has no file, as in a sparse checkout; the content of
    `is_intent` is still to be added (`git add --intent-to-add`).
    """

    at: int
    path: bytes
    mode: int
    id: bytes
    stats: bytes
    is_conflict: bool
    is_assumed_valid: bool
    skips_worktree: bool
    is_intent: bool

    def has_stats_of(self, status: os.stat_result, written: int) -> bool:
        """Tell whether the file is the one that was looked at, if the index was `written` (in ns) later.

        One as young as the index may have been changed after it was looked at (racy-git.txt).
        """
        changed, changed_ns, modified, modified_ns, _, inode, *_, size = _STAT.unpack(self.stats)
        return (
            (changed, changed_ns) == _split_time(status.st_ctime_ns)
            and (modified, modified_ns) == _split_time(status.st_mtime_ns)
            and (inode, size) == (status.st_ino & _MASK, status.st_size & _MASK)
            and modified * _NANO + modified_ns < written
        )


def entries(data: bytes | bytearray) -> Iterator[Entry]:
    """Yield the entries of an index; raise UnsupportedRepository where it is none."""
    try:
        yield from _parse_entries(data)
    except (error, ValueError, IndexError) as broken:
        raise UnsupportedRepository(f"The repository's index cannot be read: {broken}") from None


def _parse_entries(data: bytes | bytearray) -> Iterator[Entry]:
    signature, version, count = _HEADER.unpack_from(data)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("no index")
    at, path = _HEADER.size, b""
    for _ in range(count):
        stats, oid, flags = _FIXED.unpack_from(data, at)
        name, more = at + _FIXED.size, 0
        if flags & _EXTENDED:
            (more,) = _WORD.unpack_from(data, name)
            name += _WORD.size
        if version == 4:
            dropped, name = _read_offset(data, name)
            end = data.index(0, name)
            path = path[: len(path) - dropped] + bytes(data[name:end])
            after = end + 1
        else:
            end = data.index(0, name)
            path = bytes(data[name:end])
            after = at + (end - at + 8) // 8 * 8
        mode = int.from_bytes(stats[_MODE], "big")
        yield Entry(
            at,
            path,
            mode,
            oid,
            stats,
            flags & _STAGE != 0,
            flags & _ASSUME_VALID != 0,
            more & _SKIP_WORKTREE != 0,
            more & _INTENT_TO_ADD != 0,
        )
        at = after


def read(worktree: Path) -> tuple[bytes, int]:
    """Return the index of a worktree and its time in nanoseconds, an empty one where there is none."""
    try:
        with open(worktree / ".git" / "index", "rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return _HEADER.pack(b"DIRC", 2, 0), 0


def renew(worktree: Path, is_unchanged: IsUnchanged) -> None:
    """Renew the index of a worktree that was unpacked; one that cannot be read is left to libgit2.

    `is_unchanged` tells whether the file at a path, with this status, has the content of this object.
    """
    index = worktree / ".git" / "index"
    try:
        data = bytearray(index.read_bytes())
        _renew(data, os.fsencode(worktree), is_unchanged)
    except (OSError, UnsupportedRepository):
        return
    index.unlink()  # an archive may have linked it to another file
    index.write_bytes(data)


def _renew(data: bytearray, worktree: bytes, is_unchanged: IsUnchanged) -> None:
    for entry in entries(data):
        if len(entry.path) > _LONGEST or b".." in entry.path.split(b"/"):
            raise UnsupportedRepository("The repository's index has a path outside of the worktree")
        try:
            status = os.lstat(worktree + b"/" + entry.path)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            continue
        is_same = stat.S_IFMT(status.st_mode) == stat.S_IFMT(entry.mode)
        believed = is_same and is_unchanged(entry.path, status, entry.id)
        _STAT.pack_into(data, entry.at, *(_stats if believed else _no_stats)(status, entry.mode))
    data[-_CHECKSUM:] = hashlib.sha1(data[:-_CHECKSUM], usedforsecurity=False).digest()


def _stats(status: os.stat_result, mode: int) -> tuple[int, ...]:
    # libgit2 takes the first of these for the device.
    fields = (status.st_rdev, status.st_ino, mode, status.st_uid, status.st_gid, status.st_size)
    numbers = tuple(field & _MASK for field in fields)
    return (*_split_time(status.st_ctime_ns), *_split_time(status.st_mtime_ns), *numbers)


def _split_time(nanoseconds: int) -> tuple[int, int]:
    seconds, rest = divmod(nanoseconds, _NANO)
    return seconds & _MASK, rest


def _no_stats(_: os.stat_result, mode: int) -> tuple[int, ...]:
    """Return stat data that no file has; a size of 0 says that only the content can tell (racy-git.txt)."""
    return (0, 0, _MASK, 0, 0, 0, mode, 0, 0, 0)


def _read_offset(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return how many bytes of the last path are dropped (as in an OFS_DELTA), and where the rest begins."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = (value + 1) << 7 | data[at] & 0x7F
    return value, at + 1
