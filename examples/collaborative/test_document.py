"""Edits that were made at once: everybody ends with the same text, and nothing unseen is removed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from examples.collaborative.document import Document, Edit, difference, transform


@some.composite
def edits_of(draw: Any, text: str, letters: str) -> Edit:
    """Make an edit that is possible in a text."""
    position = draw(some.integers(0, len(text)))
    removed = draw(some.integers(0, len(text) - position))
    return Edit(position, removed, draw(some.text(letters, max_size=3)))


@some.composite
def rows(draw: Any, text: str, letters: str) -> list[Edit]:
    """Make edits that follow each other."""
    row = []
    for _ in range(draw(some.integers(0, 4))):
        row.append(draw(edits_of(text, letters)))
        text = row[-1].apply(text)
    return row


def apply(text: str, edits: list[Edit]) -> str:
    """Return the text after some edits."""
    for edit in edits:
        text = edit.apply(text)
    return text


@settings(max_examples=500, deadline=None)
@given(some.data())
def test_two_rows_of_edits_lead_to_one_text(data: some.DataObject) -> None:
    """Whichever was applied first, what was transformed leads to the same."""
    text = data.draw(some.text("abcdef", max_size=12))
    ours, theirs = data.draw(rows(text, "XYZ")), data.draw(rows(text, "123"))
    ours_later, theirs_later = transform(ours, theirs)
    assert apply(apply(text, theirs), ours_later) == apply(apply(text, ours), theirs_later)


@settings(max_examples=500, deadline=None)
@given(some.data())
def test_what_one_has_written_is_removed_by_nobody_who_did_not_see_it(data: some.DataObject) -> None:
    """All that both have written at once is there, in its order."""
    text = data.draw(some.text("abcdef", max_size=12))
    ours, theirs = data.draw(edits_of(text, "XYZ")), data.draw(edits_of(text, "123"))
    document = Document(text)
    document.edit(0, theirs)
    document.edit(0, ours)
    assert "".join(letter for letter in document.text if letter in "XYZ") == ours.text
    assert "".join(letter for letter in document.text if letter in "123") == theirs.text
    kept = set(range(len(text))) - {*range(ours.position, ours.end), *range(theirs.position, theirs.end)}
    assert [letter for letter in document.text if letter in "abcdef"] == [text[n] for n in sorted(kept)]


@given(some.text("ab\n", max_size=9), some.text("ab\n", max_size=9))
def test_a_difference_makes_one_text_of_another(before: str, after: str) -> None:
    """It is one edit."""
    assert difference(before, after).apply(before) == after


@pytest.mark.parametrize(
    ("version", "edit"),
    [
        (1, Edit(0, 0, "x")),
        (-1, Edit(0, 0, "x")),
        (0, Edit(4, 0, "x")),
        (0, Edit(2, 2, "")),
        (0, Edit(-1, 1, "")),
    ],
)
def test_an_edit_of_no_such_place_is_refused(version: int, edit: Edit) -> None:
    """Neither a version nor a place that is not there is guessed."""
    document = Document("abc")
    with pytest.raises(ValueError, match="not"):
        document.edit(version, edit)
    assert document.text == "abc"
