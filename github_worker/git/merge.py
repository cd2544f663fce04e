"""Merging: the tree, and the conflicts, that git's own merge (merge-ort) makes of what two sides did to one.

Where git's result is not certain, since it depends on which file git takes for a renamed one, there is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property

import pygit2
from msgspec import Struct
from pygit2.enums import DiffOption, FileMode, MergeFlag

from github_worker.errors import GitHubWorkerError
from github_worker.git import lines
from github_worker.git.attributes import Attributes, Value
from github_worker.git.renames import REGULAR, Change, Edit, File, Similarity, list_folders, plan, three_way
from github_worker.git.repository import Repository

_FLAGS = DiffOption.INCLUDE_TYPECHANGE | DiffOption.SKIP_BINARY_CHECK
_NO_RENAMES = MergeFlag(0)
_BINARY_START = 8000  # a NUL within as many bytes makes a file binary
_DRIVER = b"merge"  # the attribute that says how a file is merged
_SIZE = b"conflict-marker-size"
_LONGEST_MARKER = 1000
_SHOWN = 10


class MergeUncertain(GitHubWorkerError):
    """It is not certain what git would make of the paths."""

    def __init__(self, what: str, paths: Iterable[str]) -> None:
        self.paths = sorted(paths)
        super().__init__(f"{what}: {name_paths(self.paths)}" if self.paths else what)


class Conflict(Struct, frozen=True):
    """A path of which the two sides made what does not go together; None is no file there."""

    path: str
    base: File | None
    ours: File | None
    theirs: File | None


class MergedTree(Struct, frozen=True):
    """A merged tree; files with conflicts are in it as git leaves them in the worktree."""

    tree: pygit2.Oid
    conflicts: tuple[Conflict, ...] = ()

    @property
    def paths(self) -> list[str]:
        """The paths that have conflicts."""
        return sorted(conflict.path for conflict in self.conflicts)


class Labels(Struct, frozen=True):
    """The names of the two sides in the files that have conflicts."""

    ours: str
    theirs: str


def merge_trees(
    repository: Repository,
    base: pygit2.Tree,
    ours: pygit2.Tree,
    theirs: pygit2.Tree,
    labels: Labels | None = None,
) -> MergedTree:
    """Merge what two sides made of the tree `base`; raise MergeUncertain."""
    return _Merge(repository, base, ours, theirs, labels or Labels("ours", "theirs")).run()


def name_paths(paths: Iterable[str]) -> str:
    """Return the first of the paths, for a person."""
    ordered = sorted(paths)
    return f"{', '.join(ordered[:_SHOWN])}{' …' if len(ordered) > _SHOWN else ''}"


def list_edits(base: pygit2.Tree, side: pygit2.Tree) -> dict[str, Edit]:
    """Return the files in which a tree differs from `base`, by path."""
    deltas = base.diff_to_tree(side, flags=_FLAGS).deltas
    return {
        os.fsdecode(delta.new_file.raw_path): Edit(_to_file(delta.old_file), _to_file(delta.new_file))
        for delta in deltas
    }


class _Merge:
    """A merge of what two sides made of one tree."""

    def __init__(
        self,
        repository: Repository,
        base: pygit2.Tree,
        ours: pygit2.Tree,
        theirs: pygit2.Tree,
        labels: Labels,
    ) -> None:
        self._repository = repository
        self._libgit2 = repository.libgit2
        self._head = ours
        self._labels = labels
        self._trees = [base, ours, theirs]
        self._edits = list_edits(base, ours), list_edits(base, theirs)
        self._moves: tuple[dict[str, str], dict[str, str]] = {}, {}
        self._conflicts: list[Conflict] = []

    def run(self) -> MergedTree:
        """Return the merged tree; raise MergeUncertain where it is not certain."""
        ours, theirs = (_to_change(*pair) for pair in zip(self._edits, self._trees[1:], strict=True))
        decided = plan(ours, theirs, Similarity(self._blob).compare)
        if decided.clashes:
            raise MergeUncertain("Files were moved, deleted or replaced on both sides", decided.clashes)
        if decided.remote or decided.local:
            self._moves = decided.remote, decided.local
            self._follow(*self._moves)
        return MergedTree(self._merge(), tuple(self._conflicts))

    def _follow(self, our_moves: dict[str, str], their_moves: dict[str, str]) -> None:
        """Let all three trees have the files that one side moved where it has them."""
        base, ours, theirs = self._trees
        base = self._move(base, our_moves | their_moves)
        ours, theirs = self._move(ours, their_moves), self._move(theirs, our_moves)
        self._trees = [base, ours, theirs]
        self._edits = list_edits(base, ours), list_edits(base, theirs)

    def _move(self, tree: pygit2.Tree, moves: dict[str, str]) -> pygit2.Tree:
        """Return a tree with files moved, those of them that it has."""
        index = pygit2.Index()
        index.read_tree(tree)
        size = len(index)
        entries = {new: index[old] for old, new in moves.items() if old in index}
        for entry in entries.values():
            index.remove(entry.path)
        for path, entry in entries.items():
            index.add(pygit2.IndexEntry(path, entry.id, entry.mode))
        if len(index) != size:  # a file or a folder gave way
            raise MergeUncertain("A file was moved to where another one is", entries)
        return self._libgit2[index.write_tree(self._libgit2)].peel(pygit2.Tree)

    def _merge(self) -> pygit2.Oid:
        base, ours, theirs = (tree.id for tree in self._trees)
        merged = self._libgit2.merge_trees(base, ours, theirs, flags=_NO_RENAMES)
        _refuse_folders(merged)
        for entry in self._merge_files():
            _settle(merged, entry)
        for sides in list(merged.conflicts or ()):
            _settle(merged, self._leave(*sides))
        return merged.write_tree(self._libgit2)

    def _merge_files(self) -> Iterator[pygit2.IndexEntry]:
        """Yield what becomes of the files that both sides changed, each in its way."""
        ones, others = self._edits
        both = [path for path in ones.keys() & others.keys() if ones[path].new != others[path].new]
        for path in both:
            old, one, other = ones[path].old, ones[path].new, others[path].new
            if one is not None and other is not None and one.kind == other.kind == REGULAR:
                yield self._merge_file(path, old, one, other)

    def _merge_file(self, path: str, old: File | None, one: File, other: File) -> pygit2.IndexEntry:
        """Merge a file's permissions and its text; what was no file before counts as an empty one."""
        mode = three_way(old.mode if old else 0, one.mode, other.mode)
        oid, is_clean = three_way(old.id if old else "", one.id, other.id), True
        if oid is None:
            base = self._blob(old.id) if old and old.kind == REGULAR else b""
            text, is_clean = self._merge_text(path, base, self._blob(one.id), self._blob(other.id))
            oid = str(self._libgit2.create_blob(text))
        if mode is None or not is_clean:
            self._conflicts.append(Conflict(path, old, one, other))
        return pygit2.IndexEntry(path, pygit2.Oid(hex=oid), FileMode(one.mode if mode is None else mode))

    def _merge_text(self, path: str, base: bytes, one: bytes, other: bytes) -> tuple[bytes, bool]:
        """Merge the text of a file, and tell whether that left no conflict; a binary file stays ours."""
        attributes = self._attributes.of(os.fsencode(path))
        driver = attributes.get(_DRIVER, True)
        if driver not in {True, False, b"text", b"binary"}:
            raise MergeUncertain("Both sides changed files that are not merged by lines", [path])
        is_text = driver in {True, b"text"}
        if not is_text or any(b"\0" in text[:_BINARY_START] for text in (base, one, other)):
            return one, False
        try:
            return lines.merge(base, one, other, self._markers(path, attributes.get(_SIZE)))
        except lines.LinesUncertain:
            raise MergeUncertain("Both sides changed files in too many places", [path]) from None

    def _markers(self, path: str, size: Value | None) -> lines.Markers:
        """Return the markers of a file's conflicts, which say where it is on each side if one moved it."""
        is_size = isinstance(size, bytes) and size.isdigit() and 0 < int(size[:9]) <= _LONGEST_MARKER
        ours, theirs = os.fsencode(self._labels.ours), os.fsencode(self._labels.theirs)
        olds = [{new: old for old, new in moves.items()} for moves in self._moves]
        if (path in olds[0]) != (path in olds[1]):
            ours += b":" + os.fsencode(olds[1].get(path, path))
            theirs += b":" + os.fsencode(olds[0].get(path, path))
        return lines.Markers(ours, theirs, int(size) if is_size and isinstance(size, bytes) else 7)

    def _leave(
        self, base: pygit2.IndexEntry | None, ours: pygit2.IndexEntry | None, theirs: pygit2.IndexEntry | None
    ) -> pygit2.IndexEntry:
        """Note a conflict that is none of lines, and return what stands in the worktree meanwhile."""
        remains = [side for side in (ours, theirs) if side is not None]
        if not remains or (base is None and len(remains) == 1) or not _go_together(remains):
            path = next(str(side.path) for side in (base, ours, theirs) if side is not None)
            raise MergeUncertain("Files were moved, deleted or replaced on both sides", [path])
        path = str(remains[0].path)
        self._conflicts.append(Conflict(path, *(_entry_file(side) for side in (base, ours, theirs))))
        return pygit2.IndexEntry(path, remains[0].id, remains[0].mode)

    def _blob(self, oid: str) -> bytes:
        return self._libgit2[oid].peel(pygit2.Blob).data

    @cached_property
    def _attributes(self) -> Attributes:
        rules, names = self._repository.rules, frozenset({_DRIVER, _SIZE})
        return Attributes(self._attribute_file, rules.attributes, ignore_case=rules.ignore_case, names=names)

    def _attribute_file(self, folder: bytes) -> bytes | None:
        """Return a .gitattributes of the tree to merge into: git has it in the worktree by then."""
        tree, path = self._head, os.fsdecode(folder + b"/.gitattributes").lstrip("/")
        is_file = path in tree and tree[path].filemode in {FileMode.BLOB, FileMode.BLOB_EXECUTABLE}
        return self._blob(str(tree[path].id)) if is_file else None


