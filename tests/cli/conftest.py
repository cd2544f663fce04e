"""Fixtures of the command line's tests: an environment for it, a repository, a session."""

from __future__ import annotations

import os

import pytest

from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.repositories import Repository


@pytest.fixture
def env(worker_env: dict[str, str]) -> dict[str, str]:
    """Return the environment of the command: the workers', a token, and where programs are."""
    return worker_env | {"GITHUB_TOKEN": WRITE_TOKEN, "PATH": os.environ["PATH"]}


@pytest.fixture
def origin(git_server: GitServer) -> Repository:
    """Return a repository with one commit."""
    return git_server.seed("acme", "shop")
