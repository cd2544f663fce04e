"""Rebasing on a remote that moved, with `git pull --rebase` as the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_worker.git.lines import LinesConflict, merge
from tests.git.rebase_rounds import History, Maker, Round, Tree, judge

SEEDS = range(20)
BOTH, ALONE, SAME = "both conflict", "only the service conflicts", "same"


def text(name: str, *, lines: int = 12, changed: int | None = None) -> bytes:
    """Return a file's lines, all its own, perhaps with one of them changed."""
    return b"".join(
        b"%s %d%s\n" % (name.encode(), line, b" changed" if line == changed else b"") for line in range(lines)
    )


def tree(**files: bytes) -> Tree:
    """Return a tree of regular files; `__` in a name is a slash."""
    return {name.replace("__", "/"): ("100644", content) for name, content in files.items()}


def rebase(folder: Path, base: Tree, local: Tree, remote: Tree) -> Round:
    """Rebase one commit on another one."""
    history = History()
    start = history.add(base)
    return judge(folder, history, start, history.add(local, start), history.add(remote, start))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_histories_end_as_git_ends_them(seed: int, tmp_path: Path) -> None:
    """Moves, copies, folders and types in any mixture: git's commits, or a conflict, though git has none."""
    done = judge(tmp_path, *Maker(seed).round())
    print(done.outcome, done.why)  # noqa: T201 — shown with -s, and when it fails
    assert done.outcome in {SAME, BOTH, ALONE}


@pytest.mark.parametrize("seed", SEEDS)
def test_random_histories_without_moves_conflict_where_git_does(seed: int, tmp_path: Path) -> None:
    """Edits, additions, deletions, types and permissions: git's commits, or git's conflict."""
    done = judge(tmp_path, *Maker(seed, plain=True).round())
    assert done.outcome in {SAME, BOTH}, done.why


def test_a_file_that_one_side_moved_and_the_other_left_alone_is_where_it_was_moved(tmp_path: Path) -> None:
    """Case 1."""
    done = rebase(
        tmp_path,
        tree(a=text("a"), b=text("b")),
        tree(a=text("a"), b=text("b", changed=1)),
        tree(c=text("a", changed=3), b=text("b")),
    )
    assert done.outcome == SAME


@pytest.mark.parametrize("remote_changed", [None, 9])
def test_a_change_follows_a_file_that_was_surely_moved(tmp_path: Path, remote_changed: int | None) -> None:
    """Case 2: the remote moved it as it was, or with a change of its own."""
    base = tree(a__x=text("x"), b=text("b"))
    done = rebase(
        tmp_path,
        base,
        tree(a__x=text("x", changed=1), b=text("b")),
        tree(c__y=text("x", changed=remote_changed), b=text("b")),
    )
    assert done.outcome == SAME


def test_a_change_of_the_remote_follows_a_file_that_the_session_moved(tmp_path: Path) -> None:
    """Case 2, the other way round."""
    done = rebase(
        tmp_path,
        tree(a=text("x"), b=b"\n"),
        tree(c=text("x"), b=b"\n"),
        tree(a=text("x", changed=4), b=b"\n"),
    )
    assert done.outcome == SAME


def test_a_change_does_not_follow_a_file_that_may_have_been_moved(tmp_path: Path) -> None:
    """Case 2: two new files are like it, and git takes the one that is more so."""
    done = rebase(
        tmp_path,
        tree(a=text("x"), z=b"\n"),
        tree(a=text("x", changed=1), z=b"\n"),
        tree(b=text("x", changed=5), c=text("x", lines=9), z=b"\n"),
    )
    assert done.outcome == ALONE


def test_a_change_of_a_deleted_file_is_a_conflict(tmp_path: Path) -> None:
    """Case 2: it went nowhere."""
    done = rebase(tmp_path, tree(a=text("a"), b=b"\n"), tree(a=text("a", changed=1), b=b"\n"), tree(b=b"\n"))
    assert done.outcome == BOTH


def test_a_file_that_became_a_link_here_and_was_moved_there_is_a_conflict(tmp_path: Path) -> None:
    """Case 3."""
    local = tree(b=b"\n") | {"a": ("120000", b"b")}
    done = rebase(tmp_path, tree(a=text("a"), b=b"\n"), local, tree(c=text("a"), b=b"\n"))
    assert done.outcome == BOTH


