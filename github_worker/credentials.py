"""Finds and masks credentials that stand in a text where they should not.

`find` knows the shapes that their issuers publish, so that a commit can be refused for them; `mask` also
hides what only looks like a secret, since a masked word costs a prompt nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from github_worker.redaction import MASK


class _Kind(Struct, frozen=True):
    """Describes a kind of credential by its shape.

    No text without one of `hints` has it, and looking for those is a hundred times faster.
    """

    name: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]


_KEY_BODY = r"[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
_WELL_KNOWN = (
    _Kind(
        "GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9_]{30,}|github_pat_[A-Za-z0-9_]{22,})"),
    ),
    _Kind(
        "Anthropic key",
        ("sk-ant-",),
        re.compile(r"(?<![A-Za-z0-9])sk-ant-[A-Za-z0-9]{2,12}-[A-Za-z0-9_-]{16,}"),
    ),
    _Kind(
        "AWS access key",
        ("AKIA", "ASIA"),
        re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ),
    _Kind(
        "AWS secret key",
        ("aws_secret", "AWS_SECRET"),
        re.compile(r"(?i)(?<=aws_secret_access_key)[\"']?\s{0,4}[:=]\s{0,4}[\"']?[A-Za-z0-9/+]{40}"),
    ),
    _Kind("Google API key", ("AIza",), re.compile(r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}")),
    _Kind("Google OAuth secret", ("GOCSPX-",), re.compile(r"GOCSPX-[A-Za-z0-9_-]{28}")),
    _Kind(
        "Slack token",
        ("xox", "xapp-"),
        re.compile(r"(?<![A-Za-z0-9])(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    ),
    _Kind(
        "Slack webhook",
        ("hooks.slack.com",),
        re.compile(r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,}"),
    ),
    _Kind(
        "private key",
        ("PRIVATE KEY",),
        re.compile(rf"-----BEGIN (?:[A-Z0-9]{{1,20}} ){{0,3}}PRIVATE KEY(?: BLOCK)?-----{_KEY_BODY}"),
    ),
)

# Group 1 stays, the rest of the match is masked.
_ASSIGNED = (
    r"(?i:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)[\w-]{0,40}"
)
_LIKELY = tuple(
    re.compile(pattern)
    for pattern in (
        rf"""({_ASSIGNED}["']?\s{{0,8}}(?::|=>?)\s{{0,8}}(["'`]))(?:(?!\2)[^\n]){{4,}}""",
        rf"""({_ASSIGNED}=)[^\s"'`,;&()]{{6,}}""",
        rf"""({_ASSIGNED}["']?\s{{0,8}}[:=]\s{{1,8}})(?=[^\s\d]{{0,80}}\d)[^\s"'`,;()]{{6,}}""",
        r"((?i:authorization)[\"']?\s{0,8}[:=,]\s{0,8}[\"']?(?i:bearer|basic|token)\s{1,8})[^\s\"']{6,}",
        r"((?i:bearer)\s{1,8})[A-Za-z0-9._~+/-]{20,}",
        r"()\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]+)?",
        r"()\b(?:[sr]k_live_|sk-proj-|npm_|glpat-|pypi-|hf_|dop_v1_|SG\.)[A-Za-z0-9_.-]{16,}",
        # A line of a key whose first line is not in the text, as in a diff's hunk.
        r"(?m)(^[+\- ]?\s{0,8})[A-Za-z0-9+/]{60,}={0,2}$",
    )
)


def find(text: str) -> Iterator[tuple[int, str, str]]:
    """Find well-known credentials, and yield where each begins, its kind and its value."""
    for kind in _WELL_KNOWN:
        if any(hint in text for hint in kind.hints):
            for match in kind.pattern.finditer(text):
                yield match.start(), kind.name, match[0]


def mask(text: str) -> str:
    """Mask credentials, and what looks like one: passwords in assignments, bearer tokens, lone base64."""
    for kind in _WELL_KNOWN:
        if any(hint in text for hint in kind.hints):
            text = kind.pattern.sub(MASK, text)
    for pattern in _LIKELY:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text
