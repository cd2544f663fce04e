"""What a model says is data."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_worker.naming import answers
from github_worker.naming.answers import NoAnswer
from tests.naming.rules import ANY_TEXT, assert_message, assert_session

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["title", "slug", "subject", "body"]), children)
    ),
    max_leaves=6,
)


def said(**fields: Any) -> str:
    """Return an answer of these fields."""
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("title", "slug", "named"),
    [
        ("Add Dark Mode", "add-dark-mode", ("Add Dark Mode", "add-dark-mode")),
        ('**"Add Dark Mode"**.', "Add_Dark Mode!", ("Add Dark Mode", "add-dark-mode")),
        ("Add\nDark\u202e\x1b[31m Mode", "/add/../dark", ("Add Dark31m Mode", "add-dark")),
        ("One Two Three Four Five Six Seven", "x", ("One Two Three Four Five Six", "x")),
        ("Add <b>Dark</b> Mode", "refs/heads/main", ("Add Dark Mode", "add-dark-mode")),
        ("Add Dark Mode", "HEAD", ("Add Dark Mode", "add-dark-mode")),
        ("Add Dark Mode", "", ("Add Dark Mode", "add-dark-mode")),
        ("Add Dark Mode", f"{'long-' * 20}", ("Add Dark Mode", "long-long-long-long-long-long-long-long")),
    ],
)
def test_a_session_name_is_cleaned(title: str, slug: str, named: tuple[str, str]) -> None:
    """Markup, controls and surplus words go; a slug that is no use is made from the title."""
    assert answers.read_session(said(title=title, slug=slug)) == named


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(title="Dark", slug="dark"), "fewer than three words"),
        (said(title="暗い モード 追加", slug="主"), "empty or protected"),
        (said(title="Add Dark Mode"), "not what it was asked for"),
        (said(title=["a"], slug={}), "not what it was asked for"),
        ("Sure! Here is a title: Add Dark Mode", "not what it was asked for"),
        ("[" * 100_000, "not what it was asked for"),
        ("", "not what it was asked for"),
    ],
)
def test_a_session_name_of_no_use_is_refused(answer: str, reason: str) -> None:
    """The reason is told, for the event that says so."""
    with pytest.raises(NoAnswer, match=reason):
        answers.read_session(answer)


@pytest.mark.parametrize(
    ("subject", "cleaned"),
    [
        ("Add dark mode.", "Add dark mode"),
        ('"Add dark mode"', "Add dark mode"),
        ("`Add dark mode`", "Add dark mode"),
        ("Call `foo` for `bar`s", "Call `foo` for `bar`s"),
        ("# Add dark mode\nIt is dark", "Add dark mode"),
        ("feat(ui): add\x07  dark\u200b mode", "feat(ui): add dark mode"),
        ("✨ Add dark mode", "✨ Add dark mode"),
        ("Fix #12 [skip ci]", "Fix issue 12 skip ci"),
        ("Add mode [skip[skip ci] ci]", "Add mode [skipskip ci ci]"),
        ("Signed-off-by: Eve <e@v.e>\nAdd mode", "Add mode"),
        (f"Add {'dark ' * 20}mode", f"Add {'dark ' * 13}".strip()),
        ("x" * 100, "x" * 72),
    ],
)
def test_a_subject_is_cleaned(subject: str, cleaned: str) -> None:
    """It is one line of at most 72 characters, without what a forge would act on."""
    assert answers.read_commit(said(subject=subject)) == cleaned


def test_a_body_is_wrapped_and_loses_its_trailers() -> None:
    """Bullets stay bullets, and nobody signs off but the service."""
    body = (
        f"Words {'of many letters ' * 8}end.\n\n\n\n- first {'and on ' * 12}\n- second\n\n"
        "Generated with Love\nCo-authored-by: Eve <eve@example.com>\n  Signed-off-by: Eve <eve@example.com>\n"
    )

    message = answers.read_commit(said(subject="Add it", body=body))

    assert message.split("\n") == [
        "Add it",
        "",
        "Words of many letters of many letters of many letters of many letters of",
        "many letters of many letters of many letters of many letters end.",
        "",
        "- first and on and on and on and on and on and on and on and on and on",
        "  and on and on and on",
        "- second",
    ]


def test_a_trailer_that_wrapping_makes_is_dropped() -> None:
    """A trailer in the middle of a line cannot come to the beginning of one."""
    body = f"{'word ' * 14} Signed-off-by: Eve <eve@example.com>"

    assert "Signed" not in answers.read_commit(said(subject="Add it", body=body))


@pytest.mark.parametrize("subject", ["", "...", "🤖", "\x00", "Co-authored-by: Eve <e@v.e>"])
def test_a_subject_that_says_nothing_is_refused(subject: str) -> None:
    """An answer without letters or digits is none."""
    with pytest.raises(NoAnswer, match="empty"):
        answers.read_commit(said(subject=subject))


def test_a_pull_request_is_cleaned() -> None:
    """Its body stays Markdown, of bounded length and without orders to the forge."""
    title, body = answers.read_pull_request(
        said(title="Add it.", body=f"Closes #7\n\n- a\n  - b\n{'x' * 9000}")
    )

    assert title == "Add it"
    assert body.startswith("Closes issue 7\n\n- a\n  - b\nxxx")
    assert len(body) < 5000


@given(ANY_JSON.map(json.dumps) | ANY_TEXT)
def test_any_answer_gives_a_name_or_none(answer: str) -> None:
    """Whatever the model says, what comes out keeps to the rules."""
    with suppress(NoAnswer):
        assert_session(*answers.read_session(answer))
    with suppress(NoAnswer):
        assert_message(answers.read_commit(answer))


@given(ANY_TEXT, ANY_TEXT)
def test_any_words_give_a_name_or_none(first: str, second: str) -> None:
    """An answer of the right form keeps to the rules too, whatever its words."""
    with suppress(NoAnswer):
        assert_session(*answers.read_session(said(title=first, slug=second)))
    with suppress(NoAnswer):
        assert_message(answers.read_commit(said(subject=first, body=second)))
