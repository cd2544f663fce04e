"""Reads what a model answers, which is checked and cleaned like any other input, and makes names of words."""

from __future__ import annotations

import html
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct

from github_worker.errors import GitHubWorkerError
from github_worker.redaction import scrub_all

MAX_SUBJECT = 72
_WIDTH = 72
_MAX_BODY_LINES = 40
_MAX_CHARACTERS = 4000

_TRAILER = re.compile(
    r"^[\s>*•-]*[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+\s*:|^\W*generated (?:with|by)\b", re.IGNORECASE
)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "«": "»"}
MAX_SLUG = 40
_LONGEST_WORD = 24
_TITLE_WORDS = 3, 6
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # general categories of Unicode
_PUNCTUATION = "./&'@%_-"  # of words, inside of which it may stand
# What NFKD does not take apart.
_LATIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D"}
    | {"ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "d", "\N{LATIN SMALL LETTER DOTLESS I}": "i"}
)
_PROTECTED = re.compile(
    "(?:main|master|trunk|default|develop|development|dev|production|prod|release|staging|gh-pages"
    "|head|fetch-head|orig-head|merge-head|refs|refs-.*|heads|heads-.*|tags|remotes|origin|upstream)"
)

# What forges and their continuous integration would act on, over the end of a line too, as lines are joined.
_CHECKS = (
    r"(?:ci|actions|checks|build|deploy|azurepipelines|azpipelines|azp|appveyor|buildkite|circleci|netlify"
    r"|travis(?:[\s_-]*ci)?|cf[\s_-]*pages)"
)
_ORDER = re.compile(
    rf"\[\s*((?:skip|no)[\s_-]+{_CHECKS}|{_CHECKS}[\s_-]+skip)\s*\]|\*{{3,}}\s*(NO_CI)\s*\*{{3,}}",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?<![A-Za-z0-9_])(clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?)"
    r"((?:[^\w#<]|<[^<>]*>)+)(?:[\w./:-]*#|https?://\S+/(?:issues|pull)/|GH-)(\d+)",
    re.IGNORECASE,
)
# Not the @ of an e-mail address, nor that of a name with a dot, as many decorators are (`@app.route`).
_MENTION = re.compile(r"(?:(?<![A-Za-z0-9_@])|(?<=[A-Za-z0-9_]@))@++(?=[A-Za-z0-9][A-Za-z0-9_-]*+(?!\.\w))")
_ENTITY = re.compile(
    r"&++(#0*(?:35|64)(?:;|(?!\d))|#x0*(?:23|40)(?:;|(?![\da-f]))|num;|commat;)", re.IGNORECASE
)
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


def read_session(answer: str) -> tuple[str, str]:
    """Read a session's title and slug; a slug that is no use is made from the title."""
    said = _decode(answer, _Session)
    title = make_title(split_words(said.title))
    if title is None:
        raise NoAnswer("the model's title had fewer than three words")
    slugs = (make_slug(text) for text in (said.slug, title))
    slug = next((slug for slug in slugs if slug and not is_protected(slug)), None)
    if slug is None:
        raise NoAnswer("the model's branch name was empty or protected")
    return title, slug


def read_commit(answer: str) -> str:
    """Read a commit's message: a subject of at most 72 characters, and a body wrapped there, or none."""
    said = _decode(answer, _Commit)
    return _clean_until_harmless(f"{_clean_subject(said.subject)}\n\n{said.body}", _clean_message)


def read_pull_request(answer: str) -> tuple[str, str]:
    """Read a pull request's title and body."""
    said = _decode(answer, _PullRequest)
    body = _clean_until_harmless(said.body, lambda text: "\n".join(_clean_lines(text)).strip())
    if not body:
        raise NoAnswer("the model's description was empty")
    return _clean_until_harmless(said.title, _clean_subject), body


