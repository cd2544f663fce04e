"""What libgit2 offers and pygit2 does not, through its foreign function interface."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pygit2
from msgspec import Struct
from pygit2.callbacks import git_checkout_options
from pygit2.enums import CheckoutStrategy
from pygit2.ffi import C, ffi

_SKIP_WORKTREE = 1 << 14  # GIT_INDEX_ENTRY_SKIP_WORKTREE
_NANO = 10**9
_MASK = 0xFFFFFFFF


class _RawPath(Struct, frozen=True):
    """A path in bytes, which pygit2 takes in this guise alone."""

    path: bytes

    def __fspath__(self) -> bytes:
        return self.path


def check_out(
    libgit2: pygit2.Repository,
    tree: pygit2.Tree,
    strategy: CheckoutStrategy,
    paths: Sequence[bytes] | None = None,
) -> None:
    """Bring index and files to a tree, only the `paths` if they are given, each blob written as it is."""
    strategy |= CheckoutStrategy.DISABLE_PATHSPEC_MATCH
    names = None if paths is None else [_RawPath(path) for path in paths]
    with git_checkout_options(strategy=strategy, paths=names) as payload:
        payload.checkout_options.disable_filters = 1
        pointer = ffi.new("git_object **")
        ffi.buffer(pointer)[:] = tree._pointer[:]
        payload.check_error(C.git_checkout_tree(libgit2._repo, pointer[0], payload.checkout_options))


def set_status(index: pygit2.Index, path: bytes, status: os.stat_result) -> None:
    """Let an entry remember the file that it was made of, so that nobody hashes it again."""
    entry = _entry(index, path)
    for time, moment in ((entry.ctime, status.st_ctime_ns), (entry.mtime, status.st_mtime_ns)):
        time.seconds, time.nanoseconds = _signed(moment // _NANO), moment % _NANO
    entry.dev, entry.ino = status.st_rdev & _MASK, status.st_ino & _MASK
    entry.uid, entry.gid, entry.file_size = status.st_uid, status.st_gid, status.st_size & _MASK


def skip_worktree(index: pygit2.Index, path: bytes) -> None:
    """Mark an entry as one whose file is not in the worktree."""
    _entry(index, path).flags_extended |= _SKIP_WORKTREE


def _entry(index: pygit2.Index, path: bytes) -> Any:
    return C.git_index_get_bypath(index._index, path, 0)


def _signed(seconds: int) -> int:
    seconds &= _MASK
    return seconds - 2**32 if seconds >= 2**31 else seconds
