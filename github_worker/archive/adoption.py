"""A repository that lies deeper in a session than others, brought to where libgit2 may see it.

An archive's names do not tell it from a nested repository, so unpacking puts its `.git` into the quarantine;
which one is the session's own is known from the metadata, when all is unpacked.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from itertools import accumulate, takewhile

from github_worker.archive import pack_index
from github_worker.archive.limits import Limits, Tally
from github_worker.archive.loose_object import inspect_file
from github_worker.archive.quarantine import Folders, Inventory, Kind, in_tree, is_loose_object


def adopt(folders: Folders, inventory: Inventory, path: bytes, limits: Limits) -> bool:
    """Let the repository at `path` be the session's own; return False where links lead to it.

    Of its `.git`, what any session's repository has in the tree is moved there. Raises SessionCorrupt for a
    loose object that git cannot read.
    """
    tree, quarantine = os.fsencode(folders.tree), os.fsencode(folders.quarantine)
    is_file = any(folder in inventory.spool for folder in accumulate(path.split(b"/"), _join))
    if is_file or not (is_plain(tree, path) and is_plain(quarantine, path)):
        return False
    inventory.repository = path
    git = path + b"/.git"
    if _is_folder(quarantine + b"/" + git):
        inventory.quarantined_repositories.discard(path)
        os.makedirs(tree + b"/" + path, exist_ok=True)
        status = os.stat(tree + b"/" + path)
        move_visible(quarantine + b"/" + git, tree + b"/" + git, git, path, Tally(limits))
        os.utime(tree + b"/" + path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return True


def is_plain(root: bytes, path: bytes) -> bool:
    """Tell whether a path leads through folders alone, as far as it is there."""
    folders = accumulate(path.split(b"/"), _join, initial=root)
    there = takewhile(os.path.lexists, folders)
    return all(map(_is_folder, there))


def _join(parent: bytes, name: bytes) -> bytes:
    return b"%b/%b" % (parent, name)


def _is_folder(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def move_visible(source: bytes, target: bytes, path: bytes, repository: bytes, tally: Tally) -> None:
    """Move what is allowed in the tree from a folder to another, and see that both keep their mode and time.

    `path` is what an archive calls the folder, a `.git` or in it, `repository` what it calls the worktree.
    """
    status = os.stat(source)
    os.makedirs(target, mode=0o700, exist_ok=True)
    for name, kind in _list(source):
        inner = _join(path, name)
        if not in_tree(inner, kind, repository):
            continue
        if kind is Kind.FOLDER:
            move_visible(_join(source, name), _join(target, name), inner, repository, tally)
        else:
            _move_file(_join(source, name), _join(target, name), inner, repository, tally)
    for file in _find_indexes(target):
        pack_index.check(file)
    for folder in (source, target):
        os.chmod(folder, stat.S_IMODE(status.st_mode))
        os.utime(folder, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _find_indexes(folder: bytes) -> Iterator[bytes]:
    """Yield the indexes of packs in a folder that libgit2 may see."""
    if folder.endswith(b"/objects/pack"):
        yield from (_join(folder, name) for name, _ in _list(folder) if name.endswith(b".idx"))


def _move_file(old: bytes, new: bytes, path: bytes, repository: bytes, tally: Tally) -> None:
    if is_loose_object(path, repository):
        inspect_file(path, old, tally)
    status = os.lstat(old)
    if status.st_nlink > 1:  # what is written in place must not change what has another name
        os.rename(old, new)
        _separate(new, status)
    else:
        os.rename(old, new)


def _separate(file: bytes, status: os.stat_result) -> None:
    """Give a file that has several names a content of its own."""
    copy = file + b".copy"
    with open(file, "rb") as source, open(copy, "xb") as target:
        shutil.copyfileobj(source, target, 2**20)
    os.chmod(copy, stat.S_IMODE(status.st_mode))
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(copy, file)


def _list(folder: bytes) -> Iterator[tuple[bytes, Kind]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            kind = Kind.FOLDER if entry.is_dir(follow_symlinks=False) else Kind.FILE
            if not entry.is_symlink():
                yield entry.name, kind
