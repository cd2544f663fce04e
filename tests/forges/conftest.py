"""Forges on loopback, and a way to run one job against them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from github_worker.contract import Request
from github_worker.services import Services
from github_worker.settings import from_env
from tests.pull_requests.conftest import Jobs
from tests.support.forge import Forge
from tests.support.gitea import Gitea
from tests.support.github import GitHub
from tests.support.gitlab import GitLab
from tests.support.sessions import SessionFolder


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Yield the GitHub of the worker, which nothing is asked of here."""
    with GitHub() as github:
        yield github
    assert github.asked == []


@pytest.fixture
def gitlab() -> Iterator[GitLab]:
    """Yield a GitLab on which the branch `topic` has a commit, and hold all that was said against its API."""
    with GitLab() as gitlab:
        gitlab.repository.commit("topic", "Add dark mode toggle", {"src/theme.ts": "dark"})
        yield gitlab
    assert gitlab.violations == []


@pytest.fixture
def gitea() -> Iterator[Gitea]:
    """Yield a Gitea of the same kind."""
    with Gitea() as gitea:
        gitea.repository.commit("topic", "Add dark mode toggle", {"src/theme.ts": "dark"})
        yield gitea
    assert gitea.violations == []


@pytest.fixture(params=["gitlab", "gitea"])
def forge(request: pytest.FixtureRequest) -> Forge:
    """Return one forge after the other."""
    forge: Forge = request.getfixturevalue(request.param)
    return forge


class ForgeJobs(Jobs):
    """Runs jobs on one forge."""

    def __init__(self, services: Services, forge: Forge) -> None:
        super().__init__(services)
        self.forge = forge

    async def run(self, kind: type[Request], **fields: Any) -> Any:
        """Run a job as its body comes over the wire; a URL names the repository unless a session does."""
        place = {} if "sessionId" in fields else {"repoUrl": url_of(self.forge)}
        return await super().run(kind, **(place | {"githubAccessToken": self.forge.token} | fields))


def url_of(forge: Forge) -> str:
    """Return the repository's URL."""
    return f"{forge.origin}/{forge.repository.owner}/{forge.repository.name}"


def environment(github: GitHub, sessions: SessionFolder, folder: Path, *forges: Forge) -> dict[str, str]:
    """Return the settings of a worker that knows these forges."""
    kinds = {GitLab: "gitlab", Gitea: "forgejo"}
    entries = [f"{forge.origin}={kinds[type(forge)]}:{forge.origin}{forge.root}" for forge in forges]
    return {
        "TMP_DIR": str(folder),
        "STORAGE_URL": sessions.url,
        "GITHUB_API_URL": github.origin,
        "GIT_ALLOWED_HOSTS": ",".join([github.origin, *(forge.origin for forge in forges)]),
        "FORGES": ",".join(entries),
    }


@pytest.fixture
def jobs(forge: Forge, github: GitHub, sessions: SessionFolder, tmp_path: Path) -> ForgeJobs:
    """Return what runs jobs on a forge."""
    settings = from_env(environment(github, sessions, tmp_path, forge))
    return ForgeJobs(Services.from_settings(settings), forge)


@pytest.fixture
def gitlab_jobs(gitlab: GitLab, github: GitHub, sessions: SessionFolder, tmp_path: Path) -> ForgeJobs:
    """Return what runs jobs on GitLab."""
    settings = from_env(environment(github, sessions, tmp_path, gitlab))
    return ForgeJobs(Services.from_settings(settings), gitlab)


@pytest.fixture
def gitea_jobs(gitea: Gitea, github: GitHub, sessions: SessionFolder, tmp_path: Path) -> ForgeJobs:
    """Return what runs jobs on Gitea."""
    settings = from_env(environment(github, sessions, tmp_path, gitea))
    return ForgeJobs(Services.from_settings(settings), gitea)
