"""A git server that hangs, breaks off, refuses, or moves on while we work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import READ_TOKEN
from tests.reliability.runner import GateRunner, Storage, extracted, head
from tests.support.faults import Answer, Cut, Disconnect, Fault, Hang, Meanwhile, Moment
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin

ALWAYS = 1000
PUSH, ASK_PUSH = "POST /octo/demo.git/git-receive-pack", "service=git-receive-pack"
FETCH, ASK_FETCH = "POST /octo/demo.git/git-upload-pack", "service=git-upload-pack"


@pytest.mark.parametrize(
    "fault", [Answer(503), Cut(Moment.REQUEST), Cut(Moment.RECEIVED), Cut(Moment.ANSWER, 10)], ids=str
)
@pytest.mark.parametrize("request_line", [ASK_FETCH, FETCH, ASK_PUSH, PUSH])
async def test_a_git_server_that_falters_is_asked_again(
    runner: GateRunner,
    storage: Storage,
    origin: Origin,
    git_server: GitServer,
    request_line: str,
    fault: Fault,
) -> None:
    """Two failures of any request cost time and nothing else."""
    git_server.faults.add(fault, request_line, times=2)
    result = (await runner.init(origin.url)).completed
    assert result["pushed"]
    assert origin.branches() == {"main": result["commit"], result["branchName"]: result["commit"]}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Answer(503), "remote_unavailable"),
        (Hang(), "remote_unavailable"),
        (Cut(), "remote_unavailable"),
        (Answer(401), "authentication_failed"),
        (Answer(403), "permission_denied"),
        (Answer(404), "repository_not_found"),
        (Answer(429), "rate_limited"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("impatient")
async def test_a_clone_that_keeps_failing_ends_the_job(
    runner: GateRunner, storage: Storage, origin: Origin, git_server: GitServer, fault: Fault, code: str
) -> None:
    """No session is made; only what may be over in a moment is tried again."""
    git_server.faults.add(fault, "upload-pack", times=ALWAYS)
    failed = (await runner.init(origin.url)).failed
    assert failed["code"] == code
    assert "unexpected http status" not in failed["error"]  # libgit2's words for every one
    assert storage.archive() is None
    tries = 4 if fault in (Answer(503), Cut()) else 1
    assert len([request for request in git_server.requests if ASK_FETCH in request.line]) == tries


@pytest.mark.parametrize("moment", [Moment.REQUEST, Moment.RECEIVED])
@pytest.mark.parametrize("request_line", [ASK_PUSH, PUSH])
@pytest.mark.usefixtures("impatient")
async def test_a_push_that_hangs_keeps_the_commit_in_the_session(
    runner: GateRunner,
    storage: Storage,
    origin: Origin,
    branch: str,
    git_server: GitServer,
    moment: Moment,
    request_line: str,
    tmp_path: Path,
) -> None:
    """Before and during the pack: the answer says that it is not pushed, and the next job pushes it."""
    before = origin.branches()
    storage.edit({"new.txt": "new\n"})
    git_server.faults.add(Hang(moment), request_line)
    began = time.monotonic()
    result = (await runner.commit()).completed
    assert time.monotonic() - began < 10
    assert (result["pushed"], result["pushError"]["code"]) == (False, "remote_unavailable")
    assert head(extracted(storage.session(), tmp_path)) == result["commitHash"]
    assert origin.branches() == before
    assert (await runner.commit()).completed["pushed"]
    assert origin.branches()[branch] == result["commitHash"]


@pytest.mark.parametrize(
    "fault", [Hang(Moment.HANDLED), Cut(Moment.HANDLED), Hang(Moment.ANSWER), Cut(Moment.END)], ids=str
)
@pytest.mark.parametrize("operation", ["commit-and-push", "create-branch"])
@pytest.mark.usefixtures("impatient")
async def test_a_push_whose_answer_is_lost_is_found_on_the_remote(
    runner: GateRunner,
    storage: Storage,
    origin: Origin,
    branch: str,
    git_server: GitServer,
    fault: Fault,
    operation: str,
) -> None:
    """After the pack: what the remote took is no failure, also for a branch that was to be new."""
    storage.edit({"new.txt": "new\n"})
    git_server.faults.add(fault, PUSH)
    more = {"userRequest": "Something else", "baseBranch": branch} if operation == "create-branch" else {}
    result = (await runner.ask(operation, **more)).completed
    assert (result["pushed"], "pushError" in result) == (True, False)
    commit = result.get("commitHash") or result["commit"]
    assert origin.branches()[result.get("branch") or result["branchName"]] == commit


async def test_a_git_server_that_is_gone_after_the_push_began_leaves_the_commit_in_the_session(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """Whether the remote took it is not known, so the answer says no; the next job finds out."""
    storage.edit({"new.txt": "new\n"})

    def disappear() -> None:
        git_server.faults.add(Answer(503), times=ALWAYS)
        raise Disconnect

    git_server.faults.add(Meanwhile(disappear, Moment.HANDLED), PUSH)
    result = (await runner.commit()).completed
    assert (result["pushed"], result["pushError"]["code"]) == (False, "remote_unavailable")
    assert head(extracted(storage.session(), tmp_path)) == result["commitHash"]
    git_server.faults.clear()
    assert (await runner.commit()).completed["commitHash"] == origin.branches()[branch]
    assert len(origin.log(branch)) == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("error: GH013: Repository rule violations found\nPush cannot contain secrets", "push_rejected"),
        ("refusing to allow a token to update workflow `ci.yml` without `workflow` scope", "push_rejected"),
    ],
)
async def test_a_hook_that_refuses_is_quoted(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, words: str, code: str, tmp_path: Path
) -> None:
    """The remote's own words reach the caller, and the commit is in the session."""
    storage.edit({"new.txt": "new\n"})
    origin.reject_pushes(words)
    result = (await runner.commit()).completed
    assert (result["pushed"], result["pushError"]["code"]) == (False, code)
    assert words in result["pushError"]["message"]
    assert head(extracted(storage.session(), tmp_path)) == result["commitHash"]


