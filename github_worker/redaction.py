"""Keeps secrets out of texts: they mask themselves, and `scrub` takes them and this process's folders out."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary

MASK = "***"
USERNAME = "x-access-token"  # GitHub's, which most servers take as well as any other
USERNAMES = (USERNAME, "oauth2", "x-token-auth")  # that a token goes with to a git server
_SHORTEST = 6  # a shorter value would mask innocent words
_secrets: WeakValueDictionary[int, Secret] = WeakValueDictionary()
_hidden: set[str] = set()
_FILLER = "\0"
_userinfo = re.compile(r"(?<=://)[^/\s@]+@")


class Secret:
    """A string that shows itself only through `reveal()`, at the one place it is sent.

    It is masked as long as its owner has it: the settings have theirs as long as the process lives, and so
    has its one job what came with the request, the tokens inside of credentials too.
    """

    __slots__ = ("__weakref__", "_forms", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        # What is masked; made once, as every event and line of the log is searched for it.
        self._forms = forms(value) | {line for line in value.splitlines() if len(line) >= _SHORTEST}
        _secrets[id(self)] = self

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK


def scrub(text: str) -> str:
    """Mask every secret of this process in `text`: as it is, URL-quoted, or as HTTP Basic credentials.

    A path below a hidden folder begins there. The text that is returned can be encoded: the bytes of a name
    that is not UTF-8 are written as escapes.
    """
    text = _userinfo.sub(f"{MASK}@", text)
    for form in _list_forms():
        text = text.replace(form, MASK)
    for folder in sorted(_hidden, key=len, reverse=True):
        text = text.replace(f"{folder}/", "").replace(folder, ".")
    return text.encode(errors="backslashreplace").decode()


def scrub_all(value: Any) -> Any:
    """Scrub every text of a value: itself, or those in its lists and dicts, whose keys stay."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list | tuple):
        return [scrub_all(item) for item in value]
    if isinstance(value, dict):
        return {key: scrub_all(item) for key, item in value.items()}
    return value


def escape_controls(line: str) -> str:
    """Escape what would move a terminal's cursor, or turn its text around: a stranger's text may hold it."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)


class Tail:
    """Keeps the last `limit` bytes that a stranger says, without the end of a secret that begins before."""

    def __init__(self, limit: int) -> None:
        self._overlap = max((len(form.encode()) for form in _collect_forms()), default=0)
        self._most = limit + self._overlap
        self._kept = b""
        self._is_cut = False

    def add(self, data: bytes) -> None:
        """Add what was said next."""
        data = self._kept + data
        self._is_cut |= len(data) > self._most
        self._kept = data[-self._most :]

    def scrub(self) -> str:
        """Return what was kept, scrubbed."""
        text = self._kept.decode(errors="replace")
        if not self._is_cut:
            return scrub(text)
        # Masked at its own length, a secret moves nothing over the cut.
        for form in _list_forms():
            text = text.replace(form, _FILLER * len(form))
        return scrub(re.sub(f"{_FILLER}+", MASK, text[self._overlap :]))


def hide(folder: Path) -> None:
    """Keep out of every scrubbed text where `folder` is."""
    _hidden.add(str(folder))


def unhide(folder: Path) -> None:
    """Forget a hidden folder that is gone, and those in it."""
    _hidden.difference_update([path for path in list(_hidden) if Path(path).is_relative_to(folder)])


def forms(value: str) -> set[str]:
    """Return how a secret may stand in a text: as it is, URL-quoted, or in base64 as HTTP Basic has it."""
    if len(value) < _SHORTEST:
        return set()
    texts = (value, *(f"{username}:{value}" for username in USERNAMES))
    encoded = (base64.b64encode(text.encode()).decode() for text in texts)
    return {value, quote(value, safe=""), *encoded}


def _list_forms() -> list[str]:
    """Return the forms of all secrets, one that contains another before it."""
    return sorted(_collect_forms(), key=len, reverse=True)


def _collect_forms() -> set[str]:
    found: set[str] = set()
    # `valuerefs` copies at once, where iterating fails when another thread makes a secret meanwhile.
    for secret in filter(None, [reference() for reference in _secrets.valuerefs()]):
        found |= secret._forms
    return found
