"""What is elsewhere: git hosts, a repository, GitHub's API with a token."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path

import httpx

from github_worker.cli.verdict import Verdict, fails, note, works
from github_worker.contract import RepositoryUrl
from github_worker.errors import AuthenticationFailed, PermissionDenied
from github_worker.forge.requests import ApiRequest
from github_worker.git.native import isolate
from github_worker.git.repository import Person, Repository
from github_worker.github.client import open_github
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.settings import GitHubApp, Settings

_SCOPES = "x-oauth-scopes"  # which GitHub tells of a classic token alone
_NO_SCOPES = (
    "the token is taken; it is fine-grained or an app's, of which GitHub does not tell what it may do: "
    "it needs contents and pull requests, both to read and write"
)


async def reach_host(settings: Settings, host: str) -> Verdict:
    """Ask a git server for anything at all."""
    if host == "*":
        return note("a token may be sent to any host of https, by GIT_ALLOWED_HOSTS")
    origin = host if "://" in host else f"https://{host}"
    return await reach_api(settings, origin)


async def reach_repository(settings: Settings, text: str, token: Secret | None) -> Verdict:
    """Ask for a repository's branches, as a clone does."""
    try:
        url = RepositoryUrl.parse(text)
    except ValueError as error:
        return fails(f"--repo-url {error}")
    if not settings.allows(url.origin):
        return fails(f"GIT_ALLOWED_HOSTS does not allow {url.origin}")
    with tempfile.TemporaryDirectory(dir=settings.tmp_dir) as folder:
        count = await asyncio.to_thread(_count_branches, settings, url, token, Path(folder))
    return works(f"{url}: it has {count} {'branch' if count == 1 else 'branches'}")


async def reach_forge(settings: Settings, token: Secret | None) -> Verdict:
    """Ask GitHub's API what it thinks of the token, which costs none of its limit."""
    url = settings.github_api_url
    if token is None:
        verdict = await reach_api(settings, url)
        return works(f"{verdict.text}; no GITHUB_TOKEN to try") if verdict.mark == "ok" else verdict
    request = ApiRequest(
        purpose="Asking for the token's limits",
        method="GET",
        path="/rate_limit",
        # An Enterprise server without limits has no such page.
        statuses=frozenset({200, 404}),
        errors={401: AuthenticationFailed, 403: PermissionDenied},
    )
    try:
        async with open_github(settings, token, Report(lambda _: None)) as github:
            response = await github.send(request)
    except AuthenticationFailed:
        return fails(f"{url} does not take the token of GITHUB_TOKEN")
    return _judge_scopes(response.headers.get(_SCOPES))


async def reach_app(settings: Settings, app: GitHubApp) -> Verdict:
    """Ask GitHub's API who the GitHub App is that the settings name."""
    from github_worker.github.app import find_slug  # noqa: PLC0415 (few services have an app)

    slug = await find_slug(settings, app, Report(lambda _: None))
    return works(f"acts as {slug}, for {', '.join(app.repositories)}")


def _judge_scopes(told: str | None) -> Verdict:
    if told is None:
        return works(_NO_SCOPES)
    scopes = {scope.strip() for scope in told.split(",") if scope.strip()}
    if "repo" in scopes:
        lack = "" if "workflow" in scopes else "; to push changes of .github/workflows it lacks workflow"
        return works(f"the token has the scopes {', '.join(sorted(scopes))}{lack}")
    if "public_repo" in scopes:
        return note("the token has the scope public_repo alone: private repositories need repo")
    return fails(f"the token lacks the scope repo; it has {', '.join(sorted(scopes)) or 'none'}")


def _count_branches(settings: Settings, url: RepositoryUrl, token: Secret | None, folder: Path) -> int:
    isolate(settings.git_timeout)
    committer = Person(settings.committer_name, settings.committer_email)
    username = settings.username_for(url.origin)
    repository = Repository.create(folder / "probe", url, token, committer, username)
    return len(repository.remote.heads().branches)


async def reach_api(settings: Settings, url: str) -> Verdict:
    """Ask a server for anything at all; what it answers is of no interest, unless it fails."""
    proxy = settings.proxy_for(url)
    try:
        async with (
            httpx.AsyncClient(
                timeout=settings.git_timeout,
                verify=ssl.create_default_context(),
                proxy=proxy.reveal() if proxy else None,
                trust_env=False,
            ) as http,
            http.stream("GET", url) as response,
        ):
            status = response.status_code
    except httpx.HTTPError as error:
        return fails(f"{url} cannot be reached: {type(error).__name__} {error}")
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return fails(f"{url} fails: HTTP {status}")
    return works(f"{url} answers")
