"""Fixtures of the git room: a clone of a seeded repository, and the wish to make more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from github_worker.contract import RepositoryUrl
from github_worker.git.checkout import write_worktree
from github_worker.git.clone import choose, fetch
from github_worker.git.native import isolate
from github_worker.git.repository import Person, Repository
from github_worker.redaction import Secret
from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin

Clone = Callable[..., Repository]
COMMITTER = Person("Worker", "worker@example.com")


@pytest.fixture(autouse=True)
def isolated() -> None:
    """Cut libgit2 off from this machine's configuration, as the service does."""
    isolate(5)


@pytest.fixture
def origin(git_server: GitServer) -> Origin:
    """Return a repository with two files."""
    return git_server.seed("octo", "demo", {"README.md": "# Demo\n", "src/app.py": "print('hi')\n"})


@pytest.fixture
def clone(origin: Origin, tmp_path: Path) -> Clone:
    """Return a function that clones the repository into a folder of its own."""

    def make(
        folder: str = "clone",
        *,
        branch: str | None = None,
        token: str | None = WRITE_TOKEN,
        url: str | None = None,
        depth: int | None = None,
        all_branches: bool = False,
    ) -> Repository:
        address = RepositoryUrl.parse(url or origin.url)
        secret = Secret(token) if token else None
        repository = Repository.create(tmp_path / folder, address, secret, COMMITTER)
        choice = choose(repository.remote.heads(), branch)
        fetch(repository, choice, depth=depth, all_branches=all_branches)
        if choice.at:
            write_worktree(repository, choice.at)
        return repository

    return make
