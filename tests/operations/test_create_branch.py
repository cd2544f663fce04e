"""create-branch and init-session, against a real git server."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from github_worker.contract import BranchStarted, ModelCredentials, SessionNamed
from github_worker.errors import BranchNotFound, NoRepository, OtherRepository, SessionNotFound
from github_worker.progress import ByteCount
from github_worker.services import Services
from github_worker.settings import from_env
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.model import Model, Say
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import SessionFolder, metadata, pack

BRANCH = "webedt/add-dark-mode-toggle-abcd1234"


async def test_init_session_clones_and_starts_a_branch(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, tmp_path: Path
) -> None:
    """The session is on its branch, the branch is on the remote, and git agrees that it is tracked."""
    result = await runner.init(origin.url)
    assert (result.branch_name, result.base_branch, result.pushed) == (BRANCH, "main", True)
    assert (result.branch, result.was_cloned) == ("main", True)
    assert result.session_path == "octo__demo__webedt-add-dark-mode-toggle-abcd1234"
    assert origin.branches()[BRANCH] == result.commit == origin.branches()["main"]
    stored = sessions.get(SESSION)
    assert stored.metadata["branch"] == BRANCH
    assert stored.metadata["sessionTitle"] == result.session_title
    assert stored.metadata["sessionPath"] == result.session_path
    status = git("-C", stored.extract(tmp_path), "status", "--porcelain=v2", "--branch").decode()
    assert f"# branch.upstream origin/{BRANCH}" in status.splitlines()
    assert not [line for line in status.splitlines() if not line.startswith("#")]


async def test_init_session_has_the_stages_of_both(runner: JobRunner, origin: Origin) -> None:
    """One download and one upload; the two events of the branch come before the end."""
    await runner.init(origin.url)
    assert runner.stages == [
        "downloading_session",
        "new_session",
        "cloning",
        "cloned",
        "generating_name",
        "fallback",
        "name_generated",
        "creating_branch",
        "pushing",
        "uploading",
    ]
    assert [type(event) for event in runner.events if isinstance(event, BranchStarted | SessionNamed)] == [
        BranchStarted,
        SessionNamed,
    ]


async def test_the_model_names_the_branch(runner: JobRunner, origin: Origin, model: Model) -> None:
    """Its title and slug are taken, and no fallback is reported."""
    model.script(Say.json(title="Dark Mode for Settings", slug="dark-mode-settings"))
    result = await runner.init(origin.url, claude_credentials=ModelCredentials("sk-ant-api03-0123456789"))
    assert result.branch_name == "webedt/dark-mode-settings-abcd1234"
    assert result.session_title == "Dark Mode for Settings"
    assert "fallback" not in runner.stages


async def test_a_branch_starts_in_a_session_with_uncommitted_work(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """The work is carried along."""
    await runner.clone(origin.url)
    sessions.edit(SESSION, {"README.md": "# Mine\n", "new.txt": "new\n"})
    result = await runner.branch()
    assert result.branch_name == BRANCH
    stored = sessions.get(SESSION)
    assert stored.read("workspace/workspace/demo/README.md") == b"# Mine\n"
    assert stored.read("workspace/workspace/demo/new.txt") == b"new\n"
    assert runner.stages == [
        "downloading_session",
        "generating_name",
        "fallback",
        "name_generated",
        "creating_branch",
        "pushing",
        "uploading",
    ]


async def test_another_base_is_fetched(runner: JobRunner, origin: Origin, sessions: SessionFolder) -> None:
    """A base that the session has not seen comes from the remote, with its files."""
    await runner.clone(origin.url)
    origin.branch("dev")
    tip = origin.commit({"dev.txt": "dev\n"}, branch="dev")
    result = await runner.branch(base_branch="dev")
    assert (result.base_branch, result.commit) == ("dev", tip)
    assert sessions.get(SESSION).read("workspace/workspace/demo/dev.txt") == b"dev\n"


async def test_another_base_changes_files_under_uncommitted_work(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, tmp_path: Path
) -> None:
    """What the base has otherwise is checked out, what was edited is carried along, and git finds no more."""
    await runner.clone(origin.url)
    origin.branch("dev")
    origin.commit({"README.md": "# Dev\n"}, branch="dev")
    sessions.edit(SESSION, {"new.txt": "new\n"})
    await runner.branch(base_branch="dev")
    stored = sessions.get(SESSION)
    assert stored.read("workspace/workspace/demo/README.md") == b"# Dev\n"
    assert git("-C", stored.extract(tmp_path), "status", "--porcelain") == b"?? new.txt\n"


async def test_what_a_branch_does_not_change_comes_back_as_it_was(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """Every file and folder but git's notes of the branch, the index too: content, mode and time."""
    await runner.clone(origin.url)
    edits = {"README.md": "# Mine\n", "new.txt": "new\n", "node_modules/a/index.js": "x\n"}
    sessions.edit(SESSION, edits)
    before = sessions.get(SESSION)
    await runner.branch()
    after = sessions.get(SESSION)
    for name, member in before.members().items():
        if not name.endswith((".session-metadata.json", ".git/HEAD", ".git/config", ".git/logs/HEAD")):
            kept = after.members()[name]
            assert (kept.type, kept.mode, kept.size, kept.linkname) == (
                member.type,
                member.mode,
                member.size,
                member.linkname,
            )
            if member.isreg():
                assert kept.mtime == member.mtime, name
                assert after.read(name) == before.read(name), name


