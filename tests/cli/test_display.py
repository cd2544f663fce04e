"""How a job is shown: what is said of each event, and nothing that a terminal obeys."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from github_worker.cli.advice import ADVICE
from github_worker.cli.display import Display, JsonLines, PlainLines, read_moment
from github_worker.cli.options import make_example
from github_worker.cli.picture import draw_run
from github_worker.cli.summary import is_pushed, list_rows
from github_worker.cli.terminal import Terminal
from github_worker.cli.text import clean, seconds, size
from github_worker.contract import (
    REQUESTS,
    AnyEvent,
    Change,
    Cloned,
    Committed,
    Completed,
    Failed,
    Progress,
    PushError,
    Request,
    Tagged,
    Transferred,
    Warned,
    convert,
    encode_event,
)
from github_worker.errors import job_errors
from github_worker_client.testing import plausible
from tests.cli.test_options import build

HOSTILE = "a\033[2Jb\007\x9b31m\u202ec\rd\x00"
CLONED = {"clonedPath": "shop", "branch": "main", "wasCloned": True, "commit": "5716ca59", "pulled": False}


def at(moment: float, kind: type[AnyEvent], **fields: object) -> AnyEvent:
    """Make an event that comes so many seconds after nine."""
    return kind(timestamp=f"2026-01-31T09:00:{moment:06.3f}Z", **fields)  # type: ignore[arg-type]


JOB = (
    at(0, Progress, stage="downloading_session", message="Downloading the session"),
    at(0.5, Progress, stage="cloning", message="Cloning acme/shop"),
    at(1.5, Transferred, stage="cloning", received=50, total=100, percent=50, bytes=2_000_000),
    at(2.5, Transferred, stage="cloning", received=100, total=100, percent=100, bytes=6_000_000),
    at(3.5, Warned, code="left_out", message="vendor/ is a repository of its own"),
    at(4.5, Completed, data=CLONED, timings={}),
)


def show(events: Sequence[AnyEvent], *, plain: bool) -> str:
    """Return what is shown of some events."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True)
    display: Display = (
        PlainLines(out, Cloned, read_moment)
        if plain
        else Terminal(console, Cloned, live=False, clock=read_moment)
    )
    for event in events:
        display.show(event)
    display.close()
    return out.getvalue()


def test_plain_lines_tell_when_each_stage_came() -> None:
    """And what it moved, what was left out, and the result."""
    assert show(JOB, plain=True).splitlines() == [
        "    0.00 s  downloading_session  Downloading the session",
        "    0.50 s  cloning              Cloning acme/shop",
        "    2.50 s  cloning              6.0 MB, 3.0 MB/s",
        "warning: vendor/ is a repository of its own (left_out)",
        "done in 4.50 s",
        "  Branch  main",
        "  Commit  5716ca59",
        "  Folder  shop, cloned",
    ]


def test_a_terminal_tells_how_long_each_stage_took() -> None:
    """A warning is yellow, and what was moved stands beside its stage."""
    shown = show(JOB, plain=False)
    [cloning] = [line for line in shown.splitlines() if "Cloning" in line]
    assert "6.0 MB, 3.0 MB/s" in cloning
    assert "4.00 s" in cloning
    assert "\033[33m! vendor/ is a repository of its own (left_out)" in shown


def test_a_terminal_draws_a_bar_for_a_transfer() -> None:
    """With how far it is, how much came, and how fast."""
    out = io.StringIO()
    display = Terminal(Console(file=out, width=80), Cloned, live=False, clock=read_moment)
    for event in JOB[:3]:
        display.show(event)
    display.draw()
    [line] = [line for line in out.getvalue().splitlines() if "Cloning" in line]
    for shown in ("━━━━━━━━━━━", "50 %", "2.0 MB, 2.0 MB/s", "1.00 s"):
        assert shown in line


@pytest.mark.parametrize("plain", [True, False])
def test_the_place_in_line_is_told(plain: bool) -> None:
    """Plain lines say each place once; in a terminal it is one stage, that is over when the job begins."""
    queue = [
        at(second, Progress, stage="queued", message=f"Waiting, number {place} in line", position=place)
        for second, place in enumerate((3, 2, 2, 1))
    ]
    lines = [line for line in show([*queue, *JOB], plain=plain).splitlines() if "Waiting" in line]
    assert [
        f"number {place}" in line for line, place in zip(lines, (3, 2, 1) if plain else (1,), strict=True)
    ]


def events_of(text: str) -> Iterator[AnyEvent]:
    """Yield events in which a stranger's text is wherever it can be."""
    yield at(0, Progress, stage=text, message=text)
    yield at(1, Transferred, stage=text, received=1, total=1, percent=100, bytes=10)
    yield at(2, Warned, code=text, message=text)
    yield at(3, Completed, data=CLONED | {"branch": text, "commit": text}, timings={})
    yield at(4, Completed, data={text: text}, timings={})
    yield at(5, Failed, error=text, code=text, stage=text, data={text: text})