def test_a_file_that_both_sides_deleted_is_gone(tmp_path: Path) -> None:
    """Case 4: it went nowhere."""
    done = rebase(
        tmp_path,
        tree(a=text("a"), b=text("b")),
        tree(b=text("b", changed=1), c=text("c")),
        tree(b=text("b", changed=9)),
    )
    assert done.outcome == SAME


def test_a_file_that_both_sides_moved_to_one_place_is_merged_there(tmp_path: Path) -> None:
    """Case 4."""
    done = rebase(
        tmp_path,
        tree(a=text("a"), b=b"\n"),
        tree(c=text("a", changed=1), b=b"\n"),
        tree(c=text("a", changed=9), b=b"\n"),
    )
    assert done.outcome == SAME


@pytest.mark.parametrize("local", [tree(z=b"\n"), tree(d=text("a"), z=b"\n")], ids=["deleted", "elsewhere"])
def test_a_file_that_the_remote_moved_and_the_session_did_otherwise_is_a_conflict(
    tmp_path: Path, local: Tree
) -> None:
    """Case 4: it is deleted here, or moved to another place."""
    done = rebase(tmp_path, tree(a=text("a"), z=b"\n"), local, tree(c=text("a"), z=b"\n"))
    assert done.outcome == BOTH


@pytest.mark.parametrize("remote_moves", [True, False])
def test_a_file_added_to_a_folder_that_was_moved_is_a_conflict(tmp_path: Path, remote_moves: bool) -> None:
    """Case 5: git would put it where the folder is now, and asks."""
    base = tree(a__x=text("x"), a__y=text("y"), z=b"\n")
    moved = tree(b__x=text("x"), b__y=text("y"), z=b"\n")
    added = base | tree(a__new=text("n"))
    local, remote = (added, moved) if remote_moves else (moved, added)
    assert rebase(tmp_path, base, local, remote).outcome == BOTH


def test_a_file_added_to_a_folder_that_was_deleted_stays_in_it(tmp_path: Path) -> None:
    """Case 5: nothing of the folder went elsewhere."""
    base = tree(a__x=text("x"), z=b"\n")
    done = rebase(tmp_path, base, base | tree(a__new=text("n")), tree(z=b"\n", other=text("o")))
    assert done.outcome == SAME


def test_a_file_added_to_a_folder_that_lost_a_file_stays_in_it(tmp_path: Path) -> None:
    """Case 5: the folder is still there."""
    base = tree(a__x=text("x"), a__y=text("y"))
    done = rebase(tmp_path, base, base | tree(a__new=text("n")), tree(a__x=text("x"), b__y=text("y")))
    assert done.outcome == SAME


def test_a_file_where_the_remote_added_a_folder_is_a_conflict(tmp_path: Path) -> None:
    """Case 6, with a name in between, by which libgit2 overlooks it."""
    base = {"a-b": ("100644", b"1\n"), "z": ("100644", b"\n")}
    local = base | tree(a=text("a"))
    remote = base | {"a-b": ("100644", b"2\n")} | tree(a__x=text("x"))
    assert rebase(tmp_path, base, local, remote).outcome == BOTH


def test_a_commit_that_the_remote_has_and_took_back_is_not_made_again(tmp_path: Path) -> None:
    """git drops it by what it changes, as it does one that differs in its spaces."""
    history = History()
    base = history.add(tree(a=text("a")))
    local = history.add(tree(a=text("a", changed=3)), base)
    picked = history.add(tree(a=text("a", changed=3).replace(b"3 changed", b"3  changed")), base)
    remote = history.add(tree(a=text("a"), b=b"\n"), picked)
    done = judge(tmp_path, history, base, local, remote)
    assert done.outcome == SAME
    assert done.service == []


def test_what_the_remote_had_and_dropped_stays_dropped(tmp_path: Path) -> None:
    """After a forced push, as git does by its reference log."""
    history = History()
    first = history.add(tree(a=text("a")))
    base = history.add(tree(a=text("a"), bad=b"1\n"), first)
    local = history.add(tree(a=text("a"), bad=b"1\n", mine=b"1\n"), base)
    remote = history.add(tree(a=text("a"), theirs=b"1\n"), first)
    assert judge(tmp_path, history, base, local, remote).outcome == SAME


