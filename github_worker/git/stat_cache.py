"""The index's stat data, renewed after unpacking, so that files which nobody edited are not hashed again.

An archive keeps sizes and modification times, and not what else an index remembers of a file: its inode, its
change time, its owner. The format is gitformat-index(5)'s; what is believed is what `core.checkStat=minimal`
believes, by the rule of Documentation/technical/racy-git.txt.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from struct import Struct, error

_HEADER = Struct(">4sII")
# ctime (s, ns), mtime (s, ns), device, inode, mode, uid, gid, size: then the object's id, 20 bytes, and flags
_STAT = Struct(">10I")
_FLAGS = Struct(">H")
_FLAGS_AT = _STAT.size + 20
_EXTENDED = 0x4000
_CHECKSUM = 20
_LONGEST = 4096  # bytes of a path, as the archive has it
_WORD = 0xFFFFFFFF
_NANO = 10**9


def renew(worktree: Path) -> None:
    """Renew the index of a worktree that was unpacked; one that cannot be read is left to libgit2."""
    index = worktree / ".git" / "index"
    try:
        status, data = index.stat(), bytearray(index.read_bytes())
        _renew(data, os.fsencode(worktree))
    except (OSError, error, ValueError):
        return
    index.unlink()  # an archive may have linked it to another file
    index.write_bytes(data)
    # By its time every reader knows which entries are too young to be believed.
    os.utime(index, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _renew(data: bytearray, worktree: bytes) -> None:
    for at, path in _entries(data):
        if len(path) > _LONGEST or b".." in path.split(b"/"):
            raise ValueError("no path of a worktree")
        _, _, seconds, fraction, *_, size = _STAT.unpack_from(data, at)
        try:
            status = os.lstat(worktree + b"/" + path)
        except OSError:
            continue
        on_disk = divmod(status.st_mtime_ns, _NANO)
        # Most archives keep whole seconds.
        same_time = on_disk in ((seconds, fraction), (seconds, 0))
        if same_time and status.st_size == size and not stat.S_ISDIR(status.st_mode):
            _STAT.pack_into(data, at, *_fields(status, data, at))
    data[-_CHECKSUM:] = hashlib.sha1(data[:-_CHECKSUM], usedforsecurity=False).digest()


def _fields(status: os.stat_result, data: bytearray, at: int) -> Iterator[int]:
    mode = _STAT.unpack_from(data, at)[6]
    changed, modified = divmod(status.st_ctime_ns, _NANO), divmod(status.st_mtime_ns, _NANO)
    fields = (status.st_rdev, status.st_ino, mode, status.st_uid, status.st_gid, status.st_size)
    return (field & _WORD for field in (*changed, *modified, *fields))


def _entries(data: bytearray) -> Iterator[tuple[int, bytes]]:
    """Yield where each entry begins, and its path; raise ValueError or struct.error where there is none."""
    signature, version, count = _HEADER.unpack_from(data)
    if signature != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("no index")
    at, path = _HEADER.size, b""
    for _ in range(count):
        (flags,) = _FLAGS.unpack_from(data, at + _FLAGS_AT)
        name = at + _FLAGS_AT + (4 if flags & _EXTENDED else 2)
        if version == 4:
            kept, name = _offset(data, name)
            end = data.index(0, name)
            path = path[: len(path) - kept] + data[name:end]
            yield at, path
            at = end + 1
        else:
            end = data.index(0, name)
            yield at, bytes(data[name:end])
            at += (end - at + 8) // 8 * 8


def _offset(data: bytearray, at: int) -> tuple[int, int]:
    """Return how many bytes of the last path are dropped (as in an OFS_DELTA), and where the rest begins."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = (value + 1) << 7 | data[at] & 0x7F
    return value, at + 1
