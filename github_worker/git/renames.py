"""Renames between three trees: where a merge must follow a file, and where git may see it otherwise.

Decisions only. What git 2.39 does (merge-ort.c and diffcore-rename.c, `merge.directoryRenames=conflict`)
depends on which deleted file it takes for which new one. That is told here only where it is beyond doubt;
the rest is a clash. A merge without renames gives git's own result in all cases but these:

1. One side deleted a file, the other left it alone: nothing to follow, wherever it went.
2. One side deleted a file that the other changed. If it went nowhere, both sides conflict and the merge
   finds it; if it surely went to one place, the change follows it there; if it may have gone somewhere,
   that is a clash.
3. One side deleted a file that became something else on the other (a link, a submodule): a clash.
4. Both sides deleted a file. If it went nowhere, it is gone; if it surely went to the same place on both
   sides, it is merged there; else (rename/delete, or renamed to two places) a clash.
5. One side adds a file to a folder that is gone on the other side, where something of the folder may have
   gone elsewhere: git would move the added file along, and asks. A clash.
6. One side adds a file where the other adds a folder: a clash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import TypeVar

from msgspec import Struct

MOST = 60_000  # git's MAX_SCORE
RENAMED = MOST // 2  # the score from which a file counts as renamed
RENAMED_IN_NAME = RENAMED * 3 // 2  # the same for two files that alone have a name, which git compares first
_CHUNK = 64  # bytes of a line after which git begins another chunk
_BUCKETS = 107_927
_WORD = 0xFFFFFFFF
_COMPARISONS = 2_000  # after that many, and for larger files, the answer is "perhaps"
_BYTES = 256 * 1024
_EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # the empty file, which git never takes for renamed
_KIND = 0o170000
REGULAR = 0o100000
T = TypeVar("T")


class Likeness(Struct, frozen=True):
    """The score of two files: the least and the most that any version of git may give them."""

    least: int
    most: int


_PERHAPS = Likeness(0, MOST)
_DIFFERENT = Likeness(0, 0)
Compare = Callable[[str, str], Likeness]


class Similarity:
    """Compares blobs, which `read` returns by their ids, and stops when that takes too long."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = cache(read)
        self._chunks = cache(self._count)
        self._left = _COMPARISONS

    def compare(self, old: str, new: str) -> Likeness:
        """Score a rename of the blob `old` to the blob `new`."""
        self._left -= 1
        if self._left < 0:
            return _PERHAPS
        sizes = len(self._read(old)), len(self._read(new))
        if max(sizes) * RENAMED < (max(sizes) - min(sizes)) * MOST:
            return _DIFFERENT
        if max(sizes) > _BYTES:
            return _PERHAPS
        scores = [
            (self._chunks(old, way) & self._chunks(new, way)).total() * MOST // max(sizes)
            for way in self._ways(old, new)
        ]
        return Likeness(min(scores), max(scores))

    def _ways(self, old: str, new: str) -> list[tuple[bool, bool]]:
        """Return how gits may cut the files: an attribute makes a file binary, and 2.39 forgets its end."""
        files = self._read(old), self._read(new)
        texts = {False} if all(b"\r\n" not in file for file in files) else {False, True}
        ends = {False} if all(file.endswith(b"\n") for file in files) else {False, True}
        return [(text, end) for text in texts for end in ends]

    def _count(self, blob: str, way: tuple[bool, bool]) -> Counter[int]:
        text, end = way
        content = self._read(blob)
        return _count_chunks(content.replace(b"\r\n", b"\n") if text else content, end)


class File(Struct, frozen=True):
    """A tree's entry that is no folder: a blob or a submodule's commit, and git's mode."""

    id: str
    mode: int

    @property
    def kind(self) -> int:
        """The type of the file, apart from its permissions."""
        return self.mode & _KIND


class Edit(Struct, frozen=True):
    """A path as it was and as one side made it; None is no file there."""

    old: File | None
    new: File | None


