"""Opening a repository on the forge that it is on: GitHub, GitLab, Gitea or Forgejo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from github_worker.contract import (
    AutoPullRequest,
    CreatePullRequest,
    MergePullRequest,
    RepositoryUrl,
    origin_of,
)
from github_worker.errors import AuthenticationFailed
from github_worker.forge.interface import Repository
from github_worker.github.client import open_github
from github_worker.github.repository import Repository as GitHubRepository
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.pull_request import Place


@asynccontextmanager
async def open_repository(
    place: Place,
    request: CreatePullRequest | MergePullRequest | AutoPullRequest,
    services: Services,
    report: Report,
) -> AsyncIterator[Repository]:
    """Open a repository by the API of its forge, which is imported where it is asked for."""
    forge, name = place
    settings = services.settings
    origin = settings.forge_origin if forge.kind == "github" else origin_of(forge.url)
    token = await services.ready_token_for(request, RepositoryUrl(origin, name.owner, name.name), report)
    if token is None:
        raise AuthenticationFailed("The repository needs a token")
    if forge.kind == "gitlab":
        from github_worker.gitlab.client import open_gitlab  # noqa: PLC0415 (most repositories are on GitHub)
        from github_worker.gitlab.repository import Repository as GitLabRepository  # noqa: PLC0415

        async with open_gitlab(settings, forge, token, report) as gitlab:
            yield GitLabRepository(gitlab, name)
    elif forge.kind in {"gitea", "forgejo"}:
        from github_worker.gitea.client import open_gitea  # noqa: PLC0415 (see above)
        from github_worker.gitea.repository import Repository as GiteaRepository  # noqa: PLC0415

        async with open_gitea(settings, forge, token, report) as gitea:
            yield GiteaRepository(gitea, name)
    else:
        async with open_github(settings, token, report) as github:
            yield GitHubRepository(github, name)
