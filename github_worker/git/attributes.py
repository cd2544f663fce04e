"""The attributes of paths, by git's own rules of .gitattributes (attr.c of git 2.39.5, gitattributes(5)).

Only what is asked for is looked at, and the macros that set one of it: by default `NAMES`, which decide a
file's content in the repository and in the worktree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import methodcaller

from github_worker.git.patterns import compile_path_pattern, compile_pattern, is_literal

NAMES = frozenset({b"text", b"eol", b"crlf", b"ident", b"working-tree-encoding", b"filter"})

Value = bytes | bool
_States = tuple[tuple[bytes, Value | None], ...]  # None is `!name`: as if nothing had been said
_Match = Callable[[bytes], object]

_BLANK = b" \t\r\n"
_BLANKS = re.compile(rb"[ \t\r\n]+")
_WORD = re.compile(rb"[^ \t\r\n]*")
_NAME = re.compile(rb"[A-Za-z0-9_.][-A-Za-z0-9_.]*")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\[abfnrtv\\"]|\\[0-3][0-7][0-7])*+)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7][0-7]|.)", re.DOTALL)
_CONTROL = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_MACRO = b"[attr]"
_BOM = b"\xef\xbb\xbf"
# git leaves out what is longer.
_LONGEST_LINE = 2048
_LARGEST_FILE = 100 * 2**20


@dataclass(frozen=True, slots=True)
class _Line:
    pattern: bytes
    states: _States
    is_macro: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    match: _Match
    by_name: bool  # held against the file's name, else against its path below the folder
    states: _States


@dataclass(frozen=True, slots=True)
class _File:
    rules: tuple[_Rule, ...]  # the one that counts most first
    start: int  # where the path below the file's folder begins


class Attributes:
    """The attributes of the files of one worktree or tree, read folder by folder as they are asked for.

    `read` returns the content of a folder's .gitattributes (`b""` is the top), None if it has none that is a
    regular file; it is called once a folder at most. `info` is the content of info/attributes. `from_index`
    says that `read` looks into the index or a tree: there git takes a byte order mark for a part of the first
    pattern, and a NUL for the end of the file. `names` are the attributes to look at.
    """

    def __init__(
        self,
        read: Callable[[bytes], bytes | None],
        info: bytes = b"",
        *,
        ignore_case: bool = False,
        from_index: bool = False,
        names: frozenset[bytes] = NAMES,
    ) -> None:
        self._read = read
        self._info = info
        self._ignore_case = ignore_case
        self._from_index = from_index
        self._macros: dict[bytes, _States] = {}
        self._asked = self._names = names
        self._chains: dict[bytes, tuple[_File, ...]] = {}
        self._first: tuple[_File, ...] = ()

    def of(self, path: bytes) -> dict[bytes, Value]:
        """Return the attributes of a file: True is set, False is unset, unspecified ones are absent."""
        folder, _, name = path.rpartition(b"/")
        chain = self._chains.get(folder)
        if chain is None:
            chain = self._build_chain(folder)
        if not chain:
            return {}
        found: dict[bytes, Value | None] = {}
        for file in chain:
            below = path[file.start :]
            for rule in file.rules:
                if rule.match(name if rule.by_name else below):
                    self._add(rule.states, found)
        return {key: value for key, value in found.items() if value is not None and key in self._asked}

    def _add(self, states: _States, found: dict[bytes, Value | None]) -> None:
        """Add what a line says last to first; what was said before it stays."""
        todo = list(states)
        while todo:
            name, value = todo.pop()
            if name not in found:
                found[name] = value
                if value is True and name in self._macros:
                    todo += self._macros[name]

    def _build_chain(self, folder: bytes) -> tuple[_File, ...]:
        """Return the files that have a say in a folder, the one that counts most first."""
        if not self._chains:
            self._chains[b""] = self._read_top()
        missing = []
        while folder not in self._chains:
            missing.append(folder)
            folder = folder.rpartition(b"/")[0]
        chain = self._chains[folder]
        for below in reversed(missing):
            rules = self._build_rules(self._read_lines(below, macros=False))
            if rules:
                chain = (*self._first, _File(rules, len(below) + 1), *chain[len(self._first) :])
            self._chains[below] = chain
        return chain

    def _read_top(self) -> tuple[_File, ...]:
        """Read what is for all folders: the only places that may define macros."""
        builtin = _Line(b"binary", ((b"diff", False), (b"merge", False), (b"text", False)), is_macro=True)
        info = list(_parse(self._info, macros=True))
        top = list(self._read_lines(b"", macros=True))
        self._macros = {line.pattern: line.states for line in (builtin, *top, *info) if line.is_macro}
        self._names = _find_setters(self._asked, self._macros)
        self._macros = {name: self._select(states) for name, states in self._macros.items()}
        above = self._build_rules(info)
        self._first = (_File(above, 0),) if above else ()
        rules = self._build_rules(top)
        return (*self._first, _File(rules, 0)) if rules else self._first

    def _read_lines(self, folder: bytes, *, macros: bool) -> Iterator[_Line]:
        content = self._read(folder) or b""
        return _parse(content, macros=macros, from_index=self._from_index)

    def _select(self, states: _States) -> _States:
        return tuple(state for state in states if state[0] in self._names)

    def _build_rules(self, lines: Iterable[_Line]) -> tuple[_Rule, ...]:
        rules = []
        for line in lines:
            states = () if line.is_macro else self._select(line.states)
            # A pattern with a slash at its end is for folders, and nobody asks for theirs.
            if states and not line.pattern.endswith(b"/"):
                by_name = b"/" not in line.pattern
                match = _compile(line.pattern, by_name=by_name, ignore_case=self._ignore_case)
                if match:
                    rules.append(_Rule(match, by_name, states))
        return tuple(reversed(rules))


def _find_setters(names: frozenset[bytes], macros: Mapping[bytes, _States]) -> frozenset[bytes]:
    """Return the names, and those of the macros that set one of them, directly or by another macro."""
    setters: dict[bytes, list[bytes]] = {}
    for macro, states in macros.items():
        for name, _ in states:
            setters.setdefault(name, []).append(macro)
    reached, todo = set(names), list(names)
    while todo:
        for macro in setters.get(todo.pop(), ()):
            if macro not in reached:
                reached.add(macro)
                todo.append(macro)
    return frozenset(reached)


def _compile(pattern: bytes, *, by_name: bool, ignore_case: bool) -> _Match | None:
    """Return a test of a name or path; the frequent kinds need no regular expression."""
    pattern = pattern.removeprefix(b"/")
    if not ignore_case and is_literal(pattern):
        return pattern.__eq__
    if not ignore_case and by_name and pattern.startswith(b"*") and is_literal(pattern[1:]):
        return methodcaller("endswith", pattern[1:])
    if by_name:
        expression = compile_pattern(pattern, pathname=False, ignore_case=ignore_case)
    else:
        expression = compile_path_pattern(pattern, ignore_case=ignore_case)
    return expression.match if expression else None


def _parse(content: bytes, *, macros: bool, from_index: bool = False) -> Iterator[_Line]:
    """Parse a file; what git warns of and leaves out is left out."""
    if len(content) >= _LARGEST_FILE:
        return
    content = content.partition(b"\0")[0] if from_index else content.removeprefix(_BOM)
    for line in content.split(b"\n"):
        parsed = _parse_line(
            line if from_index else line.removesuffix(b"\r").partition(b"\0")[0], macros=macros
        )
        if parsed:
            yield parsed


def _parse_line(line: bytes, *, macros: bool) -> _Line | None:
    text = line.lstrip(_BLANK)
    if not text or text.startswith(b"#") or len(line) >= _LONGEST_LINE:
        return None
    pattern, rest = _split_pattern(text)
    states = _parse_states(rest)
    if states is None:
        return None
    if pattern.startswith(_MACRO) and len(pattern) > len(_MACRO):
        name = _WORD.match(pattern[len(_MACRO) :].lstrip(_BLANK))
        valid = macros and name and _NAME.fullmatch(name[0])
        return _Line(valid[0], states, is_macro=True) if valid else None
    # A negative pattern could mean anything.
    return None if pattern.startswith(b"!") else _Line(pattern.partition(b"\0")[0], states)


def _split_pattern(text: bytes) -> tuple[bytes, bytes]:
    """Split a line into its pattern, quoted or not, and the attributes after it."""
    quoted = _QUOTED.match(text)
    if quoted:
        return _ESCAPE.sub(_unescape, quoted[1]), text[quoted.end() :]
    word = _WORD.match(text)
    return (word[0], text[word.end() :]) if word else (b"", text)


def _unescape(escape: re.Match[bytes]) -> bytes:
    char = escape[1]
    return bytes([int(char, 8)]) if len(char) == 3 else _CONTROL.get(char, char)


def _parse_states(text: bytes) -> _States | None:
    """Parse a line's attributes; None if one has no valid name, for then the whole line does not count."""
    states: list[tuple[bytes, Value | None]] = []
    for word in filter(None, _BLANKS.split(text)):
        name, equals, value = word.partition(b"=")
        state: Value | None = value if equals else True
        if name[:1] in (b"-", b"!"):
            state = False if name.startswith(b"-") else None
            name = name[1:]
        if not _NAME.fullmatch(name):
            return None
        states.append((name, state))
    return tuple(states)
