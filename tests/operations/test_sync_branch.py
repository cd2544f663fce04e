"""sync-branch, and the other endpoints on a session in the middle of a merge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from github_worker.contract import AnyEvent, Author, Progress, Warned
from github_worker.errors import (
    BranchNotFound,
    JobError,
    MergeConflict,
    PushConflict,
    SecretDetected,
    UncommittedChanges,
    UnsupportedRepository,
)
from tests.fidelity.arena import Arena
from tests.fidelity.branch_judge import judge_sync

LINES = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    """Yield an arena whose session is on a branch `work`, one commit ahead of where main was."""
    with Arena(tmp_path / "arena") as arena:
        arena.start({"a": LINES, "b": LINES, "c": "c\n"})
        arena.git("checkout", "--quiet", "-b", "work")
        yield arena


def ours(arena: Arena, line: int = 17, *, push: bool = False) -> None:
    """Commit an edit of the session's."""
    arena.write({"a": LINES.replace(f"line {line}\n", "ours\n")})
    arena.git("commit", "--quiet", "--all", "--message=Ours")
    if push:
        arena.git("push", "--quiet", "--set-upstream", "origin", "work")


def theirs(arena: Arena, line: int = 2) -> str:
    """Let main move on."""
    return arena.push_theirs({"a": LINES.replace(f"line {line}\n", "theirs\n"), "new": "new\n"})


def put(arena: Arena) -> bytes:
    """Store the session as it is, and return it."""
    arena.put(arena.pack())
    archive = arena.get()
    assert archive is not None
    return archive


def warnings(arena: Arena) -> list[str]:
    """Return the codes of what the last job warned of."""
    return [event.code for event in arena.runner.events if isinstance(event, Warned)]


async def leave_conflict(arena: Arena) -> None:
    """Leave the session in the middle of a merge, whose file `a` has a conflict."""
    ours(arena, 2)
    theirs(arena, 2)
    put(arena)
    result = await arena.runner.sync(leave_conflicts=True)
    assert (result.outcome, result.conflicts) == ("conflicts", ("a",))
    arena.lay_out()


async def test_a_merge_is_gits(arena: Arena) -> None:
    """The merge commit has git's tree, parents and message, and is not pushed."""
    ours(arena, push=True)
    tip = theirs(arena)
    arena.write({"c": "edited\n", "untracked": "u\n"})
    put(arena)
    verdict = await judge_sync(arena)
    assert not verdict.differences, verdict
    assert (verdict.result.outcome, verdict.result.commits, verdict.result.base_commit) == ("merge", 1, tip)
    assert verdict.result.branch == "work"
    assert not verdict.result.force_pushed
    assert arena.runner.stages == ["downloading_session", "fetching_base", "syncing", "synced", "uploading"]
    arena.lay_out()
    assert len(arena.git.lines("rev-list", "--parents", "-1", "HEAD")[0].split()) == 3
    assert arena.remote.branches()["work"] != verdict.result.commit


async def test_a_merge_has_the_author_that_is_asked_for(arena: Arena) -> None:
    """The committer is the worker."""
    ours(arena)
    theirs(arena)
    put(arena)
    await arena.runner.sync(author=Author("Grace", "grace@example.com"))
    arena.lay_out()
    assert arena.git.lines("log", "-1", "--format=%an <%ae> %cn") == [
        "Grace <grace@example.com> GitHub Worker"
    ]


async def test_a_branch_without_commits_is_fast_forwarded(arena: Arena) -> None:
    """As git does, with no commit."""
    tip = theirs(arena)
    put(arena)
    verdict = await judge_sync(arena)
    assert not verdict.differences, verdict
    assert (verdict.result.outcome, verdict.result.commit) == ("fast-forward", tip)


async def test_what_has_its_base_already_is_not_saved(arena: Arena) -> None:
    """Nothing is done."""
    ours(arena)
    before = put(arena)
    result = await arena.runner.sync()
    assert (result.outcome, result.commits) == ("up-to-date", 0)
    assert arena.get() == before


