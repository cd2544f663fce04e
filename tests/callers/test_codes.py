"""The website compares the codes of pull requests letter by letter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.callers.conftest import CallFailed, CodingWorker
from tests.support.github import TOKEN, GitHub
from tests.support.worker import RestartLoop

_PLACE = {"owner": "octocat", "repo": "hello-world", "githubAccessToken": TOKEN}
_WORDS = {"title": "Dark mode", "body": "It is dark."}


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Yield a GitHub with a branch to merge."""
    with GitHub() as github:
        github.repository.commit("topic", "Add dark mode toggle", {"src/theme.ts": "dark"})
        yield github


@pytest.fixture
def worker_env(worker_env: dict[str, str], github: GitHub) -> dict[str, str]:
    """Return an environment with a GitHub in it."""
    return worker_env | {"GITHUB_API_URL": github.origin}


def fail(loop: RestartLoop, endpoint: str, **fields: Any) -> str:
    """Run a job that fails, and return its code."""
    with pytest.raises(CallFailed) as caught:
        CodingWorker(loop.base_url).call(endpoint, **_PLACE, **fields)
    return caught.value.code


def test_the_codes_are_spelled_as_they_are_compared(github: GitHub, restart_loop: RestartLoop) -> None:
    """Each end of a pull request that is not the good one."""
    github.repository.branches["same"] = github.repository.branches["main"]
    assert fail(restart_loop, "create-pull-request", head="same", base="main", **_WORDS) == "NO_COMMITS"
    github.repository.open("topic", "main", "Mine")
    assert fail(restart_loop, "create-pull-request", head="topic", base="main", **_WORDS) == "PR_EXISTS"
    github.repository.commit("main", "Go another way", {"src/theme.ts": "light"})
    assert fail(restart_loop, "auto-pull-request", branch="topic", base="main") == "MERGE_CONFLICT"
    github.repository.pulls[1].state = "closed"
    assert fail(restart_loop, "merge-pull-request", pullNumber=1) == "PR_NOT_MERGEABLE"
