"""Names and messages without a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_worker.contract import Change
from github_worker.naming import fallback
from tests.naming.rules import ANY_TEXT, assert_message, assert_session

STATUSES = st.sampled_from(["A", "M", "D", "R", "C", "T"])
CHANGES = st.builds(
    Change,
    status=STATUSES,
    path=ANY_TEXT.filter(bool),
    old_path=st.none() | ANY_TEXT.filter(bool),
    insertions=st.integers(0, 200),
    deletions=st.integers(0, 200),
)


@pytest.mark.parametrize(
    ("request_", "title", "slug"),
    [
        ("Add a dark mode toggle to settings", "Add Dark Mode Toggle", "add-dark-mode-toggle"),
        ("Please, can you fix the login bug?", "Fix Login Bug", "fix-login-bug"),
        ("I'd like you to show a list of users", "Show List Users", "show-list-users"),
        ("Fix bug", "Fix Bug Session", "fix-bug"),
        ("list of users", "List of Users", "list-users"),
        ("deploy", "Deploy Coding Session", "deploy"),
        (
            "Support C++ and don't break `src/a.py`",
            "Support C++ Don't Break src/a.py",
            "support-c-dont-break-src-a-py",
        ),
        ("größere Ćevapčići für Łódź", "Größere Ćevapčići Für Łódź", "grossere-cevapcici-fur-lodz"),
        ("暗いモードを追加", "暗いモードを追加 Coding Session", "session-866a4650"),
        ("Добавить тёмную тему", "Добавить Тёмную Тему", "session-61dd6347"),
        ("🚀🚀", "Coding Session 6708b29c", "session-6708b29c"),
        ("main", "Main Coding Session", "session-main"),
        ("refs/heads/main", "refs/heads/main Coding Session", "session-refs-heads-main"),
    ],
)
def test_a_session_is_named_after_the_words_of_its_request(request_: str, title: str, slug: str) -> None:
    """The words that say something stay, in their order; a name is never empty and never protected."""
    assert fallback.name_session(request_) == (title, slug)


@given(ANY_TEXT)
def test_any_request_gives_a_name(request: str) -> None:
    """Whatever is asked for, there is a title and a slug, and the same ones again."""
    assert_session(*fallback.name_session(request))
    assert fallback.name_session(request) == fallback.name_session(request)


def changed(letters: str, *paths: str) -> tuple[Change, ...]:
    """Make changes of `letters`, the first with the most lines; `old>new` is a rename."""
    changes = []
    for lines, letter, path in zip(range(len(paths), 0, -1), letters, paths, strict=True):
        old, arrow, new = path.rpartition(">")
        changes.append(Change(status=letter, path=new, old_path=old if arrow else None, insertions=lines))  # type: ignore[arg-type]
    return tuple(changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (changed("A", "parser.py"), "Add parser.py"),
        (changed("M", "src/parser.py"), "Update parser.py in src/"),
        (changed("D", "old.txt"), "Delete old.txt"),
        (changed("T", "run.sh"), "Change the type of run.sh"),
        (changed("R", "a.py>b.py"), "Rename a.py to b.py"),
        (changed("R", "a.py>lib/a.py"), "Move a.py to lib/"),
        (changed("R", "lib/a.py>a.py"), "Move a.py to the top folder"),
        (changed("C", "src/a.py>src/b.py"), "Copy a.py to b.py in src/"),
        (changed("MM", "src/a.py", "src/b.py"), "Update a.py and b.py in src/"),
        (changed("AD", "a.py", "b.py"), "Add a.py and delete b.py"),
        (
            changed("MMM", "src/parser.py", "src/x/a.py", "src/y.py"),
            "Update parser.py and 2 other files in src/",
        ),
        (changed("AMM", "a.py", "b.py", "lib/c.py"), "Add a.py and change 2 other files"),
        (changed("M", "a\nb.py"), "Update a?b.py"),
        ((), "Make a commit without changes to files"),
    ],
)
def test_a_commit_is_described_by_its_files(changes: tuple[Change, ...], message: str) -> None:
    """The subject says what was done to which file, how many others, and where."""
    assert fallback.describe_commit(changes) == message


def test_a_large_commit_lists_its_files() -> None:
    """A body names the files, of many only the first twenty."""
    message = fallback.describe_commit(
        tuple(Change(status="M", path=f"src/{n:02}.py", insertions=9) for n in range(30))
    )

    assert message.startswith(
        "Update 00.py and 29 other files in src/\n\n- Update src/00.py\n- Update src/01.py\n"
    )
    assert message.endswith("\n- Update src/19.py\n- and 10 more files")


@given(st.lists(CHANGES, max_size=30).map(tuple))
def test_any_files_give_a_message(changes: tuple[Change, ...]) -> None:
    """Whatever the files are called, the message keeps to the rules."""
    assert_message(fallback.describe_commit(changes))


def test_a_pull_request_of_one_commit_is_called_as_the_commit() -> None:
    """One commit says all: its subject is the title."""
    title, body = fallback.describe_pull_request(
        ("Add dark mode toggle\n\nIt is dark.",), changed("A", "dark.css")
    )

    assert title == "Add dark mode toggle"
    assert body == "Changes 1 file (+1 -0):\n\n- Add dark.css"


def test_a_pull_request_of_more_commits_lists_them() -> None:
    """The title says how many more there are, the body which."""
    title, body = fallback.describe_pull_request(
        ("Add a toggle", "Fix it", "Test it"), changed("AM", "a", "b")
    )

    assert title == "Add a toggle and 2 other changes"
    assert body == "Changes 2 files (+3 -0) in 3 commits:\n\n- Add a toggle\n- Fix it\n- Test it"
