"""commit-and-push, against a real git server."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from github_worker.contract import Author, Progress, Warned
from github_worker.errors import HostNotAllowed, UnsupportedRepository
from tests.conftest import READ_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.faults import Meanwhile
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import SessionFolder, edit


async def test_what_changed_is_committed_and_pushed(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """The commit is on the remote and in the session, which git finds clean."""
    sessions.edit(SESSION, {"README.md": "# Demo\n\nMore\n", "new.txt": "new\n", "src/app.py": None})
    result = await runner.commit()
    assert (result.branch, result.pushed, result.files_changed) == (branch, True, 3)
    assert (result.insertions, result.deletions) == (3, 1)
    assert origin.branches()[branch] == result.commit_hash
    assert origin.files(branch) == ["README.md", "new.txt"]
    assert origin.log(branch)[0].message == result.commit_message
    worktree = sessions.get(SESSION).extract(tmp_path)
    assert git("-C", worktree, "status", "--porcelain=v2", "--branch").decode().splitlines()[3:] == [
        "# branch.ab +0 -0"
    ]
    assert git("-C", worktree, "rev-parse", "HEAD").decode().strip() == result.commit_hash
    git("-C", worktree, "fsck", "--strict")


def gnu_tar(folder: Path, format: str) -> bytes:
    """Archive a session as GNU tar does."""
    command: list[str | Path] = ["tar", f"--format={format}", "-czf", "-", "-C", folder, "workspace"]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize("format", ["gnu", "posix"])
@pytest.mark.parametrize("files", [{"empty": b""}, {"empty": b"", "full": b"text"}])
async def test_files_whose_names_a_header_cuts_at_a_slash_stay(
    runner: JobRunner,
    origin: Origin,
    sessions: SessionFolder,
    branch: str,
    tmp_path: Path,
    format: str,
    files: dict[str, bytes],
) -> None:
    """A path whose 100th byte is a slash, in what GNU tar wrote, is a file, also when it is empty."""
    folder = "f" * (99 - len(sessions.get(SESSION).worktree() + "/"))
    sessions.edit(SESSION, {f"{folder}/{name}": content for name, content in files.items()})
    await runner.commit()
    worktree = sessions.get(SESSION).extract(tmp_path)
    (worktree / "README.md").write_text("# Another\n")
    sessions.put(SESSION, gnu_tar(tmp_path, format))
    result = await runner.commit()
    assert (result.pushed, result.files_changed) == (True, 1)
    assert {name: origin.read(branch, f"{folder}/{name}") for name in files} == files
    assert origin.read(branch, "README.md") == b"# Another\n"


async def test_the_stages_come_in_order(runner: JobRunner, sessions: SessionFolder, branch: str) -> None:
    """As the contract lists them."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    await runner.commit()
    assert runner.stages == [
        "downloading_session",
        "analyzing",
        "changes_detected",
        "generating_message",
        "fallback",
        "committing",
        "committed",
        "pushing",
        "pushed",
        "uploading",
    ]


async def test_a_new_commit_is_told_by_its_short_id_and_subject(
    runner: JobRunner, sessions: SessionFolder, branch: str
) -> None:
    """A person reads it, and a program finds the whole id beside it."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit(message="Add it\n\nBecause.")
    [told] = [event for event in runner.events if isinstance(event, Progress) and event.commit_hash]
    assert (told.stage, told.commit_hash) == ("committed", result.commit_hash)
    assert told.message == f"Committed {result.commit_hash[:7]}: Add it"


async def test_nothing_to_do_is_skipped(runner: JobRunner, sessions: SessionFolder, branch: str) -> None:
    """The answer says why, a person is told that there was nothing, and the session is not even saved."""
    before = sessions.get(SESSION).data
    result = await runner.commit()
    assert result.skipped
    assert result.reason == "There was nothing to commit, and everything is pushed"
    assert runner.stages == ["downloading_session", "analyzing", "changes_detected"]
    assert runner.messages[-1] == "There is nothing to commit"
    assert sessions.get(SESSION).data == before


async def test_unpushed_commits_are_pushed(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """A commit that could not be pushed goes with the next job."""
    origin.reject_pushes("Not now")
    sessions.edit(SESSION, {"new.txt": "new\n"})
    failed = await runner.commit()
    assert (failed.pushed, failed.push_error.code) == (False, "push_rejected")
    assert "push_failed" in runner.stages
    origin.accept_pushes()
    result = await runner.commit()
    assert (result.pushed, result.skipped, result.files_changed) == (True, False, 0)
    assert origin.branches()[branch] == result.commit_hash == failed.commit_hash


async def test_a_message_an_author_and_a_user(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """What the request says is what the commit has."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    await runner.commit(message="Add it\n\nBecause.", author=Author("Eve", "eve@example.com"), user_id="u-7")
    commit = origin.log(branch)[0]
    assert commit.message == "Add it\n\nBecause.\n\nCommitted-by: u-7"
    assert (commit.author, commit.author_email, commit.committer) == (
        "Eve",
        "eve@example.com",
        "GitHub Worker",
    )


