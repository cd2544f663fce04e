"""Dry runs: they say what a commit would be, and do nothing."""

from __future__ import annotations

import pytest

from github_worker.contract import Change, NewTag, Warned
from github_worker.errors import PathNotFound, SecretDetected, TagExists
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.sessions import SessionFolder


async def test_what_would_be_committed_is_told(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, git_server: GitServer
) -> None:
    """Files with their counts, the message and the branch; the same request in earnest does just that."""
    sessions.edit(SESSION, {"README.md": "# Demo\n\nMore\n", "new.txt": "new\n", "src/app.py": None})
    before, asked = (sessions.get(SESSION).data, origin.branches()), len(git_server.requests)
    plan = await runner.commit(dry_run=True, user_id="u-7")
    assert (sessions.get(SESSION).data, origin.branches()) == before
    assert len(git_server.requests) == asked
    assert runner.stages == [
        "downloading_session",
        "analyzing",
        "changes_detected",
        "generating_message",
        "fallback",
    ]
    assert plan.files == (
        Change(status="M", path="README.md", insertions=2),
        Change(status="A", path="new.txt", insertions=1),
        Change(status="D", path="src/app.py", deletions=1),
    )
    assert (plan.dry_run, plan.pushed, plan.branch) == (True, False, branch)
    assert plan.commit_hash == origin.branches()[branch]
    done = await runner.commit(user_id="u-7")
    assert done.pushed
    assert not done.dry_run
    assert plan.commit_message.strip() == done.commit_message
    counts = ("files_changed", "insertions", "deletions")
    assert [getattr(plan, name) for name in counts] == [getattr(done, name) for name in counts]


async def test_nothing_to_commit(runner: JobRunner, sessions: SessionFolder, branch: str) -> None:
    """It is skipped, as it would be in earnest."""
    plan = await runner.commit(dry_run=True)
    assert (plan.dry_run, plan.skipped, plan.files) == (True, True, ())


async def test_commits_that_would_be_pushed(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """There is nothing to commit, and yet it would not be skipped."""
    origin.reject_pushes("Not now")
    sessions.edit(SESSION, {"new.txt": "new\n"})
    kept = await runner.commit()
    origin.accept_pushes()
    plan = await runner.commit(dry_run=True)
    assert (plan.skipped, plan.files, plan.commit_hash) == (False, (), kept.commit_hash)
    assert kept.commit_hash not in origin.branches().values()


async def test_what_would_end_in_an_error_does(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """A credential, a path that is not there, a tag that is."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    origin.tag("v1")
    with pytest.raises(PathNotFound):
        await runner.commit(dry_run=True, paths=("none",))
    with pytest.raises(TagExists):
        await runner.commit(dry_run=True, tag=NewTag("v1"))
    sessions.edit(SESSION, {"new.txt": runner.token})
    with pytest.raises(SecretDetected):
        await runner.commit(dry_run=True)
    plan = await runner.commit(dry_run=True, on_secret="leave-out")
    assert plan.skipped
    assert [event.code for event in runner.events if isinstance(event, Warned)] == ["secret_left_out"]


async def test_some_paths_and_people(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """The message has its trailers, and the files are those that are named; no tag is made."""
    sessions.edit(SESSION, {"new.txt": "new\n", "README.md": "# More\n"})
    plan = await runner.commit(
        dry_run=True, paths=("new.txt",), message="Add it", sign_off=True, tag=NewTag("v1")
    )
    assert [file.path for file in plan.files] == ["new.txt"]
    assert plan.commit_message == ("Add it\n\nSigned-off-by: GitHub Worker <worker@github-worker.local>\n")
    assert plan.tag is None
    assert not origin.git("for-each-ref", "refs/tags")


async def test_a_dry_run_is_not_what_the_request_was(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """Asked in earnest with the same request id, the work is done."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    assert (await runner.commit(dry_run=True, request_id="r-1")).dry_run
    done = await runner.commit(request_id="r-1")
    assert (done.pushed, done.dry_run) == (True, False)


async def test_many_files(runner: JobRunner, sessions: SessionFolder, branch: str) -> None:
    """The first thousand are told, and how many there are."""
    sessions.edit(SESSION, {f"many/{number}": "1\n" for number in range(1010)})
    plan = await runner.commit(dry_run=True)
    assert (len(plan.files), plan.files_changed, plan.insertions) == (1000, 1010, 1010)
