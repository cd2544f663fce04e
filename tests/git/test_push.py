"""Committing and pushing to a real git server."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pygit2
import pytest

from github_worker.errors import (
    AuthenticationFailed,
    FileTooLarge,
    PermissionDenied,
    PushConflict,
    PushRejected,
    UnsupportedRepository,
)
from github_worker.git import commits, native, worktree
from github_worker.git.rebase import replay
from github_worker.git.remote import RemoteMoved
from github_worker.git.repository import Repository
from tests.conftest import READ_TOKEN, WRITE_TOKEN
from tests.git.conftest import COMMITTER, Clone
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin


def commit_all(repository: Repository, message: str = "Change things") -> str:
    """Stage and commit everything."""
    commits.stage(repository, [])
    summary = commits.summarise(repository)
    return commits.create(repository, summary.tree, message, COMMITTER)


def test_everything_that_changed_is_staged(clone: Clone) -> None:
    """New, changed, deleted, renamed, executable and linked files are what `git add -A` would stage."""
    repository = clone()
    folder = repository.folder
    (folder / "README.md").write_text("# Demo\n\nMore\n")
    (folder / "src/app.py").rename(folder / "src/main.py")
    (folder / "new é.txt").write_text("x\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("/nowhere")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "debug.log").write_text("no\n")
    commits.stage(repository, [])
    summary = commits.summarise(repository)
    changes = {change.path: change.status for change in summary.changes}
    assert changes == {
        ".gitignore": "A",
        "README.md": "M",
        "link": "A",
        "new é.txt": "A",
        "run.sh": "A",
        "src/main.py": "R",
    }
    assert summary.insertions == 6
    assert summary.deletions == 0
    modes = {entry.path: entry.mode for entry in repository.libgit2.index}
    assert (modes["run.sh"], modes["link"]) == (0o100755, 0o120000)


def test_a_name_that_is_not_utf8_is_committed(clone: Clone, origin: Origin) -> None:
    """The bytes of a name are what git keeps."""
    repository = clone()
    Path(os.fsdecode(os.fsencode(repository.folder) + b"/caf\xe9.txt")).write_text("x\n")
    commit_all(repository)
    repository.remote.push("main")
    assert b"caf\xe9.txt" in origin.git("ls-tree", "-r", "-z", "--name-only", "main").split(b"\0")


def test_a_nested_repository_is_left_out(clone: Clone) -> None:
    """The rest is staged, and what was left out is named."""
    repository = clone()
    (repository.folder / "vendor/lib").mkdir(parents=True)
    (repository.folder / "vendor/lib/x.c").write_text("int x;\n")
    (repository.folder / "a.txt").write_text("a\n")
    staged = commits.stage(repository, ["vendor/lib"])
    assert {entry.path for entry in repository.libgit2.index} == {"README.md", "a.txt", "src/app.py"}
    assert [path for path, _ in staged.left_out] == ["vendor/lib"]


def test_a_pushed_commit_is_on_the_remote(clone: Clone, origin: Origin) -> None:
    """With its message, author and files."""
    repository = clone()
    (repository.folder / "new.txt").write_text("x\n")
    commit = commit_all(repository, "Add new.txt")
    repository.remote.push("main")
    assert origin.branches()["main"] == commit
    assert origin.log()[0].message == "Add new.txt"
    assert origin.read("main", "new.txt") == b"x\n"


def test_a_stale_push_is_told_apart(clone: Clone, origin: Origin) -> None:
    """The remote's newer commit stays, and the answer says that it moved."""
    repository = clone()
    theirs = origin.commit({"other.txt": "1\n"})
    (repository.folder / "new.txt").write_text("x\n")
    commit_all(repository)
    with pytest.raises(RemoteMoved):
        repository.remote.push("main")
    assert origin.branches()["main"] == theirs


def test_a_commit_is_replayed_on_what_the_remote_has(clone: Clone, origin: Origin) -> None:
    """Both changes are in the result, in the index and in the worktree."""
    repository = clone()
    theirs = origin.commit({"other.txt": "1\n"})
    (repository.folder / "new.txt").write_text("x\n")
    commit_all(repository)
    repository.remote.fetch("main")
    tip = replay(repository, "main", theirs)
    repository.remote.push("main")
    assert [commit.sha for commit in origin.log()][:2] == [tip, theirs]
    assert (repository.folder / "other.txt").read_text() == "1\n"
    assert worktree.is_clean(repository)