def _refuse_folders(merged: pygit2.Index) -> None:
    """See that no file that conflicts is a folder on the other side: git gives one of them a new name."""
    paths = {side.path for sides in merged.conflicts or () for side in sides if side is not None}
    if not paths:
        return
    files = {entry.path for entry in merged}
    folders = {folder for file in files for folder in list_folders(file)}
    mixed = [path for path in paths if path in folders or not files.isdisjoint(list_folders(path))]
    if mixed:
        raise MergeUncertain("A file of one side is a folder of the other", mixed)


def _settle(merged: pygit2.Index, entry: pygit2.IndexEntry) -> None:
    """Let an index have an entry in the place of a conflict."""
    if merged.conflicts and entry.path in merged.conflicts:
        del merged.conflicts[entry.path]
    merged.add(entry)


def _go_together(sides: list[pygit2.IndexEntry]) -> bool:
    """Tell whether a conflict leaves one file in its place: one side deleted it, or both have a link."""
    return len(sides) == 1 or all(side.mode == FileMode.LINK for side in sides)


def _entry_file(side: pygit2.IndexEntry | None) -> File | None:
    return None if side is None else File(str(side.id), int(side.mode))


def _to_change(edits: dict[str, Edit], tree: pygit2.Tree) -> Change:
    return Change(edits, lambda path: path in tree and tree[path].filemode == FileMode.TREE)


def _to_file(side: pygit2.DiffFile) -> File | None:
    return None if side.mode == FileMode.UNREADABLE else File(str(side.id), int(side.mode))
