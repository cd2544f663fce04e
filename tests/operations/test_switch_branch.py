"""switch-branch, with git as the judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from github_worker.contract import AnyEvent, Progress
from github_worker.errors import BranchNotFound, SessionConflict, UncommittedChanges, UnsupportedRepository
from tests.fidelity.arena import Arena
from tests.fidelity.branch_judge import judge_switch


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    """Yield an arena whose session is on main, beside a branch `work` that changes `a`."""
    with Arena(tmp_path / "arena") as arena:
        arena.start({"a": "a\n", "b": "b\n", "old": "old\n"})
        arena.git("checkout", "--quiet", "-b", "work")
        arena.write({"a": "work\n", "new": "new\n", "old": None})
        arena.git("add", "--all")
        arena.git("commit", "--quiet", "--message=Work")
        arena.git("checkout", "--quiet", "main")
        yield arena


def put(arena: Arena) -> bytes:
    """Store the session as it is, and return it."""
    arena.put(arena.pack())
    archive = arena.get()
    assert archive is not None
    return archive


async def switch(arena: Arena, branch: str = "work") -> object:
    """Switch on both sides, and return the result on which git agrees."""
    put(arena)
    verdict = await judge_switch(arena, branch)
    assert verdict.error is None
    assert not verdict.differences, verdict
    return verdict.result


async def test_a_branch_of_the_session(arena: Arena) -> None:
    """It needs nothing of the remote."""
    arena.remote.path.rename(arena.remote.path.with_name("gone"))
    put(arena)
    result = await arena.runner.switch(branch="work", access_token=None)
    assert (result.branch, result.previous_branch, result.switched, result.created) == (
        "work",
        "main",
        True,
        False,
    )
    arena.lay_out()
    assert arena.git.lines("branch", "--show-current") == ["work"]
    assert not arena.git("status", "--porcelain")
    assert arena.runner.stages == ["downloading_session", "switching_branch", "branch_switched", "uploading"]


async def test_edits_are_carried(arena: Arena) -> None:
    """Of files that are the same on both branches: staged, unstaged and new ones."""
    arena.write({"b": "edited\n", "mine": "mine\n", "staged": "staged\n"})
    arena.git("add", "staged")
    await switch(arena)
    arena.lay_out()
    assert arena.git("status", "--porcelain", "--untracked-files=all") == b" M b\nA  staged\n?? mine\n"


@pytest.mark.parametrize(
    ("files", "paths"),
    [
        ({"a": "edited\n"}, ["a"]),
        ({"new": "mine\n"}, ["new"]),
        ({"old": "edited\n"}, ["old"]),
        ({"new/inner": "mine\n"}, ["new/inner"]),
        ({"a": "edited\n", "old": "edited\n"}, ["a", "old"]),
    ],
    ids=["edited", "untracked", "deleted there", "a folder", "several"],
)
async def test_edits_in_the_way_are_named(arena: Arena, files: dict[str, str], paths: list[str]) -> None:
    """As git refuses them, and nothing changes."""
    arena.write(files)
    before = put(arena)
    with pytest.raises(UncommittedChanges) as caught:
        await arena.runner.switch(branch="work")
    assert caught.value.data == {"paths": paths}
    assert arena.get() == before
    assert arena.git.try_("switch", "work").returncode


async def test_what_is_staged_as_the_branch_has_it_is_no_edit(arena: Arena) -> None:
    """As git sees it, whatever the file is like."""
    arena.write({"a": "work\n"})
    arena.git("add", "a")
    arena.write({"a": "work\nand more\n"})
    await switch(arena)


async def test_a_file_that_is_gone_is_written(arena: Arena) -> None:
    """Where the branch has another one; where not, it stays gone."""
    arena.write({"a": None, "b": None})
    await switch(arena)


async def test_a_branch_of_the_remote_is_followed(arena: Arena) -> None:
    """The session has a branch of its name, which tracks it."""
    arena.remote.branch("feature/x")
    tip = arena.remote.commit({"remote": "remote\n"}, "Theirs", "feature/x")
    arena.write({"b": "edited\n"})
    result = await switch(arena, "feature/x")
    assert (result.commit, result.created) == (tip, True)  # type: ignore[attr-defined]
    arena.lay_out()
    assert arena.git.lines("rev-parse", "--abbrev-ref", "@{upstream}") == ["origin/feature/x"]
    assert arena.sessions.get("session-abcd1234").metadata["branch"] == "feature/x"


async def test_an_ignored_file_in_the_way_is_kept(arena: Arena) -> None:
    """Git would overwrite it without a word."""
    arena.write({".gitignore": "new\n", "new": "precious\n"})
    before = put(arena)
    with pytest.raises(UncommittedChanges, match="new"):
        await arena.runner.switch(branch="work")
    assert arena.get() == before


@pytest.mark.parametrize("place", [".gitignore", "d/.gitignore", ".git/info/exclude", "there"])
async def test_ignore_rules_that_libgit2_would_read_for_ever(arena: Arena, place: str) -> None:
    """In the worktree, in the repository or on the branch: it is said, and nothing changes."""
    rules = {".gitignore" if place == "there" else place: "*.log\n !\x0bfoo\n"}
    if place == "there":
        arena.git("checkout", "--quiet", "work")
    arena.write(rules)
    if place == "there":
        arena.git("add", "--all")
        arena.git("commit", "--quiet", "--message=Rules")
        arena.git("checkout", "--quiet", "main")
    before = put(arena)
    with pytest.raises(UnsupportedRepository, match="a vertical tab"):
        await arena.runner.switch(branch="work")
    assert arena.get() == before


async def test_a_branch_that_nobody_has(arena: Arena) -> None:
    """It is an error, and nothing changes."""
    before = put(arena)
    with pytest.raises(BranchNotFound, match="nowhere"):
        await arena.runner.switch(branch="nowhere")
    assert arena.get() == before


async def test_the_branch_that_it_is_on(arena: Arena) -> None:
    """Nothing is done, and nothing saved."""
    before = put(arena)
    result = await arena.runner.switch(branch="main")
    assert not result.switched
    assert arena.get() == before


async def test_a_branch_is_no_longer_the_one_of_its_request(arena: Arena) -> None:
    """create-branch, asked again for what it did, does not take another branch for its own."""
    put(arena)
    first = await arena.runner.branch(base_branch="main")
    await arena.runner.switch(branch="work")
    again = await arena.runner.branch(base_branch="main")
    assert first.branch_name != "work"
    assert again.branch_name not in {"work", first.branch_name}


async def test_a_request_that_is_repeated_is_answered(arena: Arena) -> None:
    """With what it achieved."""
    put(arena)
    first = await arena.runner.switch(branch="work", request_id="r-1")
    assert await arena.runner.switch(branch="work", request_id="r-1") == first
    assert first.previous_branch == "main"


@pytest.mark.parametrize("is_committed", [False, True])
async def test_a_newer_version_of_the_session(arena: Arena, is_committed: bool) -> None:
    """An edit of somebody who saved it meanwhile is carried; a commit is not passed over."""
    put(arena)
    arena.write({"b": "edited meanwhile\n"})
    if is_committed:
        arena.git("commit", "--quiet", "--all", "--message=Meanwhile")
    newer = arena.pack()

    def save(event: AnyEvent) -> None:
        if isinstance(event, Progress) and event.stage == "branch_switched":
            arena.put(newer)

    if is_committed:
        with pytest.raises(SessionConflict):
            await arena.runner.switch(save, branch="work")
        assert arena.get() == newer
        return
    await arena.runner.switch(save, branch="work")
    arena.lay_out()
    assert arena.git.lines("branch", "--show-current") == ["work"]
    assert arena.git("status", "--porcelain") == b" M b\n"
