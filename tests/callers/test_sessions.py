"""The commands of docs/sessions.md, by the git and the tar that an agent has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.callers.conftest import CallFailed, CodingWorker
from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.repositories import GIT_ENV, Repository, with_token
from tests.support.sessions import SessionFolder
from tests.support.worker import RestartLoop

_JOB = {"sessionId": "s-1", "githubAccessToken": WRITE_TOKEN}


@pytest.fixture
def origin(git_server: GitServer) -> Repository:
    """Return a repository with two branches."""
    origin = git_server.seed("octo", "shop", {"a.txt": "1\n"})
    origin.branch("other")
    return origin


@pytest.fixture
def caller(restart_loop: RestartLoop) -> CodingWorker:
    """Return a coding worker."""
    return CodingWorker(restart_loop.base_url)


def git(worktree: Path, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run git as an agent does; with a token, by a helper that comes from the environment."""
    command = ["git", "-c", "user.name=Agent", "-c", "user.email=agent@example.com", *arguments]
    env = with_token(token) if token else dict(GIT_ENV)
    return subprocess.run(command, cwd=worktree, env=env, capture_output=True, text=True, check=False)


def test_an_agent_works_in_a_session_with_plain_tools(
    caller: CodingWorker, origin: Repository, sessions: SessionFolder, tmp_path: Path
) -> None:
    """Local work is git's, the remote needs a helper, and what plain tar packs is committed and pushed."""
    made = caller.call("init-session", **_JOB, repoUrl=origin.url, userRequest="Add dark mode")
    subprocess.run(["tar", "-xzf", sessions.archive("s-1"), "-C", tmp_path], check=True)
    worktree = tmp_path / "workspace/workspace/shop"
    assert git(worktree, "status", "--porcelain", "--branch").stdout.strip() == (
        f"## {made['branchName']}...origin/{made['branchName']}"
    )
    assert WRITE_TOKEN not in (worktree / ".git/config").read_text()
    assert git(worktree, "switch", "other").returncode != 0
    assert git(worktree, "fetch").returncode != 0

    assert git(worktree, "remote", "set-branches", "--add", "origin", "other").returncode == 0
    assert git(worktree, "fetch", "origin", "other", token=WRITE_TOKEN).returncode == 0
    assert git(worktree, "log", "-1", "--format=%s", "origin/other").stdout == "Begin\n"
    (worktree / "b.txt").write_text("2\n")
    assert git(worktree, "add", "b.txt").returncode == 0
    assert git(worktree, "commit", "-m", "Mine").returncode == 0
    assert git(worktree, "push", token=WRITE_TOKEN).returncode == 0
    assert WRITE_TOKEN not in (worktree / ".git/config").read_text()

    (worktree / "c.txt").write_text("3\n")
    packed = subprocess.run(["tar", "-cz", "-C", tmp_path, "."], check=True, capture_output=True).stdout
    sessions.put("s-1", packed)
    done = caller.call("commit-and-push", **_JOB)
    assert (done["pushed"], done["filesChanged"]) == (True, 1)
    assert origin.read(made["branchName"], "b.txt") + origin.read(made["branchName"], "c.txt") == b"2\n3\n"


def test_a_session_with_all_branches_has_them(
    caller: CodingWorker, origin: Repository, sessions: SessionFolder, tmp_path: Path
) -> None:
    """An agent may switch to any of them."""
    caller.call("clone-repository", **_JOB, repoUrl=origin.url, allBranches=True)
    assert git(sessions.get("s-1").extract(tmp_path), "switch", "other").returncode == 0


def test_a_detached_head_is_refused(
    caller: CodingWorker, origin: Repository, sessions: SessionFolder, tmp_path: Path
) -> None:
    """The caller reads what to finish, and nothing changes."""
    caller.call("clone-repository", **_JOB, repoUrl=origin.url)
    worktree = sessions.get("s-1").extract(tmp_path)
    assert git(worktree, "switch", "--detach").returncode == 0
    (worktree / "b.txt").write_text("2\n")
    sessions.put("s-1", subprocess.check_output(["tar", "-cz", "-C", tmp_path, "workspace"]))
    before = origin.branches()
    with pytest.raises(CallFailed) as caught:
        caller.call("commit-and-push", **_JOB)
    assert caught.value.code == "unsupported_repository"
    assert origin.branches() == before
