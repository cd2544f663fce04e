"""GitHub's APIs, as the requests are sent to them and their refusals understood."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from github_worker import __version__
from github_worker.errors import JobError
from github_worker.forge.client import Client, open_http
from github_worker.forge.requests import ApiRequest, ApiResponse
from github_worker.github.errors import read_limit_pause, read_sentence, translate_refusal
from github_worker.github.requests import GRAPHQL
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.settings import Settings

HEADERS = {
    "Accept": "application/vnd.github+json",
    "User-Agent": f"github-worker/{__version__}",
    "X-GitHub-Api-Version": "2022-11-28",
}


class GitHub(Client):
    """GitHub's APIs with one token."""

    forge = "GitHub"

    def translate(self, response: ApiResponse, request: ApiRequest) -> JobError:
        """Return the error that a response stands for, by its status and GitHub's own words."""
        return translate_refusal(response, request.errors, f"{request.purpose} failed")

    def read_sentence(self, response: ApiResponse) -> str:
        """Return GitHub's message with its details."""
        return read_sentence(response)

    def read_limit_pause(self, response: ApiResponse, now: float) -> float | None:
        """Return the seconds until GitHub takes requests again."""
        return read_limit_pause(response, now)

    def choose_root(self, request: ApiRequest) -> str:
        """Return the REST API's URL; GitHub Enterprise has it at /api/v3, and GraphQL beside it."""
        root = super().choose_root(request)
        return root.removesuffix("/v3") if request.path == GRAPHQL else root


@asynccontextmanager
async def open_github(
    settings: Settings, token: Secret, report: Report, kind: type[GitHub] = GitHub
) -> AsyncIterator[GitHub]:
    """Open GitHub's API; it times out when it sends no byte for as long as a git server may."""
    url = settings.github_api_url
    async with open_http(settings, "github", url, HEADERS) as http:
        yield kind(http, url, settings, token, report)
