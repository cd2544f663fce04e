"""What a stage changed in a folder, to be made again in another: files by their paths, before and after.

git's own folder and what tools leave behind are never a part of it, nor is anything behind a link.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

IGNORED = frozenset(
    {".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv", "node_modules", "target"}
)
LARGEST = 32 << 20  # bytes


class File(Struct, frozen=True, array_like=True):
    """A regular file, or a link if `mode` is 0."""

    mode: int
    content: bytes

    @property
    def print(self) -> str:
        """What tells this file from another one."""
        return f"{self.mode:o} {hashlib.sha256(self.content).hexdigest()}"


Patch = dict[str, tuple[str | None, File | None]]  # by path: the print of the old file, and the new one


class Conflict(Exception):
    """The folder has something else where the patch would change it; the message says where."""


def look(folder: Path) -> dict[str, str]:
    """Return the print of each file below a folder."""
    return {path: found.print for path in _paths(folder) if (found := _read(folder / path))}


def difference(before: Mapping[str, str], folder: Path) -> Patch:
    """Return what changed in a folder since it was looked at."""
    after, size, changes = look(folder), 0, Patch()
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            new = _read(folder / path)
            size += len(new.content) if new else 0
            if size > LARGEST:
                raise Conflict(f"what was changed is larger than {LARGEST >> 20} MiB")
            changes[path] = (before.get(path), new)
    return changes


def apply(patch: Patch, folder: Path) -> Patch:
    """Make the changes in a folder, except those that are made already; return what undoes them.

    Raises Conflict, and changes nothing, if the folder has other files than those that the patch is for.
    """
    undo = Patch()
    for path, (old, new) in patch.items():
        if any((folder / parent).is_symlink() for parent in Path(path).parents):
            raise Conflict(f"{path} would be behind a link")
        is_blocked = (folder / path).is_dir() and not (folder / path).is_symlink()
        found = _read(folder / path)
        if is_blocked or (found and found.print) not in (old, new and new.print):
            raise Conflict(f"{path} has changed meanwhile")
        undo[path] = (new.print if new else None, found)
    for path, (_, new) in patch.items():
        _write(folder / path, new)
    return undo


def encode(patch: Patch) -> bytes:
    """Return a patch as bytes."""
    return msgspec.msgpack.encode(patch)


def decode(data: bytes) -> Patch:
    """Return the patch that bytes are."""
    return msgspec.msgpack.decode(data, type=Patch)


def _paths(folder: Path) -> list[str]:
    found = []
    for here, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        folders[:] = [name for name in folders if name not in IGNORED]
        found += [os.path.relpath(os.path.join(here, name), folder) for name in [*files, *links]]
    return found


def _read(path: Path) -> File | None:
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return File(0, os.fsencode(path.readlink()))
    return File(0o755 if mode & 0o100 else 0o644, path.read_bytes()) if stat.S_ISREG(mode) else None


def _write(path: Path, file: File | None) -> None:
    path.unlink(missing_ok=True)
    if file is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.mode == 0:
        path.symlink_to(os.fsdecode(file.content))
    else:
        path.write_bytes(file.content)
        path.chmod(file.mode)