async def test_a_branch_writes_no_file_of_the_worktree(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """A session is opened with git's own files and the metadata on the disk, whatever else it holds."""
    await runner.clone(origin.url)
    sessions.edit(SESSION, {"new.txt": "new\n"})
    services = Services.from_settings(from_env(runner.env))
    tree = services.sessions.load(SESSION, ByteCount()).folders.tree
    files = [path.relative_to(tree) for path in tree.rglob("*") if path.is_file()]
    await services.cleanup()
    assert files
    assert [path for path in files if ".git" not in path.parts] == [Path("workspace/.session-metadata.json")]


async def test_a_base_that_is_nowhere(runner: JobRunner, origin: Origin, sessions: SessionFolder) -> None:
    """It is named, and the session stays as it was."""
    await runner.clone(origin.url)
    before = sessions.get(SESSION).data
    with pytest.raises(BranchNotFound, match="nowhere"):
        await runner.branch(base_branch="nowhere")
    assert sessions.get(SESSION).data == before


async def test_a_taken_branch_name_gets_a_suffix(runner: JobRunner, origin: Origin) -> None:
    """A branch that exists on the remote with other work is left as it is."""
    origin.branch(BRANCH)
    theirs = origin.commit({"theirs.txt": "1\n"}, branch=BRANCH)
    result = await runner.init(origin.url)
    assert result.branch_name == f"{BRANCH}-2"
    assert origin.branches()[BRANCH] == theirs


async def test_a_branch_that_a_lost_try_pushed_is_taken_up(runner: JobRunner, origin: Origin) -> None:
    """The remote has it at our start and the session does not know it: it is ours, whatever its name."""
    origin.branch("webedt/another-name-abcd1234")
    assert (await runner.init(origin.url)).branch_name == "webedt/another-name-abcd1234"


async def test_asked_again_it_answers_with_the_branch(runner: JobRunner, origin: Origin) -> None:
    """The session is on that branch already."""
    first = await runner.init(origin.url)
    again = await runner.branch(base_branch="main")
    assert again.branch_name == first.branch_name
    assert again.pushed
    assert [name for name in origin.branches() if name.startswith("webedt/")] == [BRANCH]


async def test_another_request_starts_another_branch(runner: JobRunner, origin: Origin) -> None:
    """A session may go on with something else."""
    await runner.init(origin.url)
    result = await runner.branch("Rewrite the footer")
    assert result.branch_name == "webedt/rewrite-footer-abcd1234"
    assert result.branch_name in origin.branches()


async def test_a_session_that_is_resumed_keeps_its_base(runner: JobRunner, origin: Origin) -> None:
    """Its next branch starts where the first one did, and not on top of that one."""
    origin.branch("dev")
    tip = origin.commit({"dev.txt": "dev\n"}, branch="dev")
    await runner.init(origin.url, branch="dev")
    await runner.commit(message="Nothing")
    result = await runner.init(origin.url, "Rewrite the footer")
    assert (result.was_cloned, result.base_branch, result.commit) == (False, "dev", tip)
    again = await runner.branch("Rewrite the footer", base_branch="main")
    assert (again.branch_name, again.base_branch) == (result.branch_name, "dev")


async def test_a_push_that_fails_leaves_the_branch_in_the_session(
    runner: JobRunner, origin: Origin, sessions: SessionFolder
) -> None:
    """The answer says why, and the branch can be pushed by a later job."""
    origin.reject_pushes("No pushes on Fridays")
    result = await runner.init(origin.url)
    assert not result.pushed
    assert result.push_error.code == "push_rejected"
    assert "No pushes on Fridays" in result.push_error.message
    assert "push_failed" in runner.stages
    assert sessions.get(SESSION).metadata["branch"] == BRANCH
    origin.accept_pushes()
    assert (await runner.branch()).pushed


async def test_a_session_that_is_not_there(runner: JobRunner) -> None:
    """create-branch makes none."""
    with pytest.raises(SessionNotFound):
        await runner.branch()


async def test_a_session_without_a_repository(runner: JobRunner, sessions: SessionFolder) -> None:
    """There is nothing to branch."""
    sessions.put(SESSION, pack(metadata(SESSION)))
    with pytest.raises(NoRepository):
        await runner.branch()


async def test_the_repository_can_be_checked(
    runner: JobRunner, origin: Origin, git_server: GitServer
) -> None:
    """`repoUrl` says which one the caller means."""
    await runner.clone(origin.url)
    with pytest.raises(OtherRepository):
        await runner.branch(repo_url=f"{git_server.origin}/octo/other")
    assert (await runner.branch(repo_url=origin.url.removesuffix(".git"))).pushed


async def test_an_empty_repository_gets_a_branch(runner: JobRunner, git_server: GitServer) -> None:
    """There is nothing to push yet, which is no failure."""
    result = await runner.init(git_server.create("octo", "empty").url)
    assert (result.branch_name, result.commit, result.pushed, result.push_error) == (
        BRANCH,
        None,
        False,
        None,
    )


async def test_an_upload_that_is_given_up_ends_in_silence(
    runner: JobRunner, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """A job that fails has told why; what its upload then raises is nobody's."""
    await runner.clone(origin.url)
    with pytest.raises(BranchNotFound):
        await runner.branch(base_branch="nowhere")
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 (nobody else knows of the upload's task)
        await asyncio.sleep(0.01)
    gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []
