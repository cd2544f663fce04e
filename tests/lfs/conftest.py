"""A forge with large files, a session's jobs, and git with git-lfs, who judges both."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from github_worker.contract import Transferred, Warned
from tests.conftest import WRITE_TOKEN
from tests.fidelity.arena import Git
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.lfs import LargeFileServer
from tests.support.repositories import Repository as Origin
from tests.support.sessions import SessionFolder, edit

ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
REPOSITORY = "workspace/workspace/demo"
# What `git lfs install` writes, and a token for whoever asks.
_CONFIG = {
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.required": "true",
    "credential.helper": f"!f() {{ echo username=x; echo password={WRITE_TOKEN}; }}; f",
    "protocol.allow": "always",
}


class Judge:
    """Git with git-lfs, in folders of its own."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder, self.origin = folder, origin
        folder.mkdir()

    def git(self, folder: Path) -> Git:
        """Return git in a folder."""
        return Git(folder, config=_CONFIG)

    def clone(self, name: str = "clone", branch: str = "main") -> Git:
        """Clone, contents and all."""
        self.git(self.folder)("clone", "--quiet", "--branch", branch, self.origin.url, name)
        return self.git(self.folder / name)

    def push(self, files: Mapping[str, bytes], branch: str = "main", name: str = "pushing") -> None:
        """Commit files to a branch that is there, and push them with their contents."""
        git = self.clone(name, branch)
        for path, content in files.items():
            (git.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (git.folder / path).write_bytes(content)
        git("add", "--all")
        git("commit", "--quiet", "--message=Change large files")
        git("lfs", "push", "origin", branch)
        git("push", "--quiet", "origin", branch)

    def unpack(self, archive: bytes, name: str = "session") -> Git:
        """Unpack a session as a coding worker does, and return git in its repository."""
        folder = self.folder / name
        folder.mkdir()
        subprocess.run(("tar", "-xz", "-C", folder), input=archive, check=True)
        return self.git(folder / REPOSITORY)


class LargeRunner(JobRunner):
    """Runs jobs that do what git-lfs does."""

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """The last job's warnings."""
        return [(event.code, event.message) for event in self.events if isinstance(event, Warned)]

    def transfers(self, stage: str) -> list[Transferred]:
        """The last job's counts of a stage."""
        return [event for event in self.events if isinstance(event, Transferred) and event.stage == stage]


class StoredSession:
    """The session, as it is stored and as a coding worker changes it."""

    def __init__(self, sessions: SessionFolder) -> None:
        self._sessions = sessions

    @property
    def archive(self) -> bytes:
        """The archive."""
        return self._sessions.get(SESSION).data

    def read(self, path: str) -> bytes:
        """Return a file of the repository."""
        return self._sessions.get(SESSION).read(f"{REPOSITORY}/{path}")

    def names(self) -> set[str]:
        """Return the files and the folders of the repository."""
        prefix = f"{REPOSITORY}/"
        members = self._sessions.get(SESSION).members()
        return {name.removeprefix(prefix) for name in members if name.startswith(prefix)}

    def write(self, files: Mapping[str, Any]) -> None:
        """Change files of the repository."""
        named = {f"{REPOSITORY}/{path}": content for path, content in files.items()}
        self._sessions.put(SESSION, edit(self.archive, named))

    def repack(self, worktree: Path) -> None:
        """Store the session that was unpacked and changed in a folder."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.add(worktree.parents[2] / "workspace", "workspace")
        self._sessions.put(SESSION, buffer.getvalue())


@pytest.fixture
def large_files(git_server: GitServer, tmp_path: Path) -> LargeFileServer:
    """Return the large files of the git server."""
    git_server.large_files = LargeFileServer(tmp_path / "large")
    return git_server.large_files


@pytest.fixture
def origin(git_server: GitServer, large_files: LargeFileServer) -> Origin:
    """Return a repository that keeps *.bin as large files, and has one."""
    files = {"README.md": "# Demo\n", ".gitattributes": ATTRIBUTES, "a.bin": large_files.put(b"a" * 5000)}
    return git_server.seed("octo", "demo", files)


@pytest.fixture
def runner(worker_env: dict[str, str]) -> LargeRunner:
    """Return a runner whose sessions and remote are this test's, with git-lfs."""
    return LargeRunner(worker_env | {"GIT_TIMEOUT": "5", "STORAGE_TIMEOUT": "5", "LFS": "on"})


@pytest.fixture
def judge(tmp_path: Path, origin: Origin) -> Judge:
    """Return git with git-lfs, or skip the test where there is none."""
    if shutil.which("git-lfs") is None:
        pytest.skip("there is no git-lfs: scripts/test could not unpack Debian's package")
    return Judge(tmp_path / "judge", origin)


@pytest.fixture
def session(sessions: SessionFolder) -> StoredSession:
    """Return the session, once there is one."""
    return StoredSession(sessions)