def test_a_commit_that_the_remote_has_already_is_not_made_again(clone: Clone, origin: Origin) -> None:
    """An earlier try pushed the same change: the branch moves to it."""
    repository = clone()
    theirs = origin.commit({"new.txt": "x\n"}, "The first try")
    (repository.folder / "new.txt").write_text("x\n")
    commit_all(repository)
    repository.remote.fetch("main")
    assert replay(repository, "main", theirs) == theirs == repository.head


def test_a_conflict_moves_nothing(clone: Clone, origin: Origin) -> None:
    """Both sides changed one line: the commit stays as it was."""
    repository = clone()
    theirs = origin.commit({"README.md": "# Theirs\n"})
    (repository.folder / "README.md").write_text("# Ours\n")
    ours = commit_all(repository)
    repository.remote.fetch("main")
    with pytest.raises(PushConflict, match=r"README\.md"):
        replay(repository, "main", theirs)
    assert repository.head == ours
    assert (repository.folder / "README.md").read_text() == "# Ours\n"


def test_a_hook_that_refuses_is_heard(clone: Clone, origin: Origin) -> None:
    """The remote's own words are in the error."""
    origin.reject_pushes("GH013: Push cannot contain secrets — é")
    repository = clone()
    (repository.folder / "new.txt").write_text("x\n")
    commit_all(repository)
    with pytest.raises(PushRejected, match=r"pre-receive(.|\n)*GH013: Push cannot contain secrets — é"):
        repository.remote.push("main")


def test_a_token_that_may_only_read_is_refused(clone: Clone) -> None:
    """The push says that it is about rights."""
    repository = clone(token=READ_TOKEN)
    (repository.folder / "new.txt").write_text("x\n")
    commit_all(repository)
    with pytest.raises((PermissionDenied, AuthenticationFailed)):
        repository.remote.push("main")


def test_a_new_branch_never_moves_an_old_one(clone: Clone, origin: Origin) -> None:
    """A branch that was to be new and is there already is left as it is, though it could be moved forward."""
    old = origin.branches()["main"]
    origin.branch("taken")
    repository = clone()
    (repository.folder / "new.txt").write_text("x\n")
    commit_all(repository)
    repository.start("taken", repository.head)
    with pytest.raises(RemoteMoved):
        repository.remote.push("taken", new=True)
    assert origin.branches()["taken"] == old


def test_a_file_that_git_would_convert_is_refused(clone: Clone) -> None:
    """libgit2 runs no filters: the raw file must not be committed."""
    repository = clone()
    (repository.folder / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (repository.folder / "big.bin").write_bytes(b"raw")
    with pytest.raises(UnsupportedRepository, match=r"big\.bin"):
        commits.stage(repository, [])


def test_a_file_over_the_limit_of_the_forge_is_refused(clone: Clone) -> None:
    """It is named before anything is staged."""
    repository = clone()
    with (repository.folder / "huge.bin").open("wb") as file:
        file.truncate(worktree.MAX_FILE_BYTES + 1)
    with pytest.raises(FileTooLarge, match=r"huge\.bin"):
        commits.stage(repository, [])


def test_a_repository_that_is_open_obeys_no_config_of_its_own(clone: Clone, tmp_path: Path) -> None:
    """Opening it replaces the working config; what the session's one says is not asked."""
    repository = clone()
    config = (repository.folder / ".git/config").read_text()
    assert "insteadOf" not in config
    assert repository.libgit2.config["remote.origin.url"] == str(repository.remote.url)


@pytest.mark.parametrize("to_push", [False, True])
def test_the_end_of_a_request_is_not_held_back(clone: Clone, git_server: GitServer, to_push: bool) -> None:
    """The connection to the git server sends what it has, where it would wait for an acknowledgement."""
    remote = clone().libgit2.remotes["origin"]
    token = pygit2.UserPass("x-access-token", WRITE_TOKEN)
    native.connect(remote, pygit2.RemoteCallbacks(credentials=token), to_push=to_push)
    assert _read_no_delay(git_server) == [True]


def _read_no_delay(server: GitServer) -> list[bool]:
    """Return the option of this process's connections to a server."""
    found = []
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):  # it was the listing's own, or is connected to nobody
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as connection:
                    host, port = connection.getpeername()[:2]
                    if f"http://{host}:{port}" == server.origin:
                        found.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
    return found