async def test_a_conflict_changes_nothing(arena: Arena) -> None:
    """The error names the paths, and the session is as it was."""
    ours(arena, 2)
    theirs(arena, 2)
    before = put(arena)
    with pytest.raises(MergeConflict, match="main conflicts with work: a") as caught:
        await arena.runner.sync()
    assert caught.value.data == {"conflicts": ["a"]}
    assert arena.get() == before


async def test_a_conflict_that_is_left_is_gits(arena: Arena) -> None:
    """The files, the index and what git remembers of the merge."""
    ours(arena, 2)
    theirs(arena, 2)
    arena.write({"c": "edited\n"})
    put(arena)
    verdict = await judge_sync(arena, leave_conflicts=True)
    assert not verdict.differences, verdict
    arena.lay_out()
    assert b"<<<<<<< HEAD\nours\n=======\ntheirs\n>>>>>>> origin/main\n" in (arena.folder / "a").read_bytes()
    words = (arena.folder / ".git/MERGE_MSG").read_text()
    assert words == "Merge remote-tracking branch 'origin/main' into work\n\n# Conflicts:\n#\ta\n"
    assert arena.git.lines("rev-parse", "ORIG_HEAD") == arena.git.lines("rev-parse", "HEAD")


async def test_the_next_commit_concludes_the_merge(arena: Arena) -> None:
    """It has both parents and git's message, and is pushed."""
    await leave_conflict(arena)
    arena.write({"a": LINES.replace("line 2\n", "both\n")})
    put(arena)
    result = await arena.runner.commit()
    assert result.pushed
    assert result.commit_message == "Merge remote-tracking branch 'origin/main' into work"
    assert warnings(arena) == []
    arena.lay_out()
    parents = arena.git.lines("rev-list", "--parents", "-1", "HEAD")[0].split()[1:]
    assert parents[1] == arena.remote.branches()["main"]
    assert not (arena.folder / ".git/MERGE_HEAD").exists()
    assert not arena.git("status", "--porcelain")


@pytest.mark.parametrize("is_added", [False, True], ids=["unmerged", "added"])
async def test_markers_are_not_committed_without_a_word(arena: Arena, is_added: bool) -> None:
    """They are committed as `git commit -a` does, and a warning names the file."""
    await leave_conflict(arena)
    if is_added:
        arena.git("add", "--all")
    put(arena)
    await arena.runner.commit(message="Conclude")
    assert warnings(arena) == ["conflict_markers"]
    assert "a is committed" in arena.warnings()[0]


async def test_markers_that_the_base_brings_are_its_own(arena: Arena) -> None:
    """A file that a merge took as it is on one side is no conflict that was left."""
    arena.push_theirs({"fixture": "<<<<<<< x\n=======\n>>>>>>> y\n"})
    await leave_conflict(arena)
    arena.write({"a": LINES})
    put(arena)
    await arena.runner.commit(message="Conclude")
    assert warnings(arena) == []


async def test_edits_in_the_way_are_named(arena: Arena) -> None:
    """As git refuses to merge over them, and nothing changes."""
    ours(arena)
    theirs(arena)
    arena.write({"a": LINES, "new": "mine\n"})
    before = put(arena)
    with pytest.raises(UncommittedChanges, match="in the way: a, new") as caught:
        await arena.runner.sync()
    assert caught.value.data == {"paths": ["a", "new"]}
    assert arena.get() == before


async def test_a_rebase_is_gits(arena: Arena) -> None:
    """While nothing is pushed; edits are carried along."""
    ours(arena)
    theirs(arena)
    arena.write({"c": "edited\n"})
    put(arena)
    verdict = await judge_sync(arena, method="rebase")
    assert not verdict.differences, verdict
    assert verdict.result.outcome == "rebase"
    assert not verdict.result.force_pushed


async def test_a_pushed_branch_is_not_rebased(arena: Arena) -> None:
    """Unless force is allowed."""
    ours(arena, push=True)
    theirs(arena)
    before = put(arena)
    with pytest.raises(PushConflict, match="forceWithLease"):
        await arena.runner.sync(method="rebase")
    assert arena.get() == before


