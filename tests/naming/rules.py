"""What every name and message must be, whoever made it."""

from __future__ import annotations

import html
import re
import unicodedata

from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(codec=None), max_size=200) | st.sampled_from(
    [
        "main",
        "HEAD",
        "refs/heads/main",
        "[skip ci]",
        "Signed-off-by: a <a@b>",
        "- x\n\n- y",
        "a " * 500,
        "z" * 500,
    ]
)

# Parts of what a forge would obey, and what may stand between them.
_PARTS = "[|]|skip|ci|no |NO_CI|***|Fixes|#|12|:|a|-|- | |\n|\n\n|@|octo|/|.|&|&#35;|&#64;|<b>|`|\u200b"
ARMED = st.sampled_from([*_PARTS.split("|"), "Signed-off-by: a <a@b>\n", "word " * 12])


def assert_session(title: str, slug: str) -> None:
    """Fail unless these can be shown as a title and pushed as a part of a branch."""
    assert 3 <= len(title.split(" ")) <= 6
    assert title == title.strip()
    assert len(title) <= 160
    assert not set(title) & set('\n\r\t"`<>*[]{}|\\')
    assert not any(unicodedata.category(character).startswith("C") for character in title)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) <= 40
    assert slug not in {"main", "master", "head", "refs"}
    assert not slug.startswith("refs-")


def assert_message(text: str) -> None:
    """Fail unless git and a forge take this for a plain message and nothing else."""
    subject, *rest = text.split("\n")
    assert 1 <= len(subject) <= 72
    assert subject == subject.strip()
    assert not subject.endswith(".")
    assert rest[:1] in ([], [""])
    assert len(rest) <= 60
    assert all(len(line) <= 72 for line in rest)
    assert not any(unicodedata.category(c).startswith("C") for c in text if c != "\n")
    assert not re.search(r"^[A-Za-z]+-[A-Za-z]+-?[A-Za-z]*:", text, re.MULTILINE)
    assert_harmless(text)


def assert_harmless(text: str) -> None:
    """Fail where a forge might obey a text, be it by its lines or by all of it as one."""
    text = html.unescape(text)
    for line in (*text.split("\n"), " ".join(text.split())):
        assert not re.search(
            r"\[ ?(skip[ -](ci|actions)|(ci|actions)[ -]skip|no[ -]ci) ?\]|\*\*\*NO_CI\*\*\*", line, re.I
        )
    assert not re.search(
        r"(?<![a-z0-9_])(close[sd]?|fix(es|ed)?|resolve[sd]?)[\s:]+([\w-]+/[\w-]+)?#\d", text, re.I
    )
    assert not re.search(r"(?<![a-z0-9_])@[a-z0-9][a-z0-9-]*(?![a-z0-9_.-])", text, re.I)
