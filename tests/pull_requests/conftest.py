"""GitHub on loopback, and a way to run one job against it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from github_worker.contract import (
    AnyEvent,
    AutoPullRequest,
    CreatePullRequest,
    MergePullRequest,
    Progress,
    Request,
    Warned,
    decode_request,
)
from github_worker.operations.auto_pull_request import auto_pull_request
from github_worker.operations.create_pull_request import create_pull_request
from github_worker.operations.merge_pull_request import merge_pull_request
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.settings import from_env
from tests.support.github import TOKEN, GitHub
from tests.support.model import Model
from tests.support.sessions import SessionFolder

_OPERATIONS: dict[type[Request], Callable[..., Awaitable[Any]]] = {
    CreatePullRequest: create_pull_request,
    MergePullRequest: merge_pull_request,
    AutoPullRequest: auto_pull_request,
}


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Yield a GitHub on which the branch `topic` has a commit, and hold all that was said against its API."""
    with GitHub() as github:
        github.repository.commit("topic", "Add dark mode toggle", {"src/theme.ts": "dark"})
        yield github
    assert github.violations == []


class Jobs:
    """Runs jobs and keeps their events."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.events: list[AnyEvent] = []

    async def run(self, kind: type[Request], **fields: Any) -> Any:
        """Run a job as its body comes over the wire; the repository is named unless a session or a URL is."""
        place = (
            {} if {"sessionId", "repoUrl"} & fields.keys() else {"owner": "octocat", "repo": "hello-world"}
        )
        body = msgspec.json.encode(place | {"githubAccessToken": TOKEN} | fields)
        return await _OPERATIONS[kind](decode_request(kind, body), self.services, Report(self.events.append))

    @property
    def stages(self) -> list[str]:
        """The stages so far, each run of one once."""
        stages = [event.stage for event in self.events if isinstance(event, Progress)]
        return [stage for at, stage in enumerate(stages) if stage not in stages[max(0, at - 1) : at]]

    @property
    def warnings(self) -> list[str]:
        """The codes of the warnings so far."""
        return [event.code for event in self.events if isinstance(event, Warned)]


@pytest.fixture
def env(github: GitHub, model: Model, sessions: SessionFolder, tmp_path: Path) -> dict[str, str]:
    """Return the settings of the jobs' worker; a test may change them before it asks for `jobs`."""
    return {
        "TMP_DIR": str(tmp_path),
        "STORAGE_URL": sessions.url,
        "GITHUB_API_URL": github.origin,
        "GIT_ALLOWED_HOSTS": github.origin,
        "ANTHROPIC_BASE_URL": model.origin,
    }


def metadata_of(server: GitHub, **fields: Any) -> dict[str, Any]:
    """Return the metadata of a session on the branch `topic`, with other fields where they are given."""
    repository = {"repoUrl": f"{server.origin}/octocat/hello-world.git", "clonedPath": "hello-world"}
    return {"branch": "topic", "github": repository} | fields


@pytest.fixture
def jobs(env: dict[str, str]) -> Jobs:
    """Return what runs jobs."""
    return Jobs(Services.from_settings(from_env(env)))
