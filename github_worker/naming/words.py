"""Words of a text as a title and as a slug may have them."""

from __future__ import annotations

import re
import unicodedata

MAX_SLUG = 40
_LONGEST_WORD = 24
_TITLE_WORDS = 3, 6
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # general categories of Unicode
_PUNCTUATION = "./&'@%_-"  # of words, inside of which it may stand
# what NFKD does not take apart
_LATIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D"}
    | {"ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "d", "\N{LATIN SMALL LETTER DOTLESS I}": "i"}
)
_PROTECTED = re.compile(
    "(?:main|master|trunk|default|develop|development|dev|production|prod|release|staging|gh-pages"
    "|head|fetch-head|orig-head|merge-head|refs|refs-.*|heads|heads-.*|tags|remotes|origin|upstream)"
)

# what forges and their continuous integration would act on
_ORDERS = re.compile(
    r"\[(?:skip[ -](?:ci|actions)|(?:ci|actions|no)[ -](?:skip|ci))\]|\*\*\*NO_CI\*\*\*", re.IGNORECASE
)
_CLOSING = re.compile(
    r"\b(close[sd]?|fix(?:e[sd])?|resolve[sd]?)(:?\s+)(?:[\w./:-]*#|https?://\S+/(?:issues|pull)/|GH-)(\d+)",
    re.IGNORECASE,
)


def one_line(text: str) -> str:
    """Return the text without control and format characters, each run of white space as one space."""
    text = unicodedata.normalize("NFC", text)
    return " ".join("".join(c if c.isspace() or is_shown(c) else "" for c in text).split())


def is_shown(character: str) -> bool:
    """Tell whether a character may be in a text: no control, no line break, nothing unassigned."""
    return unicodedata.category(character) not in _HIDDEN


def split(text: str) -> list[str]:
    """Split a text into its words: markup and quotes are gone; `C++`, `don't` and `src/app.py` stay."""
    text = re.sub(r"<[^<>]*>", " ", one_line(text)).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    kept = ("".join(c for c in word if _is_of_word(c))[:_LONGEST_WORD] for word in text.split())
    trimmed = (word.lstrip("+#").strip(_PUNCTUATION) for word in kept)
    return [word for word in trimmed if any(character.isalnum() for character in word)]


def _is_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" or character in f"+#{_PUNCTUATION}"


def title(words: list[str]) -> str | None:
    """Make a title of 3 to 6 words, or None where there are fewer; a longer text loses its end."""
    least, most = _TITLE_WORDS
    return " ".join(words[:most]) if len(words) >= least else None


def slug(text: str) -> str:
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


def disarm(line: str) -> str:
    """Take from a line what a forge would obey: words that skip its checks or close its issues."""
    line = _ORDERS.sub(lambda order: order[0].strip("[]*"), line)
    return _CLOSING.sub(r"\1\2issue \3", line)
