"""Commits of some paths: what becomes of the rest of the edits when more than a commit happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_worker.contract import CommitAndPush, Warned, decode_request
from github_worker.errors import PathNotFound, SecretDetected
from tests.operations.conftest import SESSION, JobRunner
from tests.support.faults import Meanwhile
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import SessionFolder, edit


def status(sessions: SessionFolder, folder: Path) -> list[str]:
    """Return what git says of the session's worktree."""
    worktree = sessions.get(SESSION).extract(folder)
    return git("-C", worktree, "status", "--porcelain").decode().splitlines()


async def test_the_rest_is_committed_later(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """Each commit has what was named, and the session's edits end in two commits."""
    sessions.edit(SESSION, {"README.md": "# More\n", "new.txt": "new\n", "src/app.py": None})
    first = await runner.commit(paths=("src", "new.txt"))
    assert (first.files_changed, first.pushed) == (2, True)
    assert origin.files(branch) == ["README.md", "new.txt"]
    assert origin.read(branch, "README.md") == b"# Demo\n"
    assert status(sessions, tmp_path) == [" M README.md"]
    second = await runner.commit()
    assert second.files_changed == 1
    assert origin.read(branch, "README.md") == b"# More\n"


async def test_a_remote_that_moved_on_leaves_the_rest(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """The commit is rebased under edits that are not in it, as `git pull --rebase --autostash` does."""
    origin.commit({"theirs.txt": "1\n", "src/app.py": None}, branch=branch)
    sessions.edit(SESSION, {"README.md": "# Later\n", "new.txt": "new\n", "ours.txt": "1\n"})
    result = await runner.commit(paths=("ours.txt",))
    assert result.pushed
    assert origin.files(branch) == ["README.md", "ours.txt", "theirs.txt"]
    assert sorted(status(sessions, tmp_path)) == [" M README.md", "?? new.txt"]


async def test_a_remote_that_changed_what_is_not_committed(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """No edit is overwritten: the commit stays in the session, beside the edit."""
    theirs = origin.commit({"README.md": "# Theirs\n"}, branch=branch)
    sessions.edit(SESSION, {"README.md": "# Ours\n", "ours.txt": "1\n"})
    result = await runner.commit(paths=("ours.txt",))
    assert (result.pushed, result.push_error.code) == (False, "push_conflict")
    assert origin.branches()[branch] == theirs
    worktree = sessions.get(SESSION).extract(tmp_path)
    assert (worktree / "README.md").read_text() == "# Ours\n"
    assert git("-C", worktree, "rev-parse", "HEAD").decode().strip() == result.commit_hash


async def test_a_session_that_was_saved_meanwhile(
    runner: JobRunner, sessions: SessionFolder, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """Its branch moves to the commit, its files stay as the other writer has them."""
    sessions.edit(SESSION, {"README.md": "# Later\n", "ours.txt": "1\n"})
    newer = edit(sessions.get(SESSION).data, {"workspace/workspace/demo/newer.txt": "newer\n"})
    git_server.faults.add(Meanwhile(lambda: sessions.put(SESSION, newer)), "POST")
    assert (await runner.commit(paths=("ours.txt",))).pushed
    assert status(sessions, tmp_path) == [" M README.md", "?? newer.txt"]


async def test_a_path_that_is_not_there(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """It is named, nothing is committed or pushed, and the session is as it was."""
    sessions.edit(SESSION, {"ours.txt": "1\n"})
    before = sessions.get(SESSION).data, origin.branches()
    with pytest.raises(PathNotFound, match=r"`paths` names .*: none\.txt$"):
        await runner.commit(paths=("ours.txt", "none.txt"))
    assert (sessions.get(SESSION).data, origin.branches()) == before


async def test_credentials_elsewhere_are_in_nobodys_way(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """What is not pushed is not screened; what is, is left out as ever."""
    sessions.edit(SESSION, {"secret.txt": runner.token, "d/secret.txt": runner.token, "d/ours.txt": "1\n"})
    with pytest.raises(SecretDetected, match="d/secret"):
        await runner.commit(paths=("d",))
    result = await runner.commit(paths=("d",), on_secret="leave-out")
    assert result.files_changed == 1
    assert origin.files(branch) == ["README.md", "d/ours.txt", "src/app.py"]
    assert [event.code for event in runner.events if isinstance(event, Warned)] == ["secret_left_out"]
    assert sorted(status(sessions, tmp_path)) == ["?? d/secret.txt", "?? secret.txt"]


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "./a", "a\\u0000b", "a\\nb"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    """Before a job starts, naming the field; so is a list of none, which would be all to some."""
    body = '{"sessionId": "s", "githubAccessToken": "t", "paths": %s}'
    with pytest.raises(ValueError, match=r"`paths.*` must be the path of a file or folder"):
        decode_request(CommitAndPush, (body % f'["src", "{path}"]').encode())
    with pytest.raises(ValueError, match="`paths` must not be empty"):
        decode_request(CommitAndPush, (body % "[]").encode())
