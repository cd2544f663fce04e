"""What a model says of a pull request; tests/naming has the same of names and commits."""

from __future__ import annotations

import json
import re
import unicodedata
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from github_worker.naming import answers
from github_worker.naming.answers import NoAnswer
from tests.naming.rules import ANY_TEXT

CLOSING = re.compile(r"\b(close|fix|resolve)[a-z]*:?\s+#\d", re.IGNORECASE)
PIECES = [
    "Closes #1",
    "fixes: octo/demo#2",
    "[skip ci]",
    "***NO_CI***",
    "\x1b[31m",
    "\u202e",
    "\n\n",
    "- a",
    "é",
    "#",
]
said = st.lists(st.sampled_from(PIECES) | ANY_TEXT, max_size=6).map(" ".join)


@given(said, said)
def test_any_words_give_a_pull_request_or_none(title: str, body: str) -> None:
    """A title of one line and a body of bounded length, that can be shown and give no orders."""
    with suppress(NoAnswer):
        subject, text = answers.read_pull_request(json.dumps({"title": title, "body": body}))
        assert 1 <= len(subject) <= answers.MAX_SUBJECT
        assert "\n" not in subject
        assert text == text.strip()
        assert len(text) < 20_000
        assert not any(unicodedata.category(c).startswith("C") for c in subject + text if c != "\n")
        for shown in (subject, text):
            assert not CLOSING.search(shown)
            assert "[skip ci]" not in shown.lower()


@given(ANY_TEXT)
def test_any_answer_is_one_or_none(answer: str) -> None:
    """What is no JSON is no answer, and never anything worse."""
    with suppress(NoAnswer):
        answers.read_pull_request(answer)