def test_strangers_words_move_no_cursor() -> None:
    """Neither a remote nor a model can clear a screen, hide a line or write a title."""
    for event in events_of(HOSTILE):
        plain = show([event], plain=True)
        assert all(char.isprintable() or char == "\n" for char in plain)
        coloured = show([event], plain=False)
        assert not {"\033[2J", "\007", "\x9b", "\u202e", "\r", "\x00"} & set(coloured)
        assert "\033[2J" not in coloured
        out = io.StringIO()
        JsonLines(out).show(event)
        assert all(char.isprintable() or char == "\n" for char in out.getvalue())


@given(st.text())
def test_a_clean_text_is_one_line_to_read(text: str) -> None:
    """Whatever it was."""
    assert clean(text).isprintable()


@given(st.text(alphabet="[]/bold red\\:smile#"))
def test_strangers_words_are_no_markup(text: str) -> None:
    """Brackets are shown as they are."""
    shown = show([at(0, Failed, error=f"<{text}>", code="internal")], plain=True)
    assert clean(f"<{text}>") in shown


@pytest.mark.parametrize("code", job_errors())
def test_every_error_says_what_it_means_and_what_to_do(code: str) -> None:
    """A code that is new needs a sentence here too."""
    shown = show([at(0, Failed, error="It went wrong.", code=code)], plain=True)
    assert ADVICE[code] in shown
    assert "What it means" in shown


def test_no_advice_is_left_of_a_code_that_is_gone() -> None:
    """Both lists have the same codes."""
    assert ADVICE.keys() == job_errors().keys()


@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
def test_every_result_has_rows(kind: type[Request]) -> None:
    """Branch, commit or page: each has something to show."""
    words = shlex.split(make_example(kind))[3:]
    [*_, outcome] = plausible(build(kind, *words)).events
    assert isinstance(outcome, Completed)
    assert len(list_rows(convert(outcome.data, kind.result))) >= 2


def committed(**more: Any) -> Committed:
    """Return the result of a commit of one file."""
    return Committed(
        commit_hash="5716ca59",
        commit_message="Fix the login\n\nAnd more.",
        branch="main",
        files_changed=1,
        insertions=2,
        deletions=0,
        **more,
    )


def test_a_push_that_failed_is_told_with_its_reason() -> None:
    """The commit is there all the same."""
    result = committed(pushed=False, push_error=PushError(code="push_conflict", message="It conflicts."))
    rows = dict(list_rows(result))
    assert rows["Pushed"] == "no: It conflicts. (push_conflict)"
    assert (rows["Message"], rows["Changes"]) == ("Fix the login", "1 file, +2 -0")


def test_a_dry_run_is_no_failure_and_lists_what_would_be() -> None:
    """Nothing was to be pushed."""
    plan = committed(pushed=False, dry_run=True, files=(Change(status="M", path="a.txt", insertions=2),))
    rows = dict(list_rows(plan))
    assert is_pushed(plan)
    assert rows["Change"] == "M a.txt, +2 -0"
    assert not {"Pushed", "Commit"} & rows.keys()


def test_a_tag_that_was_not_pushed_is_told_beside_its_branch() -> None:
    """The exit status says that something is missing."""
    tag = Tagged(name="v1", target="5716ca59", pushed=False, push_error=PushError(code="x", message="No."))
    result = committed(pushed=True, tag=tag)
    assert not is_pushed(result)
    assert list_rows(result)[-3:] == [("Pushed", "yes"), ("Tag", "v1 at 5716ca59"), ("Pushed", "no: No. (x)")]


def test_a_picture_is_made_of_a_job_that_was() -> None:
    """The same events make the same one; it fetches nothing, and says what the terminal said."""
    lines = [encode_event(event).decode() for event in JOB]
    picture = draw_run("github-worker run clone-repository …", lines, Cloned)
    assert picture == draw_run("github-worker run clone-repository …", lines, Cloned)
    assert "url(" not in picture.replace("url(#", "")
    texts = "".join(ElementTree.fromstring(picture).itertext()).replace("\xa0", " ")  # noqa: S314 (our own)
    for shown in ("$ github-worker run", "Cloning acme/shop", "6.0 MB", "Done in 4.50 s"):
        assert shown in texts


def test_sizes_and_times_are_for_people() -> None:
    """Three digits at most, and a unit."""
    sizes = [size(count) for count in (0, 999, 1000, 99_400, 99_600, 2_000_000, 4.2e9)]
    assert sizes == ["0 B", "999 B", "1.0 kB", "99.4 kB", "100 kB", "2.0 MB", "4.2 GB"]
    times = [seconds(time) for time in (0, 0.421, 9.99, 12.34, 59.97, 65)]
    assert times == ["0.00 s", "0.42 s", "9.99 s", "12.3 s", "1 min 0 s", "1 min 5 s"]
