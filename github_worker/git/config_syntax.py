"""The syntax of git-config(1), as git's own parser takes it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PASSED_OVER = re.compile(r"[ \t\r\n]+|[#;][^\n]*")
_SECTION = re.compile(r'\[([A-Za-z0-9.-]*)(?:[ \t\r]+"((?:[^"\\\n]|\\[^\n])*+)")?\]')
_ESCAPE = r"\\[\ntbn\"\\]"
_VARIABLE = re.compile(
    r"([A-Za-z][A-Za-z0-9-]*)[ \t]*"
    rf'(?:=((?:"(?:[^"\\\n]|{_ESCAPE})*+"|{_ESCAPE}|[^"\\\n#;])*+)(?:[#;][^\n]*)?)?(?:\n|\Z)'
)
_PART = re.compile(r'([ \t\r]+)|"((?:[^"\\]|\\[\s\S])*)"|((?:[^" \t\r\\]|\\[\s\S])+)')
_BACKSLASH = re.compile(r"\\([\s\S])")
_ESCAPED = {"n": "\n", "t": "\t", "b": "\b", "\n": ""}


def variables(text: str) -> Iterator[tuple[str, str]]:
    """Yield `section.name` or `section.subsection.name`, and the value; a name without one is `true`.

    Ends where git would refuse the file; includes are not followed.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n") + "\n"
    prefix, at = "", 0
    while found := _SECTION.match(text, at) or _VARIABLE.match(text, at) or _PASSED_OVER.match(text, at):
        at = found.end()
        if found.re is _SECTION:
            prefix = _prefix(found[1], found[2])
        elif found.re is _VARIABLE:
            yield prefix + found[1].lower(), "true" if found[2] is None else _value(found[2])


def _prefix(name: str, subsection: str | None) -> str:
    plain = "" if subsection is None else _BACKSLASH.sub(r"\1", subsection) + "."
    return f"{name.lower()}.{plain}"


def _value(raw: str) -> str:
    """Return the value without its quotes and the white space around it."""
    value = pending = ""
    for space, quoted, plain in _PART.findall(raw):
        if space:
            pending += space if value else ""
        else:
            value += pending + _BACKSLASH.sub(_meant, quoted or plain)
            pending = ""
    return value


def _meant(escape: re.Match[str]) -> str:
    return _ESCAPED.get(escape[1], escape[1])
