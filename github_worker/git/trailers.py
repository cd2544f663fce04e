"""The trailers of a commit's message, added as `git commit -s` and `git interpret-trailers` do.

Where they are in a message, or would be, is git's to say: git-interpret-trailers(1) has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

_OF_GIT = ("Signed-off-by: ", "(cherry picked from commit ")
_TRAILER = re.compile(r"([A-Za-z0-9-]+)[ \t]*:")
_SPACES = " \t\r\n"
_SCISSORS = "# ------------------------ >8 ------------------------\n"
Trailer = tuple[str | None, str]  # a token and its value; a line among them that is none has no token


class _Parts(Struct, frozen=True):
    """The lines of a message: those before its trailers, these, and comments that git leaves behind them."""

    head: list[str]
    trailers: list[str]
    rest: list[str]


def sign_off(message: str, person: str) -> str:
    """Add `Signed-off-by:` with a `person` to a message, unless it is there."""
    line = f"Signed-off-by: {person}\n"
    parts = _split(message)
    if line in parts.trailers or parts.head == [line]:
        return message
    is_apart = bool(parts.trailers) or parts.head[-1:] == ["\n"]
    gap = [] if is_apart else ["\n"] if parts.head else ["\n", "\n"]  # room for a title
    return "".join([*parts.head, *gap, *parts.trailers, line, *parts.rest])


def add_trailers(message: str, added: Iterable[tuple[str, str]]) -> str:
    """Add trailers, each a token and its value, to a message, unless they are there."""
    parts = _split(message)
    trailers = [_parse(text) for text in _unfold(parts.trailers)]
    for token, value in added:
        if not any(_is_same(trailer, token, value) for trailer in trailers):
            trailers.append((token, value.strip(_SPACES)))
    gap = [] if parts.head and _is_blank(parts.head[-1]) else ["\n"]
    return "".join([*parts.head, *gap, *map(_write, trailers), *parts.rest])


def _split(message: str) -> _Parts:
    lines = re.findall(r"[^\n]*\n", message if message.endswith("\n") else f"{message}\n")
    end = _find_end(lines)
    start = _find_start(lines[:end])
    return _Parts(lines[:start], lines[start:end], lines[end:])


def _find_end(lines: list[str]) -> int:
    """Return where the comments and empty lines begin that a message ends with."""
    start, in_conflicts = 0, False
    cut = lines.index(_SCISSORS) if _SCISSORS in lines else len(lines)
    for number, line in enumerate(lines[:cut]):
        if line.startswith("#") or line in {"\n", "Conflicts:\n"}:
            in_conflicts |= line == "Conflicts:\n"
            start = start or number
        elif start and not (in_conflicts and line.startswith("\t")):
            start, in_conflicts = 0, False
    return start or cut


def _find_start(lines: list[str]) -> int:
    """Return where the trailers begin, the end where there are none: they are a last paragraph by itself."""
    title = next((number for number, line in enumerate(lines) if _is_blank(line)), len(lines))
    end = len(lines)
    while end > title and _is_blank(lines[end - 1]):
        end -= 1
    start = end
    while start > title and not _is_blank(lines[start - 1]):
        start -= 1
    return start if start > title and _are_trailers(lines[start:end]) else len(lines)


def _are_trailers(lines: list[str]) -> bool:
    """Tell whether a paragraph is of trailers, or of git's own and at most three other lines each."""
    others = known = is_gits = 0
    continued = 0
    for line in reversed(lines):
        if line.startswith("#"):
            others, continued = others + continued, 0
        elif line.startswith(_OF_GIT) or _TRAILER.match(line):
            known, continued = known + 1, 0
            is_gits |= line.startswith(_OF_GIT)
        elif line[0] in _SPACES:
            continued += 1
        else:
            others, continued = others + continued + 1, 0
    others += continued
    return bool(known) and (not others or bool(is_gits and known * 3 >= others))


def _unfold(lines: list[str]) -> Iterator[str]:
    """Yield trailers with the lines that continue them, and other lines; comments among them are dropped."""
    text = ""
    for line in lines:
        if text and line[0] in _SPACES and _TRAILER.match(text):
            text += line
            continue
        if text and not text.startswith("#"):
            yield text
        text = line
    if text and not text.startswith("#"):
        yield text


def _parse(text: str) -> Trailer:
    if (found := _TRAILER.match(text)) is None:
        return None, text.removesuffix("\n")
    return found[1], text[found.end() :].strip(_SPACES)


def _write(trailer: Trailer) -> str:
    token, value = trailer
    return f"{value}\n" if token is None else f"{token}: {value}\n"


def _is_same(trailer: Trailer, token: str, value: str) -> bool:
    """Tell whether a trailer says this, as git compares them: a shorter token stands for a longer one."""
    old, said = trailer
    if old is None or said.lower() != value.strip(_SPACES).lower():
        return False
    return old.lower().startswith(token.lower()) or token.lower().startswith(old.lower())


def _is_blank(line: str) -> bool:
    return not line.strip(_SPACES)