async def test_a_branch_that_was_pushed_at_its_start_is_rebased(arena: Arena) -> None:
    """As create-branch pushes it: nothing of its own is there."""
    arena.git("push", "--quiet", "--set-upstream", "origin", "work")
    ours(arena)
    theirs(arena)
    put(arena)
    result = await arena.runner.sync(method="rebase")
    assert (result.outcome, result.force_pushed) == ("rebase", False)
    assert (await arena.runner.commit()).pushed


async def test_a_pushed_branch_is_rebased_by_force(arena: Arena) -> None:
    """It is pushed over what the session knew to be there."""
    ours(arena, push=True)
    tip = theirs(arena)
    put(arena)
    result = await arena.runner.sync(method="rebase", force_with_lease=True)
    assert (result.outcome, result.force_pushed) == ("rebase", True)
    assert arena.remote.branches()["work"] == result.commit
    assert arena.remote.log("work")[0].parents == (tip,)
    arena.lay_out()
    assert arena.git.lines("rev-parse", "origin/work") == [result.commit]
    assert arena.runner.stages[-3:] == ["pushing", "pushed", "uploading"]


async def test_what_somebody_else_pushed_is_not_overwritten(arena: Arena) -> None:
    """The lease is what the session last saw; the session stays as it was."""
    ours(arena, push=True)
    theirs(arena)
    before = put(arena)
    tip = arena.push_theirs({"other": "other\n"}, "work")
    with pytest.raises(PushConflict, match="moved"):
        await arena.runner.sync(method="rebase", force_with_lease=True)
    assert arena.get() == before
    assert arena.remote.branches()["work"] == tip


async def test_a_forced_push_whose_outcome_was_lost_is_taken_over(arena: Arena) -> None:
    """The session was not saved after the push: asked again, the branch is found as it would be made."""
    ours(arena, push=True)
    theirs(arena)
    before = put(arena)
    first = await arena.runner.sync(method="rebase", force_with_lease=True)
    arena.put(before)
    again = await arena.runner.sync(method="rebase", force_with_lease=True)
    assert again.commit == first.commit == arena.remote.branches()["work"]


async def test_a_credential_is_not_pushed_by_force(arena: Arena) -> None:
    """Neither remote nor session change."""
    ours(arena, push=True)
    theirs(arena)
    arena.write({"key": f"ghp_{'a1B2' * 9}\n"})
    arena.git("add", "--all")
    arena.git("commit", "--quiet", "--message=Leak")
    before, branches = put(arena), arena.remote.branches()
    with pytest.raises(SecretDetected):
        await arena.runner.sync(method="rebase", force_with_lease=True)
    assert (arena.get(), arena.remote.branches()) == (before, branches)


async def test_a_rebase_with_a_conflict_changes_nothing(arena: Arena) -> None:
    """It ends in an error that names the file."""
    ours(arena, 2)
    theirs(arena, 2)
    before = put(arena)
    with pytest.raises(MergeConflict, match="same lines: a"):
        await arena.runner.sync(method="rebase")
    assert arena.get() == before


async def test_a_request_that_is_repeated_is_answered(arena: Arena) -> None:
    """With what it achieved, and no second merge."""
    ours(arena)
    theirs(arena)
    put(arena)
    first = await arena.runner.sync(request_id="r-1")
    theirs(arena, 5)
    saved = arena.get()
    assert await arena.runner.sync(request_id="r-1") == first
    assert arena.get() == saved


async def test_a_base_that_is_not_there(arena: Arena) -> None:
    """It is asked for by name, or nobody knows it."""
    put(arena)
    with pytest.raises(BranchNotFound, match="no branch nowhere"):
        await arena.runner.sync(base="nowhere")


async def test_settings_that_are_not_heeded_are_told(arena: Arena) -> None:
    """By which git would write other conflicts."""
    ours(arena)
    theirs(arena)
    arena.git("config", "merge.conflictStyle", "diff3")
    put(arena)
    await arena.runner.sync()
    assert warnings(arena) == ["config_not_followed"]


