"""The newcomer's command keeps working."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.repositories import GIT_ENV

ROOT = Path(__file__).parents[1]


def demo(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the demo with nothing else in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", *arguments],
        check=False,
        cwd=ROOT,
        env={"PATH": GIT_ENV["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_demo_pushes_two_commits_and_leaves_nothing(tmp_path: Path) -> None:
    """The remote's log shows both commits with their files, and nothing is left on disk."""
    done = demo(TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    log = done.stdout.partition("git log --stat")[2]
    assert log.count("\ncommit ") == 3
    assert "theme.py" in log
    assert "THEME.md" in log
    assert "did 3 jobs, each in a process of its own, and ended with status 0" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_asks_for_a_token() -> None:
    """A repository without a token ends with one sentence and status 1."""
    done = demo("https://github.com/owner/repo")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "The demo failed: GITHUB_TOKEN must hold a token that may push to the repository"
    )


def test_the_demo_works_on_a_given_repository(git_server: GitServer) -> None:
    """With a URL and a token it pushes one branch there, and leaves the others alone."""
    origin = git_server.seed("acme", "shop")
    begin = origin.branches()["main"]
    done = demo(origin.url, "--request", "Show the theme", GITHUB_TOKEN=WRITE_TOKEN)
    assert done.returncode == 0, done.stderr
    (branch,) = set(origin.branches()) - {"main"}
    assert branch.startswith("webedt/show-theme-")
    assert len(origin.log(branch)) == 3
    assert origin.branches()["main"] == begin
    assert WRITE_TOKEN not in done.stdout + done.stderr
