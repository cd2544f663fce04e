"""Trailers: `git interpret-trailers` and `git commit --signoff` are the judges."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from github_worker.git.trailers import add_trailers, sign_off
from tests.support.repositories import GIT_ENV, git

GRACE = ("Co-authored-by", "Grace <g@example.com>")
LINES = [
    *("Fix it", "words and words", "", "", "Refs: 12", "Foo:bar", "Foo : bar", " goes on", "\tgoes on", "  "),
    *("# comment", "Signed-off-by: A B <a@b.c>", "(cherry picked from commit abc)", "Conflicts:", "\tfile"),
    *(
        "Co-authored-by: Grace <g@example.com>",
        "co-authored-by: grace <G@example.com>",
        "---",
        "Bug #43",
        "x:",
    ),
    *("-:", "http://a.b/c", "Note: this", "ünï: x", "a\x0bb: c", "\x0b", "x\r", "\r", "A\u2028B: c"),
    "# ------------------------ >8 ------------------------",
]
MESSAGES = [
    "Fix it\n",
    "Fix it\n\nBecause.\n",
    "Fix it\n\nRefs: 12\n",
    "Fix it\n\nWords.\n\nRefs: 12\nReviewed-by: A <a@b.c>\n",
    "Fix it\n\nWords: not all\nof them are trailers.\n",
    "Fix it\n\nWords\nand words.\nSigned-off-by: A <a@b.c>\n",
    "Refs: 12\n",
    "Fix it\n\nCo-authored-by: Grace <g@example.com>\n",
    "Fix it\n\nSee:\n\n    code\n",
]


def interpret(message: str, trailers: list[tuple[str, str]]) -> str:
    """Let git add trailers."""
    options = [f"--trailer={token}: {value}" for token, value in trailers]
    command = ("interpret-trailers", "--no-divider", "--if-exists=addIfDifferent", *options)
    return git(*command, stdin=message.encode()).decode()


def commit_signed_off(folder: Path, message: str) -> str:
    """Let git commit, and return the message."""
    who = {f"GIT_{role}_{word}": "w@e.c" for role in ("AUTHOR", "COMMITTER") for word in ("NAME", "EMAIL")}
    git("init", "--quiet", folder)
    command = ("commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "--signoff", "--file=-")
    git("-C", folder, *command, stdin=message.encode(), env=GIT_ENV | who)
    return git("-C", folder, "cat-file", "commit", "HEAD").decode().partition("\n\n")[2]


def compose(dice: random.Random) -> str:
    """Make a message of lines that mean something."""
    text = "\n".join(dice.choice(LINES) for _ in range(dice.randint(1, 9))).strip()
    return f"{text or 'x'}\n"


@pytest.mark.parametrize("message", MESSAGES)
def test_trailers_are_where_git_puts_them(message: str) -> None:
    """In the paragraph of trailers that there is, or in one of their own; none twice."""
    for trailers in ([GRACE], [GRACE, ("Co-authored-by", "Ada <a@b.c>")], [GRACE, GRACE]):
        assert add_trailers(message, trailers) == interpret(message, trailers)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_sign_off_is_where_git_puts_it(message: str, tmp_path: Path) -> None:
    """And signed off again it is the same."""
    done = sign_off(message, "w@e.c <w@e.c>")
    assert done == commit_signed_off(tmp_path, message)
    assert sign_off(done, "w@e.c <w@e.c>") == done


@pytest.mark.parametrize("seed", range(30))
def test_odd_messages_end_as_git_ends_them(seed: int, tmp_path: Path) -> None:
    """Comments, continued lines, cut marks, and what only looks like a trailer."""
    dice = random.Random(seed)  # noqa: S311 (to be repeated)
    for _ in range(5):
        message = compose(dice)
        trailers = dice.choices([GRACE, ("Co-authored-by", "Ada <a@b.c>")], k=2)
        assert add_trailers(message, trailers) == interpret(message, trailers), message
    assert sign_off(message, "w@e.c <w@e.c>") == commit_signed_off(tmp_path, message), message


def test_a_sign_off_that_is_not_the_last_is_not_repeated() -> None:
    """Git would say it twice."""
    message = "Fix it\n\nSigned-off-by: W <w@e.c>\nRefs: 12\n"
    assert sign_off(message, "W <w@e.c>") == message