class Change(Struct, frozen=True):
    """The edits of one side by path, and a test of whether its tree still has a folder."""

    edits: Mapping[str, Edit]
    has_folder: Callable[[str], bool]


class Plan(Struct, frozen=True):
    """The files to follow, old path to new, by the side that moved them, and the paths that clash."""

    remote: dict[str, str]
    local: dict[str, str]
    clashes: frozenset[str]


def three_way(base: T, one: T, other: T) -> T | None:
    """Return what becomes of a value that at most one side changed, or both alike; else None."""
    if one in {base, other}:
        return other
    return one if base == other else None


def plan(remote: Change, local: Change, compare: Compare) -> Plan:
    """Decide how to merge what two sides did to one tree."""
    sides = _Side(remote, compare), _Side(local, compare)
    clashes = set(_find_mixed(*sides))
    moves: list[dict[str, str]] = []
    for side, other in (sides, sides[::-1]):
        moves.append({})
        for path in side.gone.keys() & other.edits.keys():
            target = _follow(path, side, other)
            if isinstance(target, _Clash):
                clashes.add(path)
            elif target is not None:
                moves[-1][path] = target
        clashes |= set(_find_astray(side, other))
    return Plan(moves[0], moves[1], frozenset(clashes))


class _Clash:
    """A file of which it is not certain what git would make."""


class _Side:
    """One side of a merge: its edits, and where the files that it deleted may be now."""

    def __init__(self, change: Change, compare: Compare) -> None:
        self.edits = edits = change.edits
        self._has_folder = change.has_folder
        self._compare = compare
        self.gone = {path: edit.old for path, edit in edits.items() if edit.old and not edit.new}
        self.new = {path: edit.new for path, edit in edits.items() if edit.new and not edit.old}

    def emptied(self, folder: str) -> list[str]:
        """Return the files that were in a folder, if it is gone."""
        files = self._gone_folders.get(folder, [])
        return files if files and not self._has_folder(folder) else []

    def may_be(self, path: str) -> set[str]:
        """Return all places to which git may find that a file moved."""
        if path in self._exact:
            return {self._exact[path]}
        file = self.gone[path]
        return {
            target for target, new in self._open_targets.items() if self._score(file, new).most >= RENAMED
        }

    def surely(self, path: str) -> str | None:
        """Return the one place to which any git finds that a file moved, if there is one."""
        if path in self._exact:
            return self._exact[path]
        if _content(self.gone[path]) in self._new_contents:
            return None  # moved as it was, but with several places or files to choose from
        return self._by_name(path) or self._by_content(path)

    def _by_name(self, path: str) -> str | None:
        """Return the only new file of that name, if no other file of that name is gone, and it is alike."""
        name = _name(path)
        if self._source_names[name] != 1 or self._target_names[name] != 1:
            return None
        [target] = (target for target in self._open_targets if _name(target) == name)
        new = self._open_targets[target]
        if _content(new) in self._gone_contents:
            return None
        return target if self._score(self.gone[path], new).least >= RENAMED_IN_NAME else None

    def _by_content(self, path: str) -> str | None:
        """Return the only new file that is like it, if it is like no other file that is gone."""
        targets = self.may_be(path)
        if len(targets) != 1:
            return None
        [target] = targets
        new = self.new[target]
        rivals = (source for source in self._open_sources if source != path)
        if any(self._score(self.gone[source], new).most >= RENAMED for source in rivals):
            return None
        return target if self._score(self.gone[path], new).least >= RENAMED else None

    def _score(self, old: File, new: File) -> Likeness:
        if _EMPTY in {old.id, new.id}:
            return _DIFFERENT
        if _content(old) == _content(new):
            return Likeness(RENAMED * 2, RENAMED * 2)
        if old.kind != REGULAR or new.kind != REGULAR:
            return _DIFFERENT
        return self._compare(old.id, new.id)

    @cached_property
    def _gone_folders(self) -> dict[str, list[str]]:
        """The files that are gone, by every folder above them."""
        folders: dict[str, list[str]] = {}
        for path in self.gone:
            for folder in list_folders(path):
                folders.setdefault(folder, []).append(path)
        return folders

    @cached_property
    def _exact(self) -> dict[str, str]:
        """Files that moved as they were, with no choice: the first that git looks for."""
        sources = {_content(file): path for path, file in self.gone.items()}
        targets = {_content(file): path for path, file in self.new.items()}
        return {
            sources[content]: targets[content]
            for content in sources.keys() & targets.keys()
            if self._gone_contents[content] == self._new_contents[content] == 1 and content[0] != _EMPTY
        }

    @cached_property
    def _gone_contents(self) -> Counter[tuple[str, int]]:
        return Counter(map(_content, self.gone.values()))

    @cached_property
    def _new_contents(self) -> Counter[tuple[str, int]]:
        return Counter(map(_content, self.new.values()))

    @cached_property
    def _open_sources(self) -> list[str]:
        return [path for path in self.gone if path not in self._exact]

    @cached_property
    def _open_targets(self) -> dict[str, File]:
        taken = set(self._exact.values())
        return {path: file for path, file in self.new.items() if path not in taken}

    @cached_property
    def _source_names(self) -> Counter[str]:
        return Counter(map(_name, self._open_sources))

    @cached_property
    def _target_names(self) -> Counter[str]:
        return Counter(map(_name, self._open_targets))


