"""A look at a repository: what differs from HEAD, in git's words, and what the remote lacks.

It works in a copy of the session that nobody saves, and stages there what `git add -A` would, to compare it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import islice

import pygit2
from msgspec import Struct
from pygit2.enums import DeltaStatus, DiffOption

from github_worker.contract import FileChange, UnpushedCommit, rfc3339
from github_worker.errors import FileTooLarge, UnsupportedRepository
from github_worker.git import commits, index_file, native
from github_worker.git.index_file import Entry
from github_worker.git.repository import Repository, text_of
from github_worker.git.worktree import MAX_FILE_BYTES, Change, Worktree
from github_worker.redaction import scrub

_KIND = 0o170000
_LETTERS = {DeltaStatus.ADDED: "A", DeltaStatus.DELETED: "D", DeltaStatus.TYPECHANGE: "T"}
# The letters of a conflict by the sides that are there: base, ours, theirs (git-status(1)).
_SIDES = {"100": "DD", "010": "AU", "110": "UD", "001": "UA", "101": "DU", "011": "AA", "111": "UU"}
_UNREAD = bytes(20)  # in place of the blob of a file that cannot be read
_OLDEST, _NEWEST = 0, 253402300799  # a date's seconds


class Changes(Struct, frozen=True):
    """What differs from HEAD: the first files, the counts of all, and the patch as far as it is asked for."""

    files: tuple[FileChange, ...]
    count: int
    insertions: int
    deletions: int
    patch: str
    is_truncated: bool


def inspect_changes(repository: Repository, nested: Iterable[str], *, most: int, patch_bytes: int) -> Changes:
    """Compare HEAD, index and worktree as `git status` does, and count lines as `git diff HEAD` does.

    At most so many files are told, and so many bytes of the patch.
    """
    worktree = _Glance(repository, nested, partial(native.write_blob, repository.libgit2))
    found = list(worktree.changes())
    rows = _list_rows(repository, [*found, *(Change(path, oid=_UNREAD) for path, _ in worktree.left_out)])
    rows += [(folder + b"/", "??") for folder, _ in worktree.nested_changes()]
    counts = _Counts(patch_bytes)
    counts.compare(repository, [change for change in found if change.oid != _UNREAD])
    return Changes(
        files=tuple(_describe(*row, counts.by_path) for row in islice(sorted(rows), most)),
        count=len(rows),
        insertions=sum(one.insertions for one in counts.by_path.values()),
        deletions=sum(one.deletions for one in counts.by_path.values()),
        patch=scrub(bytes(counts.patch[:patch_bytes]).decode(errors="ignore")),
        is_truncated=len(counts.patch) > patch_bytes,
    )


def list_unpushed_commits(repository: Repository, most: int) -> tuple[int, tuple[UnpushedCommit, ...]]:
    """Return how many commits of HEAD no branch of the remote has, and the newest of them."""
    if repository.head is None:
        return 0, ()
    unpushed = list(commits.walk_unpushed(repository.libgit2, [repository.commit(repository.head)]))
    return len(unpushed), tuple(map(_tell, unpushed[: -most - 1 : -1]))


class _Glance(Worktree):
    """A look at a worktree that takes files as they are where no commit could be made of them.

    So does `git status` where a conversion fails; what is too large for the forge is not read.
    """

    def _blob(self, path: bytes, status: os.stat_result, entry: Entry | None) -> bytes:
        try:
            return super()._blob(path, status, entry)
        except UnsupportedRepository:
            if status.st_size <= MAX_FILE_BYTES:
                return self._make_blob(self._read(path, status))
        except FileTooLarge:
            pass
        return _UNREAD


def _list_rows(repository: Repository, found: Iterable[Change]) -> list[tuple[bytes, str]]:
    """Return paths with the two letters that `git status --porcelain` has for them."""
    data, _ = index_file.read(repository.folder)
    entries = {entry.path: entry for entry in index_file.entries(data) if not entry.is_conflict}
    conflicts = _list_conflicts(repository.libgit2.index)
    staged = {path: letter for path, letter in _list_staged(repository, entries) if path not in conflicts}
    unstaged = {change.path: _letter(change, entries.get(change.path)) for change in found}
    rows = [*conflicts.items()]
    rows += [(path, "??") for path in unstaged if path not in entries and path not in conflicts]
    for path in staged.keys() | (unstaged.keys() & entries.keys()):
        rows.append(
            (path, staged.get(path, " ") + (unstaged[path] if path in entries and path in unstaged else " "))
        )
    return rows


def _list_staged(repository: Repository, entries: Mapping[bytes, Entry]) -> Iterator[tuple[bytes, str]]:
    """Yield what the index has otherwise than HEAD, but for what is still to be added."""
    tree = repository.tree(repository.head)
    for delta in repository.libgit2.index.diff_to_tree(tree, flags=DiffOption.INCLUDE_TYPECHANGE).deltas:
        path = delta.new_file.raw_path
        if not (path in entries and entries[path].is_intent and delta.status == DeltaStatus.ADDED):
            yield path, _LETTERS.get(delta.status, "M")


def _list_conflicts(index: pygit2.Index) -> dict[bytes, str]:
    found = {}
    for sides in index.conflicts or ():
        path = next(os.fsencode(side.path) for side in sides if side is not None)
        found[path] = _SIDES["".join("0" if side is None else "1" for side in sides)]
    return found


def _letter(change: Change, entry: Entry | None) -> str:
    if change.oid is None or entry is None:
        return "D"
    if entry.is_intent:
        return "A"
    return "M" if change.mode is None or change.mode & _KIND == entry.mode & _KIND else "T"


class _Count(Struct, frozen=True):
    """Lines that are new and that are gone; none are counted of a `binary` file, or of an unread one."""

    insertions: int = 0
    deletions: int = 0
    binary: bool = False


class _Counts:
    """The lines that changed, by path, and the patch, which ends with the file that reaches the limit."""

    def __init__(self, limit: int) -> None:
        self.by_path: dict[bytes, _Count] = {}
        self.patch = bytearray()
        self._limit = limit

    def compare(self, repository: Repository, changes: list[Change]) -> None:
        """Compare HEAD with what it would be after the changes."""
        libgit2 = repository.libgit2
        commits.apply_changes(libgit2.index, changes)
        tree = libgit2[libgit2.index.write_tree()].peel(pygit2.Tree)
        head = repository.tree(repository.head)
        for patch in filter(None, tree.diff_to_tree(head, swap=True, flags=DiffOption.INCLUDE_TYPECHANGE)):
            change = commits.to_change(libgit2, patch)
            counts = _Count(change.insertions, change.deletions, change.binary)
            self.by_path[patch.delta.new_file.raw_path] = counts
            if len(self.patch) <= self._limit and self._limit:
                self.patch += patch.data


def _describe(path: bytes, status: str, counts: dict[bytes, _Count]) -> FileChange:
    count = counts.get(path, _Count())
    return FileChange(
        status=status,
        path=scrub(path.decode(errors="replace")),
        insertions=count.insertions,
        deletions=count.deletions,
        binary=count.binary,
    )


def _tell(commit: pygit2.Commit) -> UnpushedCommit:
    seconds = min(max(commit.author.time, _OLDEST), _NEWEST)
    return UnpushedCommit(
        commit=str(commit.id),
        subject=scrub(text_of(commit).partition("\n")[0]),
        author=scrub(commit.author.raw_name.decode(errors="replace")),
        date=rfc3339(datetime.fromtimestamp(seconds, UTC)),
    )