def _decode(answer: str, kind: type[Answer]) -> Answer:
    try:
        # Scrubbed behind JSON's escapes, which would hide a secret.
        return msgspec.convert(scrub_all(msgspec.json.decode(answer)), kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise NoAnswer("the model's answer was not what it was asked for") from None


def _clean_until_harmless(text: str, clean: Callable[[str], str]) -> str:
    """Clean a text, and again after each time that something in it had to be disarmed."""
    text = clean(text)
    while (harmless := disarm(text)) != text:
        text = clean(harmless)
    return text


def _clean_message(text: str) -> str:
    subject, _, body = text.partition("\n\n")
    subject, body = _clean_subject(subject), _wrap_body(body)
    return f"{subject}\n\n{body}" if body else subject


def _clean_subject(text: str) -> str:
    """Take the first line that says something, without markup, quotes and a period at its end."""
    line = join_lines(next((line for line in _clean_lines(text) if line), ""))
    line = line.lstrip("#*->• ")
    if len(line) > 1 and _QUOTES.get(line[0]) == line[-1]:
        line = line[1:-1].strip()
    line = shorten(line, MAX_SUBJECT).rstrip(" .…")
    if _TRAILER.search(line) or not any(character.isalnum() for character in line):
        raise NoAnswer("the model's subject was empty")
    return line


def _wrap_body(text: str) -> str:
    """Wrap a body, and leave out the lines that git would read as trailers."""
    lines = [
        line
        for paragraph in _join_paragraphs(text)
        for line in textwrap.wrap(
            paragraph, _WIDTH, subsequent_indent=_measure_indent(paragraph), break_on_hyphens=False
        )
        or [""]
    ]
    # Once more: wrapping may have brought a trailer to the beginning of a line
    kept = [line for line in lines if not _TRAILER.search(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept[:_MAX_BODY_LINES])).strip()


def _join_paragraphs(text: str) -> Iterator[str]:
    """Yield each paragraph and each bullet as one line, and the empty lines between them."""
    paragraph = ""
    for line in [*_clean_lines(text), ""]:
        if paragraph and line and not _BULLET.search(line):
            paragraph += f" {line.strip()}"
            continue
        if paragraph:
            yield paragraph
        if not line:
            yield ""
        paragraph = line.strip()


def _measure_indent(paragraph: str) -> str:
    bullet = _BULLET.search(paragraph)
    return " " * min(len(bullet[0]), 4) if bullet else ""


def _clean_lines(text: str) -> Iterator[str]:
    for line in text[:_MAX_CHARACTERS].splitlines():
        shown = "".join(c for c in line.expandtabs(4) if is_shown(c)).rstrip()
        if not _TRAILER.search(shown):
            yield shown


def join_lines(text: str) -> str:
    """Make one line of a text: without control characters, each run of white space as one space."""
    text = unicodedata.normalize("NFC", text)
    return " ".join("".join(c if c.isspace() or is_shown(c) else "" for c in text).split())


def is_shown(character: str) -> bool:
    """Tell whether a character may be in a text: no control, no line break, nothing unassigned."""
    return unicodedata.category(character) not in _HIDDEN


def split_words(text: str) -> list[str]:
    """Split a text into its words: markup and quotes are gone; `C++`, `don't` and `src/app.py` stay."""
    text = re.sub(r"<[^<>]*>", " ", join_lines(text)).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    kept = ("".join(c for c in word if _is_of_word(c))[:_LONGEST_WORD] for word in text.split())
    trimmed = (word.lstrip("+#").strip(_PUNCTUATION) for word in kept)
    return [word for word in trimmed if any(character.isalnum() for character in word)]


def _is_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" or character in f"+#{_PUNCTUATION}"


def make_title(words: list[str]) -> str | None:
    """Make a title of 3 to 6 words, or None where there are fewer; a longer text loses its end."""
    least, most = _TITLE_WORDS
    return " ".join(words[:most]) if len(words) >= least else None


def make_slug(text: str) -> str:
    """Make a slug of `a-z0-9-` and at most 40 characters, cut between words; it may be empty."""
    latin = unicodedata.normalize("NFKD", text.translate(_LATIN)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "-", latin.lower().replace("'", "")).strip("-")
    if len(name) > MAX_SLUG:
        name = name[: MAX_SLUG + 1].rpartition("-")[0] or name[:MAX_SLUG]
    return name.strip("-")


def is_protected(name: str) -> bool:
    """Tell whether a slug is a name that branches which matter, or git itself, go by."""
    return _PROTECTED.fullmatch(name) is not None


def shorten(text: str, limit: int) -> str:
    """Cut a text to `limit` characters, between words where there is room for more than one."""
    if len(text) <= limit:
        return text
    head, space, _ = text[: limit + 1].rpartition(" ")
    return head.rstrip(" ,;:-(") if space and len(head) >= limit // 2 else text[:limit].rstrip()


def disarm(text: str) -> str:
    """Take from a text what a forge would obey: to skip its checks, to close its issues, to call people."""
    while (harmless := _disarm_once(text)) != text:
        text = harmless
    return text


def _disarm_once(text: str) -> str:
    text = _ENTITY.sub(lambda entity: html.unescape(f"&{entity[1]}"), text)
    text = _ORDER.sub(lambda order: f"({order[1] or order[2]})", text)
    return _MENTION.sub("", _CLOSING.sub(r"\1\2issue \3", text))
