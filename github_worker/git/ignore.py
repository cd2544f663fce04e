"""Patterns of gitignore(5): which untracked files are ignored, and which a sparse checkout holds.

libgit2's own rules take `*/` for files too. This is git's dir.c (2.39): the last pattern that matches
decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from github_worker.git.wildmatch import anchored, compiled

Read = Callable[[bytes], bytes | None]
_BOM = b"\xef\xbb\xbf"


class _Pattern(NamedTuple):
    matches: Callable[[bytes], object]
    negative: bool
    folders_only: bool
    basename: bool  # a pattern without a slash is held against the last name of a path alone


class PatternList:
    """The patterns of one file; `folder` is where it lies, `b""` for the top."""

    def __init__(self, text: bytes, folder: bytes = b"", *, ignore_case: bool = False) -> None:
        self._base = folder + b"/" if folder else b""
        self._patterns = list(reversed([*_parsed(text, ignore_case)]))

    def decide(self, path: bytes, *, is_folder: bool) -> bool | None:
        """Return True for a path that a pattern names, False for one that is excepted, else None."""
        inside = path.removeprefix(self._base)
        name = path.rpartition(b"/")[2]
        for pattern in self._patterns:
            if pattern.folders_only and not is_folder:
                continue
            if pattern.matches(name if pattern.basename else inside):
                return not pattern.negative
        return None


class IgnoreRules:
    """The rules of a worktree: `read` returns a folder's `.gitignore`, `exclude` is `info/exclude`."""

    def __init__(self, read: Read, exclude: bytes, *, ignore_case: bool = False) -> None:
        self._read = read
        self._ignore_case = ignore_case
        self._exclude = PatternList(exclude, ignore_case=ignore_case)
        self._lists: dict[bytes, tuple[PatternList, ...]] = {}

    def ignores(self, path: bytes, *, is_folder: bool) -> bool:
        """Tell whether a path is ignored, given that no folder above it is."""
        for patterns in self._lists_of(path.rpartition(b"/")[0]):
            if (decision := patterns.decide(path, is_folder=is_folder)) is not None:
                return decision
        return False

    def ignores_below(self, path: bytes, *, is_folder: bool) -> bool:
        """Tell whether a path is ignored, or a folder above it."""
        above = any(self.ignores(folder, is_folder=True) for folder in _folders_above(path))
        return above or self.ignores(path, is_folder=is_folder)

    def _lists_of(self, folder: bytes) -> tuple[PatternList, ...]:
        """Return the lists that apply in a folder, the one that decides first at the beginning."""
        if folder not in self._lists:
            above = self._lists_of(folder.rpartition(b"/")[0]) if folder else (self._exclude,)
            text = self._read(folder)
            own = () if text is None else (PatternList(text, folder, ignore_case=self._ignore_case),)
            self._lists[folder] = own + above
        return self._lists[folder]


class SparseCheckout:
    """Which files a sparse checkout holds, by `info/sparse-checkout`; without one it holds all."""

    def __init__(self, text: bytes | None) -> None:
        self._patterns = None if text is None else PatternList(text)

    @property
    def is_on(self) -> bool:
        """Whether there is a sparse checkout at all."""
        return self._patterns is not None

    def holds(self, path: bytes) -> bool:
        """Tell whether a file is part of it: its own pattern decides, or else that of a folder above it."""
        if self._patterns is None:
            return True
        decision = self._patterns.decide(path, is_folder=False)
        for folder in reversed([*_folders_above(path)]):
            if decision is not None:
                break
            decision = self._patterns.decide(folder, is_folder=True)
        return bool(decision)


def _parsed(text: bytes, ignore_case: bool) -> Iterator[_Pattern]:
    for line in text.removeprefix(_BOM).split(b"\n"):
        if line and not line.startswith(b"#"):
            pattern = _without_trailing_spaces(line.removesuffix(b"\r").partition(b"\0")[0])
            negative = pattern.startswith(b"!")
            pattern = pattern[1:] if negative else pattern
            folders_only = pattern.endswith(b"/")
            pattern = pattern[:-1] if folders_only else pattern
            if (glob := _glob(pattern, ignore_case)) is not None:
                yield _Pattern(glob.match, negative, folders_only, b"/" not in pattern)


def _glob(pattern: bytes, ignore_case: bool) -> re.Pattern[bytes] | None:
    if b"/" in pattern:
        return anchored(pattern.removeprefix(b"/"), ignore_case=ignore_case)
    return compiled(pattern, pathname=False, ignore_case=ignore_case) if pattern else None


def _without_trailing_spaces(line: bytes) -> bytes:
    """Cut spaces at the end, but for one behind a backslash."""
    end = len(line.rstrip(b" "))
    backslashes = end - len(line[:end].rstrip(b"\\"))
    return line[: end + backslashes % 2] if end < len(line) else line


def _folders_above(path: bytes) -> Iterator[bytes]:
    at = path.find(b"/")
    while at >= 0:
        yield path[:at]
        at = path.find(b"/", at + 1)
