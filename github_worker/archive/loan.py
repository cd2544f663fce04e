"""A submodule's repository, lent from the quarantine to where libgit2 may see it, and put back.

It lies in the quarantine (`.git/modules/NAME`, or a `.git` of its own) whoever wrote it, and goes into the
archive from there. While it is lent, what any session's repository has in the tree is in the `.git` of
its worktree.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from github_worker.archive.adoption import is_plain, move_visible
from github_worker.archive.limits import Limits, Tally
from github_worker.archive.quarantine import Folders
from github_worker.errors import SessionCorrupt

_CONFIG = b"config"  # in the tree it is the worker's own


@contextmanager
def lend(folders: Folders, git: bytes, worktree: bytes, limits: Limits) -> Iterator[None]:
    """Lend the repository in `git` to its worktree for the block; both are paths as in the archive.

    Raises SessionCorrupt where links lead to either, or for an object or a pack that git cannot read.
    """
    tree, quarantine = os.fsencode(folders.tree), os.fsencode(folders.quarantine)
    if not (is_plain(tree, worktree) and is_plain(quarantine, git)):
        raise SessionCorrupt("links lead to it")
    source, target = b"%b/%b" % (quarantine, git), b"%b/%b/.git" % (tree, worktree)
    try:
        move_visible(source, target, worktree + b"/.git", worktree, Tally(limits))
        yield
    finally:
        _put_back(target, source)


def put_new(folders: Folders, git: bytes, worktree: bytes) -> None:
    """Put the repository that was made in a worktree into the quarantine, where nothing is yet."""
    tree, quarantine = os.fsencode(folders.tree), os.fsencode(folders.quarantine)
    source, target = b"%b/%b/.git" % (tree, worktree), b"%b/%b" % (quarantine, git)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(source, target)


def _put_back(source: bytes, target: bytes) -> None:
    """Move all of a folder into another, whatever stands there in its place."""
    if not os.path.isdir(source):
        return
    for name in sorted(os.listdir(source)):
        old, new = b"%b/%b" % (source, name), b"%b/%b" % (target, name)
        is_folder = stat.S_ISDIR(os.lstat(old).st_mode)
        if os.path.lexists(new) and is_folder != _is_folder(new):
            shutil.rmtree(new) if _is_folder(new) else os.unlink(new)
        if is_folder:
            os.makedirs(new, exist_ok=True)
            _put_back(old, new)
        elif not (name == _CONFIG and source.endswith(b"/.git")):
            os.replace(old, new)
    shutil.rmtree(source)


def _is_folder(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
