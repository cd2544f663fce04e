"""Patterns of gitignore(5), which ignore untracked files and choose those of a sparse checkout.

libgit2's own rules take `*/` for files too. This is git's dir.c (2.39): the last pattern that matches
decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

Read = Callable[[bytes], bytes | None]
_BOM = b"\xef\xbb\xbf"
# No path is longer (Linux, PATH_MAX), so a pattern that needs more bytes matches none.
_LONGEST = 4096
_SPECIAL = re.compile(rb"[*?[\\]")
_UPPER = frozenset(range(ord("A"), ord("Z") + 1))
_LOWER = frozenset(range(ord("a"), ord("z") + 1))
_DIGIT = frozenset(range(ord("0"), ord("9") + 1))
_ALL = frozenset(range(256))
# git has its own ctype: ASCII only, and neither a vertical tab nor a form feed is space.
_CLASSES = {
    b"alnum": _UPPER | _LOWER | _DIGIT,
    b"alpha": _UPPER | _LOWER,
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset(range(32)) | {127},
    b"digit": _DIGIT,
    b"graph": frozenset(range(33, 127)),
    b"lower": _LOWER,
    b"print": frozenset(range(32, 127)),
    b"punct": frozenset(range(33, 127)) - _UPPER - _LOWER - _DIGIT,
    b"space": frozenset(b" \t\r\n"),
    b"upper": _UPPER,
    b"xdigit": _DIGIT | frozenset(b"abcdefABCDEF"),
}


class _Pattern(NamedTuple):
    matches: Callable[[bytes], object]
    negative: bool
    folders_only: bool
    basename: bool  # a pattern without a slash is held against the last name of a path alone


class PatternList:
    """The patterns of one file; `folder` is where it lies, `b""` for the top."""

    def __init__(self, text: bytes, folder: bytes = b"", *, ignore_case: bool = False) -> None:
        self._base = folder + b"/" if folder else b""
        self._patterns = list(reversed([*_parse(text, ignore_case)]))

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
        for patterns in self._find_lists(path.rpartition(b"/")[0]):
            if (decision := patterns.decide(path, is_folder=is_folder)) is not None:
                return decision
        return False

    def ignores_below(self, path: bytes, *, is_folder: bool) -> bool:
        """Tell whether a path is ignored, or a folder above it."""
        above = any(self.ignores(folder, is_folder=True) for folder in folders_above(path))
        return above or self.ignores(path, is_folder=is_folder)

    def _find_lists(self, folder: bytes) -> tuple[PatternList, ...]:
        """Return the lists that apply in a folder, the one that decides first at the beginning."""
        if folder not in self._lists:
            above = self._find_lists(folder.rpartition(b"/")[0]) if folder else (self._exclude,)
            text = self._read(folder)
            own = () if text is None else (PatternList(text, folder, ignore_case=self._ignore_case),)
            self._lists[folder] = own + above
        return self._lists[folder]


class SparseCheckout:
    """The files of a sparse checkout, by `info/sparse-checkout`; without one it includes all."""

    def __init__(self, text: bytes | None) -> None:
        self._patterns = None if text is None else PatternList(text)

    @property
    def is_on(self) -> bool:
        """Whether there is a sparse checkout at all."""
        return self._patterns is not None

    def includes(self, path: bytes) -> bool:
        """Tell whether a file is part of it: its own pattern decides, or else that of a folder above it."""
        if self._patterns is None:
            return True
        decision = self._patterns.decide(path, is_folder=False)
        for folder in reversed([*folders_above(path)]):
            if decision is not None:
                break
            decision = self._patterns.decide(folder, is_folder=True)
        return bool(decision)


def folders_above(path: bytes) -> Iterator[bytes]:
    """Yield the folders above a path, the top one first."""
    at = path.find(b"/")
    while at >= 0:
        yield path[:at]
        at = path.find(b"/", at + 1)


class _Star(Enum):
    ONE = 1  # `*`: within a folder, where a path is matched
    ANY = 2  # `**` at the end or before an escaped slash: all that follows
    FOLDERS = 3  # `**/`: no folder or any number of them, the slash included


class _Hopeless(Exception):
    """The pattern is malformed, or nothing can match it."""


def is_literal(pattern: bytes) -> bool:
    """Tell whether a pattern has none of git's special characters and so matches only itself."""
    return _SPECIAL.search(pattern) is None


