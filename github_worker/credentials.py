"""Finds and masks credentials that stand in a text where they should not.

A Scanner knows the shapes that issuers publish, so that a commit can be refused for them; `mask` also hides
what only looks like a secret, since a masked word costs a prompt nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from functools import cache

from ahocorasick_rs import BytesAhoCorasick
from msgspec import Struct

from github_worker.issuers import KINDS, Hit, Kind
from github_worker.redaction import MASK, Secret, forms

_OWN = "a credential of this request"
_WINDOW = 1024 * 1024
_WIDE = 1024  # characters of UTF-16 that are looked at, from a hint on
_BEFORE = 128  # and before it


class _Needle(Struct, frozen=True):
    """Bytes to look for: a form of a secret itself, where `kind` is None, or a hint of a kind."""

    text: bytes
    kind: Kind | None
    is_wide: bool = False

    def find(self, data: memoryview, at: int) -> Hit | None:
        """Read the credential whose hint is at a place."""
        if self.is_wide:
            return self._find_wide(data, at)
        if self.kind is None:
            return Hit(at, at + len(self.text), _OWN, self.text)
        return self.kind.find(data, at)

    def _find_wide(self, data: memoryview, at: int) -> Hit | None:
        """Read it from the low bytes of UTF-16, whose high ones are zero."""
        start = max(at - 2 * _BEFORE, at % 2)
        text = memoryview(bytes(data[start : at + 2 * _WIDE : 2]))
        hit = _Needle(self.text, self.kind).find(text, (at - start) // 2)
        if hit is None or bytes(data[at + 1 : start + 2 * hit.end - 1 : 2]).strip(b"\0"):
            return None
        return Hit(start + 2 * hit.at, start + 2 * hit.end, hit.kind, hit.value)


class Scanner:
    """Looks for what issuers publish, and for some secrets in whatever form they may stand in a file."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        own = sorted({form for secret in secrets for form in _forms(secret)})
        plain = [_Needle(form, None) for form in own]
        plain += [_Needle(hint.encode("latin-1"), kind) for kind in KINDS for hint in kind.hints]
        self._needles = [*plain, *(_Needle(needle.text, needle.kind, is_wide=True) for needle in plain)]
        texts = [_widen(needle.text) if needle.is_wide else needle.text for needle in self._needles]
        self._longest = max(map(len, texts))
        self._automaton = BytesAhoCorasick(texts)

    def scan(self, data: bytes | memoryview) -> Iterator[Hit]:
        """Yield the credentials that stand in some bytes, in their order."""
        data, end = memoryview(data), 0
        for at, needle in self._candidates(data):
            if at >= end and (hit := needle.find(data, at)) is not None:
                end = hit.end
                yield hit

    def mask(self, data: bytes) -> bytes:
        """Mask the credentials that stand in some bytes."""
        parts, end = [], 0
        for hit in self.scan(data):
            parts += [data[end : hit.at], MASK.encode()]
            end = hit.end
        return b"".join((*parts, data[end:]))

    def _candidates(self, data: memoryview) -> Iterator[tuple[int, _Needle]]:
        for start in range(0, len(data), _WINDOW):
            part = data[start : start + _WINDOW + self._longest]
            found = self._automaton.find_matches_as_indexes(part, overlapping=True)
            for at, number in sorted((at, number) for number, at, _ in found if at < _WINDOW):
                yield start + at, self._needles[number]


def _widen(text: bytes) -> bytes:
    """Return a text as it stands in UTF-16 of either order, but for the zero before or after it."""
    return b"\0".join(text[at : at + 1] for at in range(len(text)))


def _forms(secret: Secret) -> Iterator[bytes]:
    """Yield how a secret may stand in a file: as it is sent, in hexadecimal, or within any text in base64."""
    value, plain = secret.reveal().encode(), forms(secret.reveal())
    yield from (form.encode() for form in plain)
    if not plain:  # it is too short to be told from other words
        return
    yield from (value.hex().encode(), value.hex().upper().encode())
    for shift in range(3):  # what stands before it moves its bits
        first, last = -(-8 * shift // 6), 8 * (shift + len(value)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(shift) + value)[first:last]


@cache
def _scanner() -> Scanner:
    return Scanner()


_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
# Group 1 stays, the rest of the match is masked.
_ASSIGNED = (
    r"(?:(?i:passw(?:or)?d|passphrase|secret|token|(?:api|access|private|account|signing|encryption)[_-]?key)"
    r"[\w-]{0,40}|(?i:(?<![a-z])(?:pass|passcode|pwd|creds?|credentials?))|(?<=[a-z])(?:Pass|Pwd|Creds?))"
)
_VARIABLE = r"\b[A-Z][A-Z0-9_]{0,80}(?:PASS|PWD|PW|AUTH|KEY|DSN|SALT|CREDS?|CREDENTIALS?)"
_LIKELY = tuple(
    re.compile(pattern)
    for pattern in (
        rf"""({_ASSIGNED}["']?\s{{0,8}}(?::|=>?)\s{{0,8}}(["'`]))(?:(?!\2)[^\n]){{4,}}""",
        rf"""({_ASSIGNED}=)[^\s"'`,;&()]{{6,}}""",
        rf"""({_ASSIGNED}["']?\s{{0,8}}[:=]\s{{1,8}})(?=[^\s\d]{{0,80}}\d)[^\s"'`,;()]{{6,}}""",
        rf"""({_VARIABLE}\s{{0,2}}=\s{{0,2}}["'`]?)[^\s"'`,;&()]{{4,}}""",
        r"((?i:authorization)[\"']?\s{0,8}[:=,]\s{0,8}[\"']?(?i:bearer|basic|token)\s{1,8})[^\s\"']{6,}",
        r"((?i:bearer)\s{1,8})[A-Za-z0-9._~+/-]{20,}",
        r"()\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]+)?",
        r"()\b(?:[sr]k_live_|sk-proj-|npm_|glpat-|pypi-|hf_|dop_v1_|SG\.)[A-Za-z0-9_.-]{16,}",
        # A line of a key whose first line is not in the text, as in a diff's hunk.
        r"(?m)(^[+\- ]?\s{0,8})[A-Za-z0-9+/]{60,}={0,2}$",
    )
)


def mask(text: str) -> str:
    """Mask credentials, and what looks like one: passwords in assignments, bearer tokens, lone base64."""
    text = _KEY.sub(MASK, text)
    text = _scanner().mask(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")
    for pattern in _LIKELY:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text
