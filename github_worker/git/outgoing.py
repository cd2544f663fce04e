"""What a push would send: the files of commits that the remote is not known to have."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pygit2
from msgspec import Struct
from pygit2.enums import FileMode, SortMode

from github_worker.errors import FileTooLarge, SessionCorrupt
from github_worker.git.repository import Repository
from github_worker.git.worktree import MAX_FILE_BYTES

_TRACKED = "refs/remotes/origin/"


class Revision(Struct, frozen=True):
    """A commit's message, the files that it brings, path and blob, and the blobs that they stand in for.

    `commit` is None for the one that is about to be made.
    """

    commit: str | None
    message: bytes
    brought: tuple[tuple[str, str], ...]
    replaced: tuple[str, ...]


def outgoing(repository: Repository, tree: str | None = None, message: bytes = b"") -> Iterator[Revision]:
    """Yield HEAD's commits that the remote lacks, and last the one that would have `tree` and `message`.

    Raises FileTooLarge for a file that the forge does not take.
    """
    libgit2 = repository.libgit2
    for commit in _unpushed(libgit2):
        brought, replaced = _files(libgit2, commit.tree, commit.parents)
        yield Revision(str(commit.id), commit.raw_message, brought, replaced)
    if tree is not None:
        heads = [] if libgit2.head_is_unborn else [libgit2.head.target]
        parents = [repository.commit(str(oid)) for oid in heads + libgit2.listall_mergeheads()]
        brought, replaced = _files(libgit2, libgit2[tree].peel(pygit2.Tree), parents)
        yield Revision(None, message, brought, replaced)


def content(repository: Repository, blob: str) -> memoryview:
    """Return what a blob holds; raise SessionCorrupt when it is not there."""
    try:
        return memoryview(repository.libgit2[blob].peel(pygit2.Blob))
    except KeyError:
        raise SessionCorrupt(f"The session's repository lacks the object {blob}") from None


def _unpushed(libgit2: pygit2.Repository) -> Iterator[pygit2.Commit]:
    if libgit2.head_is_unborn:
        return
    head = libgit2.head.target
    pushed = {
        reference.target
        for reference in libgit2.references.iterator()
        if reference.name.startswith(_TRACKED) and isinstance(reference.target, pygit2.Oid)
    }
    if head in pushed:
        return
    walker = libgit2.walk(head, SortMode.TOPOLOGICAL | SortMode.REVERSE)
    for oid in pushed:
        walker.hide(oid)
    yield from walker


def _files(
    libgit2: pygit2.Repository, tree: pygit2.Tree, parents: list[pygit2.Commit]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    before = parents[0].tree if parents else libgit2[libgit2.TreeBuilder().write()].peel(pygit2.Tree)
    brought, replaced = [], []
    for delta in tree.diff_to_tree(before, swap=True).deltas:
        if _is_file(delta.old_file):
            replaced.append(str(delta.old_file.id))
        if _is_file(delta.new_file) and not _is_merged(delta.new_file, parents[1:]):
            _check_size(libgit2, delta.new_file)
            brought.append((_path(delta.new_file), str(delta.new_file.id)))
    return tuple(brought), tuple(replaced)


def _is_file(file: pygit2.DiffFile) -> bool:
    return file.mode not in {FileMode.UNREADABLE, FileMode.COMMIT}


def _path(file: pygit2.DiffFile) -> str:
    return os.fsdecode(file.raw_path)


def _is_merged(file: pygit2.DiffFile, others: list[pygit2.Commit]) -> bool:
    """Tell whether a merge took the file from another parent, which is pushed or screened by itself."""
    path = _path(file)
    return any(path in other.tree and other.tree[path].id == file.id for other in others)


def _check_size(libgit2: pygit2.Repository, file: pygit2.DiffFile) -> None:
    try:
        _, size = libgit2.odb.read_header(file.id)
    except KeyError:
        raise SessionCorrupt(f"The session's repository lacks the object {file.id}") from None
    if size > MAX_FILE_BYTES:
        raise FileTooLarge(f"{_path(file)} has {size:,} bytes; the forge takes {MAX_FILE_BYTES:,}")
