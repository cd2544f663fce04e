"""What a commit is said to have changed, beside what git says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.repositories import git
from tests.support.sessions import SessionFolder, clone, metadata, pack

_LINES = "".join(f"line {number}\n" for number in range(20))
_FILES = {
    "edited": _LINES,
    "moved": _LINES + "m\n",
    "moved and edited": _LINES + "e\n",
    "to link": "a\nb\n",
    "empty": "",
    "mode": "x\n",
    "file": "y\n",
    "gone": "z\n",
    "binary": "\0\n",
}


def change(worktree: Path) -> None:
    """Change each file in the way that it is named after."""
    (worktree / "edited").write_text(_LINES.replace("line 3\n", "other\nlines\n"))
    (worktree / "moved").rename(worktree / "elsewhere")
    (worktree / "moved and edited").write_text(_LINES + "f\n")
    (worktree / "moved and edited").rename(worktree / "edited elsewhere")
    (worktree / "to link").unlink()
    (worktree / "to link").symlink_to("edited")
    (worktree / "empty").rename(worktree / "empty elsewhere")
    (worktree / "mode").chmod(0o755)
    (worktree / "file").unlink()
    (worktree / "file").mkdir()
    (worktree / "file" / "inner").write_text("w\n")
    (worktree / "gone").unlink()
    (worktree / "binary").write_text("\0\0\n")
    (worktree / "new").write_text("new\n")


@pytest.fixture
def worktree(git_server: GitServer, tmp_path: Path) -> Path:
    """Return a clone of a repository with a file for each kind of change."""
    origin = git_server.seed("octo", "changes", _FILES)
    return clone(origin.url, WRITE_TOKEN, tmp_path / "changes")


async def test_changes_are_counted_as_git_counts_them(
    runner: JobRunner, sessions: SessionFolder, worktree: Path
) -> None:
    """Files moved, files that became links, files that are empty: each is one."""
    url = git("-C", worktree, "remote", "get-url", "origin").decode().strip()
    change(worktree)
    github = {"repoUrl": url, "baseBranch": "main", "clonedPath": "changes"}
    sessions.put(SESSION, pack(metadata(SESSION, github=github), worktree))
    result = await runner.commit()
    git("-C", worktree, "add", "--all")
    git("-C", worktree, "-c", "user.name=A", "-c", "user.email=a@x.y", "commit", "--quiet", "-m", "x")
    shown = git("-C", worktree, "show", "--stat", "--format=").decode().splitlines()[-1]
    assert [int(number) for number in re.findall("[0-9]+", shown)] == [
        *(result.files_changed, result.insertions, result.deletions)
    ]
