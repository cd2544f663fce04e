"""GitLab's API, as the requests are sent to it and its refusals understood."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar
from urllib.parse import quote

from github_worker import __version__
from github_worker.errors import BranchNotFound, PullRequestExists
from github_worker.forge.client import Client, open_http
from github_worker.forge.errors import HeadMoved, Sentences
from github_worker.forge.pull_request import FullName
from github_worker.forge.requests import ApiRequest
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.settings import Forge, Settings

_HEADERS: Mapping[str, str] = {"Accept": "application/json", "User-Agent": f"github-worker/{__version__}"}


class GitLab(Client):
    """GitLab's API with one token: a personal, project or group access token, or an OAuth token."""

    forge = "GitLab"
    sentences: ClassVar[Sentences] = (
        (r"already exists for this source branch", PullRequestExists),
        (r"sha does not match", HeadMoved),
        (r"ref.* not found|(?:source|target)[_ ]branch.*(?:not exist|blank|invalid)", BranchNotFound),
    )


def project_path(project: FullName) -> str:
    """Return a project's path in the API, its groups and name quoted as one."""
    return f"/projects/{quote(str(project), safe='')}"


def get_project(project: FullName) -> ApiRequest:
    """Ask for the project itself."""
    return ApiRequest(purpose=f"Asking for {project}", method="GET", path=project_path(project))


@asynccontextmanager
async def open_gitlab(
    settings: Settings, forge: Forge, token: Secret, report: Report
) -> AsyncIterator[GitLab]:
    """Open GitLab's API; it times out when it sends no byte for as long as a git server may."""
    async with open_http(settings, "gitlab", forge.url, _HEADERS) as http:
        yield GitLab(http, forge.url, settings, token, report)
