"""Fixtures of the submodules' tests: a server with a repository that has some, and sessions of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from github_worker.contract import Warned
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.repositories import Repository, git, with_token
from tests.support.sessions import SessionFolder

_PERSON = {f"GIT_{role}_{word}": value for role in ("AUTHOR", "COMMITTER")
           for word, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))}  # fmt: skip


class Scene:
    """A repository `octo/demo`, those that become its submodules, and what the service does with them."""

    def __init__(self, runner: JobRunner, server: GitServer, sessions: SessionFolder, folder: Path) -> None:
        self.runner, self.server, self.sessions = runner, server, sessions
        self.folder = folder
        self.demo = server.seed("octo", "demo")
        self._unpacked = 0

    def library(self, name: str = "lib", commits: int = 3) -> Repository:
        """Make a repository with a few commits."""
        library = self.server.seed("octo", name)
        for number in range(1, commits):
            library.commit({"version.txt": f"{number}\n", "src/lib.py": f"VERSION = {number}\n"})
        return library

    def add(
        self, to: Repository, path: str, commit: str, url: str = "../lib.git", name: str = "", more: str = ""
    ) -> None:
        """Let `main` of a repository have a submodule."""
        old = to.read("main", ".gitmodules").decode() if ".gitmodules" in to.files() else ""
        section = f'[submodule "{name or path}"]\n\tpath = {path}\n\turl = {url}\n{more}'
        to.commit({".gitmodules": old + section}, f"Name {path}")
        self.move(to, path, commit)

    def move(self, to: Repository, path: str, commit: str) -> str:
        """Let `main` of a repository record a commit of a submodule, and return its own."""
        index = {"GIT_INDEX_FILE": str(self.folder / "index"), "GIT_DIR": str(to.path)}
        env = git_env() | index
        git("read-tree", "main", env=env)
        git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}", env=env)
        tree = git("write-tree", env=env).decode().strip()
        new = git("commit-tree", tree, "-p", "main", "-m", f"Move {path}", env=env).decode().strip()
        to.git("update-ref", "refs/heads/main", new)
        return new

    async def begin(self) -> tuple[Repository, str]:
        """Clone a submodule, and let its remote and the commit that is recorded move on; return both."""
        library = self.library()
        self.add(self.demo, "lib", library.branches()["main"])
        await self.runner.clone(self.demo.url, submodules=True)
        new = library.commit({"later.txt": "later\n", "README.md": None})
        self.move(self.demo, "lib", new)
        return library, new

    def lay_out(self) -> Path:
        """Unpack the stored session anew, and return its repository."""
        self._unpacked += 1
        return self.sessions.get(SESSION).extract(self.folder / f"session-{self._unpacked}")

    def save(self, repository: Path, directory: str = "demo") -> None:
        """Store what was laid out, with what was done to it."""
        root = repository.parents[directory.count("/") + 2]
        self.sessions.put(SESSION, pack(root))

    def warnings(self) -> list[str]:
        """Return what the last job warned of."""
        return [event.message for event in self.runner.events if isinstance(event, Warned)]

    def git(self, folder: Path, *arguments: str) -> str:
        """Run git in a folder, with the token, and return its output."""
        return os.fsdecode(git("-C", folder, *arguments, env=git_env()))


def git_env() -> dict[str, str]:
    """Return the environment of a person's git."""
    return with_token(WRITE_TOKEN) | _PERSON


def pack(root: Path) -> bytes:
    """Pack a session as GNU tar does."""
    return subprocess.run(["tar", "-czf", "-", "workspace"], cwd=root, capture_output=True, check=True).stdout


@pytest.fixture
def scene(
    worker_env: dict[str, str], git_server: GitServer, sessions: SessionFolder, tmp_path: Path
) -> Scene:
    """Return a scene whose only repository has no submodule yet."""
    folder = tmp_path / "scene"
    folder.mkdir()
    return Scene(JobRunner(worker_env | {"GIT_TIMEOUT": "20"}), git_server, sessions, folder)
