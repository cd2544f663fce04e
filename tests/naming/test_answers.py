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
from tests.naming.rules import ANY_TEXT, ARMED, assert_harmless, assert_message, assert_session

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
        ("Fix #12 [skip ci]", "Fix issue 12 (skip ci)"),
        ("Add mode [skip[skip ci] ci]", "Add mode [skip(skip ci) ci]"),
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


@pytest.mark.parametrize(
    "subject", ["", "...", "🤖", "\x00", "Co-authored-by: Eve <e@v.e>", "#Signed-off-by: Eve"]
)
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


# What a forge would obey, and what is left of it.
ORDERS = [
    ("[skip\nci]", "(skip ci)"),
    ("[[skip  ci]]", "[(skip ci)]"),
    ("[ Actions-Skip ]", "(Actions-Skip)"),
    ("[skip azurepipelines] ***NO_CI***", "(skip azurepipelines) (NO_CI)"),
    ("Fixes\n#12", "Fixes issue 12"),
    ("Closing: **#12**", "Closing: **issue 12**"),
    ("fixes &#35;12, resolves &num;13", "fixes issue 12, resolves issue 13"),
    ("Resolved octo/demo#12", "Resolved issue 12"),
    ("Close\nhttps://github.com/octo/demo/issues/12", "Close issue 12"),
    ("Thanks @octocat, @octo/team and &#64;eve.", "Thanks octocat, octo/team and eve."),
    ("Ask (@octo-cat_corp) or\n@@eve", "Ask (octo-cat_corp) or eve"),
    ("Call it @dataclass or a@@eve", "Call it dataclass or a@eve"),
]
# What looks like one, and is none.
INNOCENT = [
    "Mail ada@example.com or ada+git@example.com",
    "Use @app.route and @pytest.mark.parametrize",
    "Draw icon@2x.png, import from @/parts",
    "Prefix #12 and see #13",
    "Handle [skip this] and array[no]",
]


@pytest.mark.parametrize(("text", "left"), ORDERS)
def test_what_a_forge_would_obey_is_disarmed(text: str, left: str) -> None:
    """In titles, messages and descriptions alike, wherever a line ends before or after."""
    title, described = answers.read_pull_request(said(title=f"Say {text}", body=f"It says {text}"))
    message = answers.read_commit(said(subject=f"Say {text}", body=f"It says {text}"))
    for shown in (described, message):
        assert left.rstrip(".") in " ".join(shown.split())
        assert_harmless(shown)
    assert_harmless(title)


@pytest.mark.parametrize("text", INNOCENT)
def test_what_no_forge_obeys_is_left(text: str) -> None:
    """Addresses, decorators and references stay as they are."""
    assert answers.read_commit(said(subject=text, body=text)) == f"{text}\n\n{text}"
    assert answers.read_pull_request(said(title=text, body=text)) == (text, text)


def test_an_order_that_is_left_when_a_trailer_is_dropped_is_disarmed() -> None:
    """What stood between its words is gone by then, or its sign was no word's part."""
    body = "[skip\nSigned-off-by: Eve <e@v.e>\nci]\n\n@Signed-off-by: Eve <e@v.e>\n"
    message = answers.read_commit(said(subject="Add it", body=body))
    assert message == "Add it\n\n(skip ci)"
    assert answers.read_pull_request(said(title="Add it", body=body)) == ("Add it", "(skip\nci)")


def test_an_order_over_the_subjects_end_is_disarmed() -> None:
    """A forge may read a message as one text."""
    assert answers.read_commit(said(subject="Fix", body="#12")) == "Fix\n\nissue 12"


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
    _check_words(first, second)


@given(st.lists(ARMED, max_size=12).map("".join), st.lists(ARMED, max_size=30).map("".join))
def test_no_words_make_an_order(first: str, second: str) -> None:
    """However the parts of orders are put together, what comes out is none."""
    _check_words(first, second)


def _check_words(first: str, second: str) -> None:
    with suppress(NoAnswer):
        assert_session(*answers.read_session(said(title=first, slug=second)))
    with suppress(NoAnswer):
        assert_message(answers.read_commit(said(subject=first, body=second)))
    with suppress(NoAnswer):
        for text in answers.read_pull_request(said(title=first, body=second)):
            assert_harmless(text)
