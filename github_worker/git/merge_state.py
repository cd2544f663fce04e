"""A merge that is not committed: what git leaves of it in the index and in `.git`, for the next commit."""

from __future__ import annotations

from collections.abc import Iterable

import pygit2
from pygit2.enums import FileMode, SortMode

from github_worker.errors import MergeConflict
from github_worker.git.merge import Conflict, Labels, MergedTree, MergeUncertain, merge_trees
from github_worker.git.obstacles import carry
from github_worker.git.renames import File
from github_worker.git.repository import Repository

_DEEPEST = 8  # merges of merge bases


def merge(repository: Repository, ours: str, theirs: str, labels: Labels) -> MergedTree:
    """Merge two commits, moving nothing; raise MergeUncertain, or MergeConflict if they share no history."""
    base = _find_base(repository, ours, theirs, _DEEPEST)
    if base is None:
        raise MergeConflict("The two branches have no commit in common, and git refuses to merge such")
    return merge_trees(repository, base, repository.tree(ours), repository.tree(theirs), labels)


def begin(
    repository: Repository, other: str, merged: MergedTree, message: str, nested: Iterable[str] = ()
) -> None:
    """Bring index and files to a merged tree with conflicts, and remember that `other` is being merged.

    Raises UncommittedChanges, with nothing touched.
    """
    carry(repository, repository.libgit2[merged.tree].peel(pygit2.Tree), nested)
    remember_head(repository)
    _index(repository.libgit2.index, merged.conflicts)
    paths = "".join(f"#\t{path}\n" for path in merged.paths)
    _write(repository, "MERGE_HEAD", f"{other}\n")
    _write(repository, "MERGE_MSG", f"{message}\n# Conflicts:\n{paths}")
    _write(repository, "MERGE_MODE", "")
    _write(repository, "AUTO_MERGE", f"{merged.tree}\n")


def remember_head(repository: Repository) -> None:
    """Let ORIG_HEAD be what HEAD is at, before something moves it far."""
    if repository.head is not None:
        _write(repository, "ORIG_HEAD", f"{repository.head}\n")


def _write(repository: Repository, name: str, text: str) -> None:
    file = repository.folder / ".git" / name
    file.unlink(missing_ok=True)
    file.write_text(text, errors="surrogateescape")


def _index(index: pygit2.Index, conflicts: Iterable[Conflict]) -> None:
    """Let the index have the three sides of each conflict in place of the file."""
    for conflict in conflicts:
        index.remove(conflict.path)
        sides = (conflict.base, conflict.ours, conflict.theirs)
        index.add_conflict(*(_entry(conflict.path, side) for side in sides))  # type: ignore[arg-type]
    index.write()


def _entry(path: str, file: File | None) -> pygit2.IndexEntry | None:
    return None if file is None else pygit2.IndexEntry(path, pygit2.Oid(hex=file.id), FileMode(file.mode))


def _find_base(repository: Repository, one: str, other: str, depth: int) -> pygit2.Tree | None:
    """Return the tree that two commits began at; where they began at several, these merged, as git does."""
    bases = _list_bases(repository.libgit2, one, other)
    if len(bases) > 2 or depth == 0:
        raise MergeUncertain("The two branches were merged across each other too often", [])
    if len(bases) < 2:
        return repository.tree(bases[0]) if bases else None
    first, second = bases
    before = _find_base(repository, first, second, depth - 1) or repository.tree(None)
    merged = merge_trees(repository, before, repository.tree(first), repository.tree(second))
    if merged.conflicts:
        raise MergeUncertain("The two branches were merged across each other with conflicts", merged.paths)
    return repository.libgit2[merged.tree].peel(pygit2.Tree)


def _list_bases(libgit2: pygit2.Repository, one: str, other: str) -> list[str]:
    """Return the best common ancestors of two commits: several where branches were merged across."""
    first: pygit2.Oid | None = libgit2.merge_base(one, other)
    if first is None:
        return []
    bases = [first]
    common = set(_walk(libgit2, [one], bases)) & set(_walk(libgit2, [other], bases))
    while common:
        base = next(oid for oid in _walk(libgit2, [*common], bases) if oid in common)
        bases.append(base)
        common &= set(_walk(libgit2, [*common], bases))
    return [str(base) for base in bases]


def _walk(
    libgit2: pygit2.Repository, tips: Iterable[str | pygit2.Oid], hidden: Iterable[pygit2.Oid]
) -> list[pygit2.Oid]:
    walker = libgit2.walk(None, SortMode.TOPOLOGICAL)
    for tip in tips:
        walker.push(tip)
    for oid in hidden:
        walker.hide(oid)
    return [commit.id for commit in walker]