async def test_a_protected_branch_is_quoted(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer
) -> None:
    """It is about rights, and not asked again."""
    storage.edit({"new.txt": "new\n"})
    origin.protect(branch, "Changes must be made through a pull request")
    result = (await runner.commit()).completed
    assert (result["pushed"], "pull request" in result["pushError"]["message"]) == (False, True)
    assert result["pushError"]["code"] in {"permission_denied", "push_rejected"}
    assert len([request for request in git_server.requests if PUSH in request.line]) == 2


async def test_a_token_without_the_right_to_push_keeps_the_commit_in_the_session(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, tmp_path: Path
) -> None:
    """Another token can push it later."""
    storage.edit({"new.txt": "new\n"})
    result = (await runner.commit(githubAccessToken=READ_TOKEN)).completed
    assert (result["pushed"], result["pushError"]["code"]) == (False, "permission_denied")
    assert head(extracted(storage.session(), tmp_path)) == result["commitHash"]
    assert (await runner.commit()).completed["commitHash"] == origin.branches()[branch]


async def test_a_remote_that_moves_on_three_times_is_caught_up_with(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """Each time the commit goes on top of what came."""
    storage.edit({"new.txt": "new\n"})
    numbers = iter(range(10))
    git_server.faults.add(
        Meanwhile(lambda: origin.commit({f"theirs-{next(numbers)}.txt": "1\n"}, branch=branch)), PUSH, times=3
    )
    result = (await runner.commit()).completed
    assert result["pushed"]
    assert origin.branches()[branch] == result["commitHash"] == head(extracted(storage.session(), tmp_path))
    assert {"new.txt", "theirs-0.txt", "theirs-1.txt", "theirs-2.txt"} <= set(origin.files(branch))


async def test_catching_up_replays_the_new_commit_alone(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str
) -> None:
    """What the remote made of earlier commits' files since is no conflict with those commits."""
    storage.edit({"README.md": "# Ours\n"})
    assert (await runner.commit()).completed["pushed"]
    origin.commit({"README.md": "# Theirs\n"}, branch=branch)
    storage.edit({"new.txt": "new\n"})
    assert (await runner.commit()).completed["pushed"]
    assert (origin.read(branch, "README.md"), origin.read(branch, "new.txt")) == (b"# Theirs\n", b"new\n")
    assert len(origin.log(branch)) == 4


async def test_a_branch_that_another_push_holds_is_waited_for(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer
) -> None:
    """The server refuses while it is locked; that is over in a moment."""
    storage.edit({"new.txt": "new\n"})
    lock = origin.path / f"refs/heads/{branch}.lock"
    lock.touch()
    git_server.faults.add(Meanwhile(lambda: None, Moment.END), PUSH)
    git_server.faults.add(Meanwhile(lock.unlink), PUSH)
    assert (await runner.commit()).completed["pushed"]


async def test_a_remote_that_keeps_moving_on_is_a_conflict(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """After three tries the commit is in the session, and nothing of theirs was overwritten."""
    storage.edit({"new.txt": "new\n"})
    numbers = iter(range(10))
    git_server.faults.add(
        Meanwhile(lambda: origin.commit({f"theirs-{next(numbers)}.txt": "1\n"}, branch=branch)), PUSH, times=9
    )
    result = (await runner.commit()).completed
    assert (result["pushed"], result["pushError"]["code"]) == (False, "push_conflict")
    assert head(extracted(storage.session(), tmp_path)) == result["commitHash"]
    assert [commit.author for commit in origin.log(branch)[:4]] == ["Ada Lovelace"] * 4
    assert sum(PUSH in request.line for request in git_server.requests) == 4 + 1  # it began with the branch


@pytest.mark.usefixtures("impatient")
async def test_a_fetch_that_fails_while_catching_up_keeps_the_commit_in_the_session(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """The worktree is as it was."""
    storage.edit({"new.txt": "new\n"})
    origin.commit({"theirs.txt": "1\n"}, branch=branch)
    git_server.faults.add(Hang(), FETCH, times=ALWAYS)
    result = (await runner.commit()).completed
    assert (result["pushed"], result["pushError"]["code"]) == (False, "remote_unavailable")
    worktree = extracted(storage.session(), tmp_path)
    assert head(worktree) == result["commitHash"]
    assert not (worktree / "theirs.txt").exists()
