"""What a model answers, checked and cleaned like any other input."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct

from github_worker.errors import GitHubWorkerError
from github_worker.naming import words

MAX_SUBJECT = 72
_WIDTH = 72
_MAX_BODY_LINES = 40
_MAX_CHARACTERS = 4000

_TRAILER = re.compile(
    r"^[\s>*•-]*[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+\s*:|^\W*generated (?:with|by)\b", re.IGNORECASE
)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "«": "»"}
Answer = TypeVar("Answer")


class NoAnswer(GitHubWorkerError):
    """The model gave no name or message; the message says why, in a sentence's words."""


class _Session(Struct):
    title: str
    slug: str


class _Commit(Struct):
    subject: str
    body: str = ""


class _PullRequest(Struct):
    title: str
    body: str


def session(answer: str) -> tuple[str, str]:
    """Read a session's title and slug; a slug that is no use is made from the title."""
    said = _decode(answer, _Session)
    title = words.title(words.split(said.title))
    if title is None:
        raise NoAnswer("the model's title had fewer than three words")
    slugs = (words.slug(text) for text in (said.slug, title))
    slug = next((slug for slug in slugs if slug and not words.is_protected(slug)), None)
    if slug is None:
        raise NoAnswer("the model's branch name was empty or protected")
    return title, slug


def commit(answer: str) -> str:
    """Read a commit's message: a subject of at most 72 characters, and a body wrapped there, or none."""
    said = _decode(answer, _Commit)
    subject, body = _subject(said.subject), _wrapped(said.body)
    return f"{subject}\n\n{body}" if body else subject


def pull_request(answer: str) -> tuple[str, str]:
    """Read a pull request's title and body."""
    said = _decode(answer, _PullRequest)
    body = "\n".join(_lines(said.body)).strip()
    if not body:
        raise NoAnswer("the model's description was empty")
    return _subject(said.title), body


def _decode(answer: str, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise NoAnswer("the model's answer was not what it was asked for") from None


def _subject(text: str) -> str:
    line = words.disarm(words.one_line(next((line for line in _lines(text) if line), "")))
    line = "" if _TRAILER.search(line) else line.lstrip("#*->• ")
    if len(line) > 1 and _QUOTES.get(line[0]) == line[-1]:
        line = line[1:-1].strip()
    line = words.shorten(line, MAX_SUBJECT).rstrip(" .…")
    if not any(character.isalnum() for character in line):
        raise NoAnswer("the model's subject was empty")
    return line


def _wrapped(text: str) -> str:
    lines = [
        line
        for paragraph in _paragraphs(text)
        for line in textwrap.wrap(
            paragraph, _WIDTH, subsequent_indent=_indent(paragraph), break_on_hyphens=False
        )
        or [""]
    ]
    # once more: wrapping may have brought a trailer to the beginning of a line
    kept = [line for line in lines if not _TRAILER.search(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept[:_MAX_BODY_LINES])).strip()


def _paragraphs(text: str) -> Iterator[str]:
    paragraph = ""
    for line in [*_lines(text), ""]:
        if paragraph and line and not _BULLET.search(line):
            paragraph += f" {line.strip()}"
            continue
        if paragraph:
            yield paragraph
        if not line:
            yield ""
        paragraph = line.strip()


def _indent(paragraph: str) -> str:
    bullet = _BULLET.search(paragraph)
    return " " * min(len(bullet[0]), 4) if bullet else ""


def _lines(text: str) -> Iterator[str]:
    for line in text[:_MAX_CHARACTERS].splitlines():
        shown = "".join(c for c in line.expandtabs(4) if words.is_shown(c)).rstrip()
        if not _TRAILER.search(shown):
            yield words.disarm(shown)
