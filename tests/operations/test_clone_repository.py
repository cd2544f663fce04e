"""clone-repository, against a real git server and a real folder of sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_worker.errors import AuthenticationFailed, OtherRepository, RepositoryNotFound
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import METADATA, SessionFolder, metadata, pack


async def test_a_new_session_holds_the_clone(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, tmp_path: Path
) -> None:
    """Files, metadata and a repository that git finds whole, with the token nowhere in it."""
    result = await runner.clone(origin.url)
    assert (result.cloned_path, result.branch, result.was_cloned) == ("demo", "main", True)
    assert result.commit == origin.branches()["main"]
    stored = sessions.get(SESSION)
    assert stored.metadata["github"] == {
        "repoUrl": origin.url,
        "baseBranch": "main",
        "clonedPath": "demo",
    }
    assert (stored.metadata["repositoryOwner"], stored.metadata["branch"]) == ("octo", "main")
    worktree = stored.extract(tmp_path)
    assert git("-C", worktree, "status", "--porcelain=v2", "--branch").decode().splitlines()[1:] == [
        "# branch.head main",
        "# branch.upstream origin/main",
        "# branch.ab +0 -0",
    ]
    git("-C", worktree, "fsck", "--strict")
    assert not [
        file for file in tmp_path.rglob("*") if file.is_file() and runner.token.encode() in file.read_bytes()
    ]


async def test_the_stages_come_in_order(runner: JobRunner, origin: Origin) -> None:
    """As the contract lists them."""
    await runner.clone(origin.url)
    assert runner.stages == ["downloading_session", "new_session", "cloning", "cloned", "uploading"]


async def test_a_missing_branch_falls_back_to_the_default(runner: JobRunner, origin: Origin) -> None:
    """And the events say so; a tag of that name is no branch."""
    origin.tag("v1")
    assert (await runner.clone(origin.url, branch="v1")).branch == "main"
    assert "branch_fallback" in runner.stages


async def test_another_branch_and_folder_can_be_asked_for(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """The branch is cloned under the folder's name."""
    origin.branch("dev")
    result = await runner.clone(origin.url, branch="dev", directory="site")
    assert (result.branch, result.cloned_path) == ("dev", "site")
    assert sessions.get(SESSION).read("workspace/workspace/site/README.md") == b"# Demo\n"


async def test_an_empty_repository_is_cloned(
    runner: JobRunner, git_server: GitServer, sessions: SessionFolder
) -> None:
    """There is a session with a repository that has no commit."""
    result = await runner.clone(git_server.create("octo", "empty").url)
    assert (result.branch, result.commit) == ("main", None)
    assert sessions.get(SESSION).read("workspace/workspace/empty/.git/HEAD") == b"ref: refs/heads/main\n"


async def test_what_the_session_has_besides_stays(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """Other workers' folders and unknown metadata come back as they were."""
    sessions.put(SESSION, pack(metadata(SESSION, colour="blue"), entries={".claude/state.json": "{}"}))
    await runner.clone(origin.url)
    assert runner.stages[1] == "session_found"
    stored = sessions.get(SESSION)
    assert stored.metadata["colour"] == "blue"
    assert stored.read(".claude/state.json") == b"{}"


async def test_a_session_that_holds_it_is_fast_forwarded(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """Nothing is cloned; a clean worktree gets what the remote has."""
    await runner.clone(origin.url)
    tip = origin.commit({"new.txt": "1\n"})
    result = await runner.clone(origin.url)
    assert (result.was_cloned, result.pulled, result.commit) == (False, True, tip)
    assert sessions.get(SESSION).read("workspace/workspace/demo/new.txt") == b"1\n"
    assert runner.stages == ["downloading_session", "session_found", "repo_exists", "uploading"]


async def test_a_session_with_changes_is_left_alone(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """Uncommitted work is worth more than the newest commit."""
    await runner.clone(origin.url)
    sessions.edit(SESSION, {"README.md": "# Mine\n"})
    origin.commit({"new.txt": "1\n"})
    before = sessions.get(SESSION).data
    assert not (await runner.clone(origin.url)).pulled
    assert sessions.get(SESSION).data == before


async def test_another_repository_is_refused(
    runner: JobRunner, origin: Origin, git_server: GitServer, sessions: SessionFolder
) -> None:
    """The session stays as it was."""
    await runner.clone(origin.url)
    before = sessions.get(SESSION).data
    with pytest.raises(OtherRepository):
        await runner.clone(git_server.seed("octo", "other").url)
    assert sessions.get(SESSION).data == before


async def test_a_folder_with_other_files_is_not_cloned_into(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """What is there may be somebody's work."""
    sessions.put(SESSION, pack(metadata(SESSION), entries={"workspace/workspace/demo/notes.txt": "mine"}))
    with pytest.raises(OtherRepository, match="demo"):
        await runner.clone(origin.url)


async def test_a_repeat_of_the_request_gives_its_outcome(runner: JobRunner, origin: Origin) -> None:
    """Nothing is done again."""
    first = await runner.clone(origin.url, request_id="r-1")
    origin.commit({"new.txt": "1\n"})
    assert await runner.clone(origin.url, request_id="r-1") == first
    assert runner.stages == ["downloading_session"]


async def test_failures_leave_no_session(runner: JobRunner, origin: Origin, sessions: SessionFolder) -> None:
    """A wrong token and a repository that is not there say so."""
    with pytest.raises(RepositoryNotFound):
        await runner.clone(origin.url.replace("demo", "nothing"))
    runner.token = "wrong-token-0123"
    with pytest.raises(AuthenticationFailed):
        await runner.clone(origin.url)
    assert not sessions.archive(SESSION).exists()


async def test_nothing_is_left_in_the_scratch_space(runner: JobRunner, origin: Origin) -> None:
    """A job's folder is gone when it ends."""
    await runner.clone(origin.url)
    assert list(Path(runner.env["TMP_DIR"]).iterdir()) == []


async def test_metadata_names_the_session(runner: JobRunner, origin: Origin, sessions: SessionFolder) -> None:
    """A new session's metadata has its id and its moments."""
    await runner.clone(origin.url)
    fields = sessions.get(SESSION).metadata
    assert fields["sessionId"] == SESSION
    assert fields["createdAt"] <= fields["lastModified"]
    assert METADATA in sessions.get(SESSION).members()


async def test_the_shortest_transfer_tells_its_end(runner: JobRunner, origin: Origin) -> None:
    """What is over before it was ever counted is counted once, as all of it."""
    await runner.clone(origin.url)
    for stage in ("cloning", "uploading"):
        told = [event for event in runner.events if getattr(event, "stage", None) == stage]
        assert [getattr(event, "percent", None) for event in told][-1] == 100
