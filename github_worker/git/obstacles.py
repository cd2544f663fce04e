"""Obstacles: the uncommitted work that git would not carry over a checkout, by the rules of git-read-tree(1).

Where both trees have the same file, what the index and the worktree have is carried, whatever it is. Where
they differ, the file must be as the old tree has it, or staged as the new one does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping

import pygit2

from github_worker.errors import MergeConflict, UncommittedChanges
from github_worker.git import index_file
from github_worker.git.checkout import check_out_tree
from github_worker.git.index_file import Entry
from github_worker.git.merge import list_edits, name_paths
from github_worker.git.renames import REGULAR, Edit, File
from github_worker.git.repository import Repository
from github_worker.git.worktree import Worktree

_MOST = 100  # paths in an error


def carry(repository: Repository, tree: pygit2.Tree, nested: Iterable[str]) -> None:
    """Bring index and files to a tree, and carry all uncommitted work that git would.

    Raises UncommittedChanges, naming the paths, with nothing touched, where it would be lost.
    """
    edits = list_edits(repository.tree(repository.head), tree)
    touched = {os.fsencode(path): edit for path, edit in edits.items()}
    data, _ = index_file.read(repository.folder)
    entries = {entry.path: entry for entry in index_file.entries(data) if entry.path in touched}
    touched = {path: edit for path, edit in touched.items() if not _is_settled(entries.get(path), edit)}
    if paths := sorted({os.fsdecode(path) for path in _find(repository, touched, entries, nested)}):
        raise UncommittedChanges(
            f"Uncommitted changes are in the way: {name_paths(paths)}", data={"paths": paths[:_MOST]}
        )
    try:
        check_out_tree(repository, tree, touched)
    except MergeConflict as error:  # libgit2 sees an edit where git sees none
        raise UncommittedChanges(str(error)) from error


def _is_settled(entry: Entry | None, edit: Edit) -> bool:
    """Tell whether the index has a file already as the new tree does: then the worktree stays as it is."""
    return _indexed(entry) == _plain(edit.new) and (entry is None or not entry.is_intent)


def _indexed(entry: Entry | None) -> tuple[str, int] | None:
    return None if entry is None or entry.is_intent else (entry.id.hex(), entry.mode)


def _find(
    repository: Repository,
    touched: Mapping[bytes, Edit],
    entries: Mapping[bytes, Entry],
    nested: Iterable[str],
) -> Iterator[bytes]:
    worktree = Worktree(repository, nested)
    dirty = {change.path for change in worktree.tracked_changes() if change.oid is not None}
    going = {path for path, edit in touched.items() if edit.new is None and path in entries}
    for path, edit in touched.items():
        entry = entries.get(path)
        if _indexed(entry) != _plain(edit.old) or path in dirty:
            yield path
        elif edit.new is not None and (entry is None or not entry.skips_worktree):
            yield from worktree.find_untracked_at(path, {*going, path} if entry else going)


def _plain(file: File | None) -> tuple[str, int] | None:
    """Return a file's id and the mode that the index would have of it."""
    if file is None:
        return None
    is_executable = file.mode & stat.S_IXUSR
    return file.id, (REGULAR | (0o755 if is_executable else 0o644)) if file.kind == REGULAR else file.mode