async def test_a_remote_that_moved_on_is_built_upon(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """Their commit stays, ours comes on top, and the session has both."""
    theirs = origin.commit({"theirs.txt": "1\n"}, branch=branch)
    sessions.edit(SESSION, {"ours.txt": "1\n"})
    result = await runner.commit()
    assert result.pushed
    assert [commit.sha for commit in origin.log(branch)][:2] == [result.commit_hash, theirs]
    assert "rebasing" in runner.stages
    assert sessions.get(SESSION).read("workspace/workspace/demo/theirs.txt") == b"1\n"


async def test_a_conflict_keeps_the_commit_in_the_session(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """Nothing is forced on the remote, and nothing is lost here."""
    theirs = origin.commit({"README.md": "# Theirs\n"}, branch=branch)
    sessions.edit(SESSION, {"README.md": "# Ours\n"})
    result = await runner.commit()
    assert (result.pushed, result.push_error.code) == (False, "push_conflict")
    assert origin.branches()[branch] == theirs
    worktree = sessions.get(SESSION).extract(tmp_path)
    assert git("-C", worktree, "rev-parse", "HEAD").decode().strip() == result.commit_hash
    assert (worktree / "README.md").read_text() == "# Ours\n"


async def test_a_commit_that_was_pushed_before_the_session_was_saved(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """The same edits are asked to be committed again: there is one commit."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    before = sessions.get(SESSION).data
    first = await runner.commit(message="First words")
    sessions.put(SESSION, before)
    again = await runner.commit(message="Other words")
    assert again.pushed
    assert again.commit_hash == first.commit_hash == origin.branches()[branch]
    assert len(origin.log(branch)) == 2


async def test_a_repeat_of_the_request_gives_its_outcome(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """Edits that came later wait for a request of their own."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    first = await runner.commit(request_id="r-1")
    sessions.edit(SESSION, {"later.txt": "later\n"})
    assert await runner.commit(request_id="r-1") == first
    assert len(origin.log(branch)) == 2
    assert (await runner.commit(request_id="r-2")).files_changed == 1


async def test_a_session_that_was_saved_meanwhile_keeps_its_files(
    runner: JobRunner, git_server: GitServer, sessions: SessionFolder, branch: str, tmp_path: Path
) -> None:
    """The newer session is taken, its branch moved to the commit, its newer edit is still to be committed."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    newer = edit(
        sessions.get(SESSION).data,
        {"workspace/workspace/demo/new.txt": "newer\n", ".claude/notes": "kept"},
    )
    git_server.faults.add(Meanwhile(lambda: sessions.put(SESSION, newer)), "POST")
    result = await runner.commit()
    assert result.pushed
    stored = sessions.get(SESSION)
    worktree = stored.extract(tmp_path)
    assert git("-C", worktree, "rev-parse", "HEAD").decode().strip() == result.commit_hash
    assert git("-C", worktree, "status", "--porcelain").decode() == " M new.txt\n"
    assert (worktree / "new.txt").read_text() == "newer\n"
    assert stored.read(".claude/notes") == b"kept"


async def test_a_nested_repository_is_left_out(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """A warning names it, and the rest is committed."""
    sessions.edit(
        SESSION,
        {"vendor/lib/.git/HEAD": "ref: refs/heads/main\n", "vendor/lib/x.c": "int x;\n", "a.txt": "a\n"},
    )
    result = await runner.commit()
    assert result.files_changed == 1
    assert [
        event.message for event in runner.events if isinstance(event, Warned) if "vendor/lib" in event.message
    ]
    assert sessions.get(SESSION).read("workspace/workspace/demo/vendor/lib/.git/HEAD")


async def test_the_sessions_own_config_is_not_obeyed_and_not_changed(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str, git_server: GitServer
) -> None:
    """`insteadOf` sends the token nowhere, and every byte of the config comes back."""
    path = "workspace/workspace/demo/.git/config"
    hostile = (
        sessions.get(SESSION).read(path).decode()
        + f"""
[url "{git_server.origin}/evil/"]
\tinsteadOf = {git_server.origin}/octo/
[core]
\tworktree = /
\thooksPath = /tmp
"""
    )
    sessions.put(SESSION, edit(sessions.get(SESSION).data, {path: hostile}))
    sessions.edit(SESSION, {"new.txt": "new\n"})
    assert (await runner.commit()).pushed
    assert sessions.get(SESSION).read(path).decode() == hostile
    assert origin.files(branch) == ["README.md", "new.txt", "src/app.py"]
    assert not [request for request in git_server.requests if "/evil/" in request.path]


async def test_a_repository_on_another_host_gets_no_token(
    runner: JobRunner, sessions: SessionFolder, branch: str, origin: Origin, git_server: GitServer
) -> None:
    """Metadata may say anything; the token goes to allowed hosts only."""
    stored = sessions.get(SESSION)
    fields = (
        stored.read("workspace/.session-metadata.json")
        .decode()
        .replace(origin.url, "https://evil.example/a/b")
    )
    sessions.put(SESSION, edit(stored.data, {"workspace/.session-metadata.json": fields}))
    with pytest.raises(HostNotAllowed):
        await runner.commit()


async def test_links_and_modes_are_committed_as_they_are(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, branch: str
) -> None:
    """A link is committed as a link, and nothing that it points to is read."""
    link = tarfile.TarInfo("workspace/workspace/demo/passwd")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    sessions.edit(SESSION, {"passwd": link})
    assert (await runner.commit()).files_changed == 1
    assert origin.git("ls-tree", branch, "passwd").startswith(b"120000")
    assert origin.read(branch, "passwd") == b"/etc/passwd"


async def test_a_token_that_may_only_read(runner: JobRunner, sessions: SessionFolder, branch: str) -> None:
    """The commit is in the session, and the answer says that it is about rights."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    runner.token = READ_TOKEN
    result = await runner.commit()
    assert not result.pushed
    assert result.push_error.code in {"permission_denied", "authentication_failed"}


async def test_a_detached_head_is_refused(
    runner: JobRunner, sessions: SessionFolder, branch: str, origin: Origin
) -> None:
    """There is no branch to push."""
    sessions.edit(SESSION, {".git/HEAD": origin.branches()["main"] + "\n", "new.txt": "new\n"})
    with pytest.raises(UnsupportedRepository, match="detached"):
        await runner.commit()