async def test_a_merge_driver_is_not_run(arena: Arena, tmp_path: Path) -> None:
    """What it would make of the file is not known: it is an error, and nothing changes."""
    arena.git("config", "merge.evil.driver", f"touch {tmp_path}/run")
    arena.write({".gitattributes": "a merge=evil\n"})
    arena.git("add", "--all")
    ours(arena)
    theirs(arena)
    before = put(arena)
    with pytest.raises(MergeConflict, match="not merged by lines: a"):
        await arena.runner.sync(leave_conflicts=True)
    assert arena.get() == before
    assert not (tmp_path / "run").exists()


async def test_a_newer_version_of_the_session_is_synced(arena: Arena) -> None:
    """Somebody saved it while the merge was made: their edit stays, and the merge is there."""
    ours(arena)
    theirs(arena)
    put(arena)
    arena.write({"c": "edited meanwhile\n"})
    newer = arena.pack()

    def save(event: AnyEvent) -> None:
        if isinstance(event, Progress) and event.stage == "synced":
            arena.put(newer)

    result = await arena.runner.sync(save)
    arena.lay_out()
    assert arena.git.lines("rev-parse", "HEAD") == [result.commit]
    assert arena.git("status", "--porcelain") == b" M c\n"


# In the middle of a merge


async def test_create_branch_at_another_commit_is_refused_while_merging(arena: Arena) -> None:
    """As `git switch` refuses it; nothing changes."""
    await leave_conflict(arena)
    before = put(arena)
    with pytest.raises(UnsupportedRepository, match="A merge is in progress"):
        await arena.runner.branch(base_branch="main")
    assert arena.get() == before


async def test_create_branch_where_it_is_takes_the_merge_along(arena: Arena) -> None:
    """As `git checkout -b` does."""
    await leave_conflict(arena)
    put(arena)
    await arena.runner.branch(base_branch="work")
    arena.lay_out()
    assert (arena.folder / ".git/MERGE_HEAD").exists()
    assert arena.git.lines("diff", "--name-only", "--diff-filter=U") == ["a"]


@pytest.mark.parametrize("operation", ["switch", "sync"])
async def test_another_branch_or_merge_is_refused_while_merging(arena: Arena, operation: str) -> None:
    """As git refuses both."""
    await leave_conflict(arena)
    before = put(arena)
    with pytest.raises(UnsupportedRepository, match="A merge is in progress"):
        await (arena.runner.switch(branch="main") if operation == "switch" else arena.runner.sync())
    assert arena.get() == before


async def test_clone_repository_leaves_a_merge_alone(arena: Arena) -> None:
    """It fetches, and moves nothing, even where all conflicts are resolved as they were."""
    await leave_conflict(arena)
    arena.git("checkout", "--ours", "a")
    arena.git("add", "a")
    arena.git("rm", "--quiet", "-f", "new")
    arena.git("push", "--quiet", "origin", "work")
    arena.push_theirs({"other": "other\n"}, "work")
    put(arena)
    result = await arena.runner.clone(arena.remote.url)
    assert not result.pulled


async def test_a_pull_request_does_not_mind_a_merge(arena: Arena) -> None:
    """It goes by the metadata, and ends as without a merge: this host has no pull requests."""
    errors = []
    for begin in (put, leave_conflict):
        if (begun := begin(arena)) and not isinstance(begun, bytes):
            await begun
        with pytest.raises(JobError) as caught:
            await arena.runner.auto()
        errors.append((caught.value.code, str(caught.value)))
    assert errors[0] == errors[1]


async def test_a_merge_in_progress_is_told(arena: Arena) -> None:
    """With the letters of its conflicts."""
    await leave_conflict(arena)
    put(arena)
    result = await arena.runner.inspect()
    assert result.merging
    assert [(change.status, change.path) for change in result.changes] == [("UU", "a"), ("A ", "new")]
