"""Merging a base branch, with `git merge` as the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.git.merge_rounds import MergeRound, judge
from tests.git.rebase_rounds import History, Maker, Tree
from tests.git.test_rebase_fidelity import text, tree

SEEDS = range(25)


def merge(folder: Path, base: Tree, ours: Tree, theirs: Tree) -> MergeRound:
    """Merge one commit into another one, of one base."""
    history = History()
    start = history.add(base)
    return judge(folder, history, history.add(ours, start), history.add(theirs, start))


@pytest.mark.parametrize("plain", [False, True], ids=["moves", "plain"])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_histories_end_as_git_ends_them(seed: int, plain: bool, tmp_path: Path) -> None:
    """The same tree, the same conflicts to the byte, or a refusal."""
    history, _, ours, theirs = Maker(seed, plain=plain).round()
    done = judge(tmp_path, history, ours, theirs)
    assert done.outcome in {"same", "same conflict", "refused"}, (done.why, done.differences)


A = text("a", lines=40)
MODE = {"a": ("100755", A)}


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        (tree(a=A), tree(a=text("a", lines=40, changed=3)), tree(a=A.replace(b"a 3\n", b"b 3\n"))),
        (tree(z=A), tree(z=A, a=text("a", changed=2)), tree(z=A, a=text("a"))),
        (tree(a=A, z=A), tree(z=A), tree(a=text("a", lines=40, changed=3), z=A)),
        (tree(a=A, z=A), tree(a=text("a", lines=40, changed=3), z=A), tree(z=A)),
        (tree(a=b"\0a"), tree(a=b"\0b"), tree(a=b"\0c")),
        (tree(z=A), {"z": ("100644", A)} | MODE, tree(z=A, a=A)),
        (
            {"a": ("120000", b"x"), "z": ("100644", A)},
            {"a": ("120000", b"y"), "z": ("100644", A)},
            {"a": ("120000", b"w"), "z": ("100644", A)},
        ),
        (tree(a=A), tree(a=A + b"ours"), tree(a=A + b"theirs")),
        (
            tree(a=A.replace(b"\n", b"\r\n")),
            tree(a=text("a", lines=40, changed=3).replace(b"\n", b"\r\n")),
            tree(a=A.replace(b"a 3\n", b"b 3\n").replace(b"\n", b"\r\n")),
        ),
        (tree(a__x=A), tree(b__x=text("a", lines=40, changed=3)), tree(a__x=A.replace(b"a 3\n", b"b 3\n"))),
        (
            tree(a=A) | {".gitattributes": ("100644", b"a conflict-marker-size=12\n")},
            tree(a=text("a", lines=40, changed=3))
            | {".gitattributes": ("100644", b"a conflict-marker-size=12\n")},
            tree(a=A.replace(b"a 3\n", b"b 3\n"))
            | {".gitattributes": ("100644", b"a conflict-marker-size=12\n")},
        ),
        (
            tree(a=A) | {".gitattributes": ("100644", b"a -merge\n")},
            tree(a=text("a", lines=40, changed=3)) | {".gitattributes": ("100644", b"a -merge\n")},
            tree(a=A.replace(b"a 9\n", b"b 9\n")) | {".gitattributes": ("100644", b"a -merge\n")},
        ),
    ],
    ids=[
        *("content", "add/add", "deleted here", "deleted there", "binary", "modes", "links", "no newline"),
        *("crlf", "renamed", "marker size", "no merge"),
    ],
)
def test_conflicts_of_every_kind(tmp_path: Path, base: Tree, ours: Tree, theirs: Tree) -> None:
    """The files, the index and what git remembers are git's."""
    done = merge(tmp_path, base, ours, theirs)
    assert done.outcome == "same conflict", (done.why, done.differences)


def test_conflicts_that_are_close_are_shown_as_one(tmp_path: Path) -> None:
    """Three lines between them, or fewer; and what both sides have is in none."""
    ours = A.replace(b"a 3\n", b"o 3\n").replace(b"a 6\n", b"o 6\n").replace(b"a 20\n", b"same\no 20\n")
    theirs = A.replace(b"a 3\n", b"t 3\n").replace(b"a 6\n", b"t 6\n").replace(b"a 20\n", b"same\nt 20\n")
    done = merge(tmp_path, tree(a=A), tree(a=ours), tree(a=theirs))
    assert done.outcome == "same conflict", (done.why, done.differences)


@pytest.mark.parametrize("is_conflict", [False, True])
def test_two_bases_are_merged_first(tmp_path: Path, is_conflict: bool) -> None:
    """Where two branches were merged across each other."""
    history = History()
    start = history.add(tree(a=A, b=A))
    one = history.add(tree(a=text("a", lines=40, changed=3), b=A), start)
    two = history.add(tree(a=A, b=text("a", lines=40, changed=30)), start)
    both = tree(a=text("a", lines=40, changed=3), b=text("a", lines=40, changed=30))
    ours, theirs = history.add(both, one, two), history.add(both, two, one)
    changed = both["a"][1].replace(b"a 9\n", b"ours\n")
    other = both["a"][1].replace(b"a 9\n", b"theirs\n") if is_conflict else both["a"][1] + b"theirs\n"
    ours = history.add(both | tree(a=changed), ours)
    theirs = history.add(both | tree(a=other), theirs)
    done = judge(tmp_path, history, ours, theirs)
    assert done.outcome == ("same conflict" if is_conflict else "same"), (done.why, done.differences)