def _count_chunks(content: bytes, end: bool) -> Counter[int]:
    """Count the bytes of a file's chunks by their hashes, as `hash_chars` of diffcore-delta.c does."""
    counts: Counter[int] = Counter()
    for line in _split_lines(content):
        for start in range(0, len(line), _CHUNK):
            chunk = line[start : start + _CHUNK]
            if end or len(chunk) == _CHUNK or chunk.endswith(b"\n"):
                counts[_hash(chunk)] += len(chunk)
    return counts


def _split_lines(content: bytes) -> list[bytes]:
    *lines, last = content.split(b"\n")
    return [line + b"\n" for line in lines] + [last]


def _hash(chunk: bytes) -> int:
    one = two = 0
    for byte in chunk:
        one, two = (((one << 7) & _WORD) ^ (two >> 25)) + byte & _WORD, ((two << 7) & _WORD) ^ (one >> 25)
    return (one + two * 0x61 & _WORD) % _BUCKETS


def _follow(path: str, side: _Side, other: _Side) -> str | _Clash | None:
    """Return where `side` moved a file that the other side changed, or None if nowhere."""
    edit = other.edits[path]
    if edit.new is not None and edit.old is not None and edit.new.kind != edit.old.kind:
        return _Clash()  # case 3
    if edit.new is None:
        return _follow_both(path, side, other)
    if not side.may_be(path):
        return None  # case 2, for the merge to find
    return side.surely(path) or _Clash()


def _follow_both(path: str, side: _Side, other: _Side) -> str | _Clash | None:
    """Do the same for a file that both sides deleted: case 4."""
    if not side.may_be(path) and not other.may_be(path):
        return None
    target = side.surely(path)
    return target if target is not None and target == other.surely(path) else _Clash()


def _find_astray(side: _Side, other: _Side) -> Iterator[str]:
    """Yield what the other side adds to folders that `side` may have moved: case 5."""
    may_have_moved = cache(lambda folder: any(map(side.may_be, side.emptied(folder))))
    for path in other.new:
        if any(map(may_have_moved, list_folders(path))):
            yield path


def _find_mixed(one: _Side, other: _Side) -> Iterator[str]:
    """Yield the files that one side adds where the other one adds a folder: case 6."""
    for side, against in ((one, other), (other, one)):
        for path in side.new:
            yield from (folder for folder in list_folders(path) if folder in against.new)


def list_folders(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _content(file: File) -> tuple[str, int]:
    """Return what two files have in common if one is the other, moved: a permission may change."""
    return file.id, REGULAR if file.kind == REGULAR else file.mode


def _name(path: str) -> str:
    return path.rpartition("/")[2]
