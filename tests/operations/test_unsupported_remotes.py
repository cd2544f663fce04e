"""Remotes that no other try would make work: what they are is said once, and not tried again."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from github_worker.errors import PushRejected, UnsupportedRepository
from github_worker.progress import ByteCount
from github_worker.redaction import scrub
from github_worker.services import Services
from github_worker.settings import from_env
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.faults import Answer
from tests.support.git_server import GitServer, Manner
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git, with_token
from tests.support.sessions import SessionFolder

ASK = "GET /octo/demo.git/info/refs"
PUSH = "POST /octo/demo.git/git-receive-pack"


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("dumb", "the dumb protocol is not supported"),
        ("version 2", "version 2 of git's protocol alone"),
        ("http/1.0", "does not say how long its answers are"),
    ],
)
async def test_a_server_that_git_alone_can_ask(
    runner: JobRunner, origin: Origin, git_server: GitServer, tmp_path: Path, manner: Manner, words: str
) -> None:
    """It is told what it is after one try; git clones from it."""
    origin.git("update-server-info")
    git_server.manner = manner
    with pytest.raises(UnsupportedRepository, match=words):
        await runner.clone(origin.url)
    assert len([request for request in git_server.requests if ASK in request.line]) == 2  # with the 401
    git("clone", "--quiet", origin.url, tmp_path / "git", env=with_token(WRITE_TOKEN))


async def test_a_repository_by_sha256(runner: JobRunner, git_server: GitServer) -> None:
    """Its objects have names that libgit2 cannot read."""
    origin = git_server.create("octo", "demo", object_format="sha256")
    origin.commit({"README.md": "# Demo\n"})
    with pytest.raises(UnsupportedRepository, match="SHA-256"):
        await runner.clone(origin.url)
    assert len([request for request in git_server.requests if ASK in request.line]) == 2


async def test_a_pack_over_the_servers_limit(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, git_server: GitServer
) -> None:
    """The server's own words are the answer, the pack is sent once, and the commit is kept."""
    await runner.clone(origin.url)
    origin.configure("receive.maxInputSize", "1000")
    sessions.edit(SESSION, {"noise.bin": os.urandom(100_000)})
    result = await runner.commit()
    assert (result.pushed, result.push_error.code) == (False, PushRejected.code)
    assert "pack exceeds maximum allowed size" in result.push_error.message
    assert len([request for request in git_server.requests if PUSH in request.line]) <= 2
    origin.configure("receive.maxInputSize", "0")
    again = await runner.commit()
    assert (again.pushed, again.commit_hash) == (True, result.commit_hash)


async def test_a_pack_over_the_limit_of_what_stands_before_the_server(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, git_server: GitServer
) -> None:
    """A status of 413 is about the pack's size as well."""
    await runner.clone(origin.url)
    git_server.faults.add(Answer(413), PUSH, times=9)
    sessions.edit(SESSION, {"new.txt": "new\n"})
    result = await runner.commit()
    assert (result.pushed, result.push_error.code) == (False, PushRejected.code)


def commit_path(origin: Origin, path: str, mode: str = "100644", content: bytes = b"x\n") -> None:
    """Put a commit on `main` whose tree has one path, whatever git would say to it."""
    oid = origin.git("hash-object", "-w", "--stdin", stdin=content).decode().strip()
    for segment in reversed(path.split("/")):
        entry = f"{mode} {segment}\0".encode() + bytes.fromhex(oid)
        oid = origin.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=entry).decode()
        oid, mode = oid.strip(), "40000"
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    commit = origin.git(*identity, "commit-tree", oid, "-m", "Odd").decode().strip()
    origin.git("update-ref", "refs/heads/main", commit)


@pytest.mark.parametrize(
    ("path", "mode", "content"),
    [
        (".git/x", "100644", b"x\n"),
        ("a/.git", "100644", b"x\n"),
        (".GIT/x", "100644", b"x\n"),
        (".git./x", "100644", b"x\n"),
        ("git~1", "100644", b"x\n"),
        ("../x", "100644", b"x\n"),
        ("a/../x", "100644", b"x\n"),
        ("x" * 300, "100644", b"x\n"),
        ("a/" + "x" * 300 + "/b", "100644", b"x\n"),
        ("/".join(["y" * 200] * 25), "100644", b"x\n"),
        ("link", "120000", b"x" * 5000),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_path_that_no_checkout_can_make(
    runner: JobRunner, git_server: GitServer, tmp_path: Path, path: str, mode: str, content: bytes
) -> None:
    """It is named as the repository has it, and not where the worker keeps it; git refuses the same ones."""
    origin = git_server.create("octo", "demo")
    commit_path(origin, path, mode, content)
    with pytest.raises(UnsupportedRepository) as raised:
        await runner.clone(origin.url)
    assert f"no checkout can make: {path[:200]}" in str(raised.value)
    assert runner.env["TMP_DIR"] not in str(raised.value)
    git("clone", "--quiet", "--no-checkout", origin.url, tmp_path / "git", env=with_token(WRITE_TOKEN))
    with pytest.raises(CalledProcessError):
        git("-C", tmp_path / "git", "reset", "--hard")


@pytest.mark.parametrize("path", ["con", "a\\b", "x:y", ".g\u200cit/x", ".gitmodules", "y" * 255])
async def test_a_path_that_only_other_systems_refuse(
    runner: JobRunner, git_server: GitServer, sessions: SessionFolder, path: str
) -> None:
    """It is checked out here, as git does."""
    origin = git_server.create("octo", "demo")
    commit_path(origin, path)
    await runner.clone(origin.url)
    assert sessions.get(SESSION).read(f"workspace/workspace/demo/{path}") == b"x\n"


async def test_a_session_is_not_told_by_where_it_is(runner: JobRunner, origin: Origin) -> None:
    """Paths in a message begin in the session, as its archive has them."""
    await runner.clone(origin.url)
    services = Services.from_settings(from_env(runner.env))
    folders = services.sessions.load(SESSION, ByteCount()).folders
    assert scrub(f"'{folders.tree}/workspace/x' '{folders.quarantine}/y'") == "'workspace/x' 'y'"
    await services.cleanup()
    assert scrub(str(folders.tree)) == str(folders.tree)