@lru_cache(maxsize=8192)
def compile_pattern(pattern: bytes, *, pathname: bool, ignore_case: bool = False) -> re.Pattern[bytes] | None:
    """Translate a pattern to an expression whose `match` is a match of the whole text, None if none can.

    With `pathname`, `*`, `?` and classes stop at a slash, and `**` does not. Without it, a slash is a byte
    like any other.
    """
    return _compile(b"", pattern, pathname=pathname, fold=ignore_case)


@lru_cache(maxsize=8192)
def compile_path_pattern(pattern: bytes, *, ignore_case: bool = False) -> re.Pattern[bytes] | None:
    """Translate a pattern of an ignore or attributes file that has a slash, without its leading one.

    Like `compile_pattern` with `pathname`, but git (before 2.52) compares what comes before the first special
    character by itself: `a**` matches `a/b`, since its `**` is then at the start.
    """
    special = _SPECIAL.search(pattern)
    start = special.start() if special else len(pattern)
    return _compile(pattern[:start], pattern[start:], pathname=True, fold=ignore_case)


def _parse(text: bytes, ignore_case: bool) -> Iterator[_Pattern]:
    for line in text.removeprefix(_BOM).split(b"\n"):
        if line and not line.startswith(b"#"):
            pattern = _strip_trailing_spaces(line.removesuffix(b"\r").partition(b"\0")[0])
            negative = pattern.startswith(b"!")
            pattern = pattern[1:] if negative else pattern
            folders_only = pattern.endswith(b"/")
            pattern = pattern[:-1] if folders_only else pattern
            if (glob := _compile_line(pattern, ignore_case)) is not None:
                yield _Pattern(glob.match, negative, folders_only, b"/" not in pattern)


def _compile_line(pattern: bytes, ignore_case: bool) -> re.Pattern[bytes] | None:
    if b"/" in pattern:
        return compile_path_pattern(pattern.removeprefix(b"/"), ignore_case=ignore_case)
    return compile_pattern(pattern, pathname=False, ignore_case=ignore_case) if pattern else None


def _strip_trailing_spaces(line: bytes) -> bytes:
    """Cut spaces at the end, but for one behind a backslash."""
    end = len(line.rstrip(b" "))
    backslashes = end - len(line[:end].rstrip(b"\\"))
    return line[: end + backslashes % 2] if end < len(line) else line


def _compile(literal: bytes, pattern: bytes, *, pathname: bool, fold: bool) -> re.Pattern[bytes] | None:
    try:
        tokens = list(_tokenize(pattern, pathname=pathname, fold=fold))
    except _Hopeless:
        return None
    if len(literal) + sum(isinstance(token, bytes) for token in tokens) > _LONGEST:
        return None
    start = b"(?i:%b)" % re.escape(literal) if fold else re.escape(literal)
    return re.compile(start + _join_sections(tokens, within=b"[^/]" if pathname else b"."), re.DOTALL)


def _join_sections(tokens: list[bytes | _Star], *, within: bytes) -> bytes:
    """Join the tokens: a section for each `**`, in it a chunk for each `*`."""
    sections: list[tuple[bytes, list[bytes]]] = [(b"", [b""])]
    for token in tokens:
        _, chunks = sections[-1]
        if isinstance(token, bytes):
            chunks[-1] += token
        elif token is _Star.ONE:
            chunks.append(b"")
        elif token is _Star.ANY:
            sections.append((b".*?", [b""]))
        elif chunks != [b""] or len(sections) == 1:  # one `**/` after another adds nothing
            sections.append((b"(?:.*?/)??", [b""]))
    *earlier, (opening, chunks) = sections
    start = b"".join(b"(?>%b%b)" % (before, _join_chunks(parts, within)) for before, parts in earlier)
    return start + opening + _join_last(chunks, within)


def _join_chunks(chunks: list[bytes], within: bytes) -> bytes:
    first, *others = chunks
    return first + b"".join(b"(?>%b*?%b)" % (within, chunk) for chunk in others)


def _join_last(chunks: list[bytes], within: bytes) -> bytes:
    """Return the last section: its last chunk is where the text ends."""
    *others, last = chunks
    return (_join_chunks(others, within) + within + b"*" if others else b"") + last + rb"\Z"


