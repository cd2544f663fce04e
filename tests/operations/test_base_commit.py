"""Branches that start at a commit, which the session has or the remote gives out."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_worker.contract import CreateBranch, decode_request
from github_worker.errors import CommitNotFound, MergeConflict
from tests.operations.conftest import SESSION, JobRunner
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import SessionFolder

NONE = "1" * 40


@pytest.fixture
def first(origin: Origin) -> str:
    """Return the first commit of two."""
    first = origin.branches()["main"]
    origin.commit({"second.txt": "2\n", "README.md": "# Second\n"}, "Second")
    return first


def status(sessions: SessionFolder, folder: Path) -> tuple[str, str]:
    """Return HEAD's commit, and what git says of the worktree."""
    worktree = sessions.get(SESSION).extract(folder)
    head = git("-C", worktree, "rev-parse", "HEAD").decode().strip()
    git("-C", worktree, "fsck", "--strict")
    return head, git("-C", worktree, "status", "--porcelain").decode()


@pytest.mark.parametrize("depth", [None, 1])
async def test_init_session_starts_at_a_commit(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, first: str, tmp_path: Path, depth: int | None
) -> None:
    """The branch is there, on the remote too, with the files of that commit; a shallow clone fetches it."""
    origin.configure("uploadpack.allowReachableSHA1InWant", "true")  # as GitHub and GitLab have it
    result = await runner.init(origin.url, base_commit=first, depth=depth)
    assert (result.commit, result.pushed, result.base_branch) == (first, True, "main")
    assert origin.branches()[result.branch_name] == first
    assert status(sessions, tmp_path) == (first, "")
    assert not (tmp_path / "workspace/workspace/demo/second.txt").exists()


async def test_create_branch_starts_at_a_commit_of_the_session(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, first: str, tmp_path: Path
) -> None:
    """Edits that are not in the way are carried along."""
    await runner.clone(origin.url)
    sessions.edit(SESSION, {"src/app.py": "print('edited')\n", "new.txt": "new\n"})
    result = await runner.branch(base_commit=first)
    assert (result.commit, result.pushed) == (first, True)
    assert status(sessions, tmp_path) == (first, " M src/app.py\n?? new.txt\n")


async def test_edits_that_are_in_the_way(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, first: str
) -> None:
    """They are not overwritten: the job ends, and the session is as it was."""
    await runner.clone(origin.url)
    sessions.edit(SESSION, {"README.md": "# Edited\n"})
    before = sessions.get(SESSION).data
    with pytest.raises(MergeConflict):
        await runner.branch(base_commit=first)
    assert sessions.get(SESSION).data == before


async def test_a_commit_that_came_later(runner: JobRunner, origin: Origin, sessions: SessionFolder) -> None:
    """The base branch is fetched for it."""
    await runner.clone(origin.url)
    later = origin.commit({"later.txt": "1\n"})
    origin.commit({"latest.txt": "1\n"})
    assert (await runner.branch(base_commit=later)).commit == later


async def test_a_commit_of_another_branch(runner: JobRunner, origin: Origin, sessions: SessionFolder) -> None:
    """The remote gives it out, where it gives out what it has."""
    await runner.clone(origin.url)
    origin.branch("other")
    other = origin.commit({"other.txt": "1\n"}, branch="other")
    origin.commit({"more.txt": "1\n"}, branch="other")
    with pytest.raises(CommitNotFound, match=other):
        await runner.branch(base_commit=other)
    origin.configure("uploadpack.allowReachableSHA1InWant", "true")
    result = await runner.branch(base_commit=other)
    assert (result.commit, result.pushed) == (other, True)
    assert origin.branches()[result.branch_name] == other


@pytest.mark.parametrize("oid", [NONE, "2" * 64])
async def test_a_commit_that_nobody_has(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, oid: str
) -> None:
    """It is named, and the session is as it was."""
    await runner.clone(origin.url)
    before = sessions.get(SESSION).data
    with pytest.raises(CommitNotFound, match=oid):
        await runner.branch(base_commit=oid)
    assert sessions.get(SESSION).data == before
    assert list(origin.branches()) == ["main"]


async def test_what_is_no_commit(runner: JobRunner, origin: Origin, sessions: SessionFolder) -> None:
    """A tree or a file of the session is none."""
    await runner.clone(origin.url)
    for name in ("main^{tree}", "main:README.md"):
        with pytest.raises(CommitNotFound):
            await runner.branch(base_commit=origin.git("rev-parse", name).decode().strip())


async def test_a_new_session_at_a_commit_that_nobody_has(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """No session is begun."""
    with pytest.raises(CommitNotFound):
        await runner.init(origin.url, base_commit=NONE)
    assert not sessions.archive(SESSION).exists()


async def test_an_unpushed_commit_of_the_session_is_screened(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """Named or not, what the remote does not have yet is looked through before it is pushed."""
    origin.reject_pushes("Not now")
    sessions.edit(SESSION, {"leak.txt": f"{runner.token}\n"})
    kept = await runner.commit(on_secret="allow")
    origin.accept_pushes()
    result = await runner.branch("Another thing", base_commit=kept.commit_hash)
    assert (result.pushed, result.push_error.code) == (False, "secret_detected")


async def test_the_branch_that_the_session_is_on_stays(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, first: str
) -> None:
    """Asked again for the same work, the answer is its branch, where it is now."""
    await runner.init(origin.url, base_commit=first)
    again = await runner.init(origin.url, base_commit=origin.branches()["main"])
    assert again.commit == first


@pytest.mark.parametrize("oid", ["main", "HEAD~1", "abc1234", "A" * 40, "1" * 41])
def test_what_names_no_commit_in_full_is_refused(oid: str) -> None:
    """Before a job starts, naming the field."""
    body = '{"sessionId": "s", "githubAccessToken": "t", "userRequest": "x", "baseBranch": "main", %s}'
    with pytest.raises(ValueError, match="`baseCommit` must be a commit in full"):
        decode_request(CreateBranch, (body % f'"baseCommit": "{oid}"').encode())