def test_a_merge_is_left_out_and_what_it_merged_is_not(tmp_path: Path) -> None:
    """git makes a line of the commits, in its order."""
    history = History()
    base = history.add(tree(a=b"\n"))
    one = history.add(tree(a=b"\n", one=b"1\n"), base)
    two = history.add(tree(a=b"\n", two=b"1\n"), base)
    three = history.add(tree(a=b"\n", two=b"1\n", three=b"1\n"), two)
    merged = history.add(tree(a=b"\n", one=b"1\n", two=b"1\n", three=b"1\n"), one, three)
    remote = history.add(tree(a=b"2\n"), base)
    done = judge(tmp_path, history, base, merged, remote)
    assert done.outcome == SAME
    assert done.service is not None
    assert len(done.service) == 3


def test_a_commit_that_was_empty_stays_and_one_that_becomes_so_goes(tmp_path: Path) -> None:
    """As git does unless told otherwise."""
    history = History()
    base = history.add(tree(a=text("a")))
    empty = history.add(tree(a=text("a")), base, message=b"Run it again\n")
    local = history.add(tree(a=text("a", changed=2)), empty)
    remote = history.add(tree(a=text("a", changed=2), b=b"\n"), base)
    done = judge(tmp_path, history, base, local, remote)
    assert done.outcome == SAME
    assert done.service is not None
    assert b"Run it again" in done.service[0]
    assert len(done.service) == 1


@pytest.mark.parametrize(
    ("base", "local", "remote", "outcome"),
    [("adaac", "aa", "aac", SAME), ("cbbbb", "ccbbb", "cbbb", SAME), ("bddbc", "cddb", "bdbc", BOTH)],
)
def test_lines_that_occur_often_are_merged_as_git_merges_them(
    tmp_path: Path, base: str, local: str, remote: str, outcome: str
) -> None:
    """libgit2 compares them in another way: it has a conflict, another text, and no conflict."""
    trees = [tree(a="\n".join([*version, ""]).encode()) for version in (base, local, remote)]
    assert rebase(tmp_path, *trees).outcome == outcome


@pytest.mark.parametrize("mode", ["100644", "100755"])
def test_a_file_that_both_sides_added_is_merged_if_one_is_empty(tmp_path: Path, mode: str) -> None:
    """As git does, but for different permissions."""
    base = tree(z=b"\n")
    done = rebase(tmp_path, base, base | tree(a=b"x\n"), base | {"a": (mode, b"")})
    assert done.outcome == (SAME if mode == "100644" else BOTH)


@pytest.mark.parametrize(
    ("rule", "outcome"), [("-merge", BOTH), ("binary", BOTH), ("merge=text", SAME), ("merge=union", ALONE)]
)
def test_the_rules_for_merging_a_file_are_obeyed(tmp_path: Path, rule: str, outcome: str) -> None:
    """A file that is not merged by lines is a conflict."""
    base = {".gitattributes": ("100644", f"a {rule}\n".encode())}
    local, remote = (base | tree(a=text("a", changed=line)) for line in (1, 9))
    assert rebase(tmp_path, base | tree(a=text("a")), local, remote).outcome == outcome


def test_the_rules_for_merging_are_those_of_the_remote(tmp_path: Path) -> None:
    """It took a rule back that the session's files still have."""
    base = tree(a=text("a")) | {".gitattributes": ("100644", b"a -merge\n")}
    local, remote = base | tree(a=text("a", changed=1)), base | tree(a=text("a", changed=9))
    assert (
        rebase(tmp_path, base, local, remote | {".gitattributes": ("100644", b"b -merge\n")}).outcome == SAME
    )


@pytest.mark.parametrize("encoding", [b"ISO-8859-1", b"UTF-8", b"no-such-encoding", b""])
def test_a_message_is_made_utf8(tmp_path: Path, encoding: bytes) -> None:
    """From the encoding that the commit names, and from Latin-1 where that is not what it is in."""
    history = History()
    base = history.add(tree(a=b"\n"))
    local = history.add(tree(a=b"\n", b=b"\n"), base, message=b"caf\xe9\n", encoding=encoding)
    remote = history.add(tree(a=b"2\n"), base)
    done = judge(tmp_path, history, base, local, remote)
    assert done.outcome == SAME
    assert done.service is not None
    assert done.service[0].endswith("\n\ncafé\n".encode())


def test_lines_that_occur_too_often_are_not_merged() -> None:
    """There git compares in yet another way, which is not ours to guess."""
    base = b"{\n}\n" * 100
    with pytest.raises(LinesConflict):
        merge(base, b"a\n" + base, base + b"b\n")