def _tokenize(pattern: bytes, *, pathname: bool, fold: bool) -> Iterator[bytes | _Star]:
    at, end = 0, len(pattern)
    while at < end:
        match pattern[at : at + 1]:
            case b"*":
                after = _skip_stars(pattern, at)
                star = _classify_stars(pattern, at, after) if pathname else _Star.ONE
                yield star
                at = after + (star is _Star.FOLDERS)
                continue
            case b"?":
                yield b"[^/]" if pathname else b"."
            case b"[":
                chosen, at = _read_bracket(pattern, at + 1, fold=fold)
                yield _match_one_of(chosen - {ord("/")} if pathname else chosen, fold=fold)
            case b"\\":
                at += 1
                yield _match_one_of({_byte_at(pattern, at)}, fold=fold)
            case char:
                yield _match_one_of(set(char.lower() if fold else char), fold=fold)
        at += 1


def _skip_stars(pattern: bytes, at: int) -> int:
    while pattern[at : at + 1] == b"*":
        at += 1
    return at


def _classify_stars(pattern: bytes, start: int, after: int) -> _Star:
    """Tell what a run of stars stands for: `**` counts only as a whole component of the path."""
    if after - start == 1 or (start and pattern[start - 1 : start] != b"/"):
        return _Star.ONE
    if pattern[after : after + 1] == b"/":
        return _Star.FOLDERS
    return _Star.ANY if after == len(pattern) or pattern[after : after + 2] == rb"\/" else _Star.ONE


def _byte_at(pattern: bytes, at: int) -> int:
    if at >= len(pattern):
        raise _Hopeless
    return pattern[at]


def _match_one_of(chosen: set[int] | frozenset[int], *, fold: bool) -> bytes:
    """Return an expression for one byte of a set; with `fold`, one whose lower case is in the set."""
    if fold:
        lower = {byte - 32 for byte in chosen & _LOWER}
        chosen = chosen - _UPPER | lower
    if not chosen:
        raise _Hopeless
    if len(chosen) == 1:
        return re.escape(bytes(chosen))
    if len(chosen) == len(_ALL):
        return b"."
    inverse = len(chosen) > len(_ALL) // 2
    return b"[%b%b]" % (b"^" if inverse else b"", _write_ranges(_ALL - chosen if inverse else chosen))


def _write_ranges(chosen: set[int] | frozenset[int]) -> bytes:
    firsts = sorted(byte for byte in chosen if byte - 1 not in chosen)
    lasts = sorted(byte for byte in chosen if byte + 1 not in chosen)
    return b"".join(b"\\x%02x-\\x%02x" % pair for pair in zip(firsts, lasts, strict=True))


def _read_bracket(pattern: bytes, at: int, *, fold: bool) -> tuple[frozenset[int], int]:
    """Read a bracket expression from behind its `[`, and return its bytes and the place of its `]`."""
    inverse = pattern[at : at + 1] in (b"!", b"^")
    at += inverse
    chosen: set[int] = set()
    previous, first = 0, True  # the byte that a range may begin with, 0 for none
    while first or _byte_at(pattern, at) != ord("]"):
        first = False
        byte = _byte_at(pattern, at)
        name = _read_class_name(pattern, at)
        if name is not None:
            chosen |= _find_class(name, fold=fold)
            at, previous = at + len(name) + 4, 0
            continue
        if byte == ord("-") and previous and pattern[at + 1 : at + 2] not in (b"", b"]"):
            last, at = _unescape(pattern, at + 1)
            chosen |= _expand_range(previous, last, fold=fold)
            previous = 0
        else:
            previous, at = _unescape(pattern, at)
            chosen.add(previous)
        at += 1
    return (_ALL - chosen if inverse else frozenset(chosen)), at


def _unescape(pattern: bytes, at: int) -> tuple[int, int]:
    """Return the byte that is meant at a place, and the place where it stands."""
    at += _byte_at(pattern, at) == ord("\\")
    return _byte_at(pattern, at), at


def _read_class_name(pattern: bytes, at: int) -> bytes | None:
    """Return the name in `[:name:]` if one begins here; a `[:` without `:]` is two plain bytes."""
    if pattern[at : at + 2] != b"[:":
        return None
    end = pattern.find(b"]", at + 2)
    if end < 0:
        raise _Hopeless
    inside = pattern[at + 2 : end]
    return inside[:-1] if inside.endswith(b":") else None


def _find_class(name: bytes, *, fold: bool) -> frozenset[int]:
    if name not in _CLASSES:
        raise _Hopeless
    return _LOWER if fold and name == b"upper" else _CLASSES[name]


def _expand_range(first: int, last: int, *, fold: bool) -> set[int]:
    chosen = set(range(first, last + 1))
    return chosen | {byte + 32 for byte in chosen & _UPPER} if fold else chosen
