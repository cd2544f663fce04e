"""Sends requests to GitHub: with the token to its own origin alone, again where that is safe."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin, urlsplit

from github_worker import __version__
from github_worker.contract import rfc3339
from github_worker.errors import HostNotAllowed, JobTimeout, RateLimited, RemoteUnavailable
from github_worker.github.errors import limit_pause, refusal, sentence
from github_worker.github.requests import ApiRequest
from github_worker.github.responses import ApiResponse
from github_worker.progress import Report
from github_worker.redaction import Secret, scrub
from github_worker.retry import Backoff
from github_worker.settings import Settings

if TYPE_CHECKING:
    import httpx
from github_worker.contract import MergeMethod
from github_worker.errors import PullRequestExists
from github_worker.github import checks, requests
from github_worker.github.requests import FullName, MergeOptions
from github_worker.github.responses import (
    Branch,
    CheckRun,
    CheckRuns,
    CombinedStatus,
    Commit,
    Comparison,
    Merge,
    MergeSettings,
    PullRequest,
    Ref,
    Rule,
)

_BACKOFF = Backoff(first=0.25, longest=2.0, tries=5)
_HOPS = 3
_REDIRECTS = {301, 302, 307, 308}
_SHARE = 0.95  # of a job's time: it then ends by itself, saying what it waited for


class OutcomeUnknown(RemoteUnavailable):
    """The request was sent, and what became of it is not known."""


class GitHub:
    """GitHub's REST API with one token, until shortly before the job's deadline."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings, token: Secret, report: Report) -> None:
        self._http = http
        self._url = settings.github_api_url
        self._token = token
        self._report = report
        self._deadline = time.monotonic() + settings.job_timeout * _SHARE

    async def send(self, message: ApiRequest) -> ApiResponse:
        """Send `message` and return its answer; raise a JobError where GitHub refuses or is away."""
        answer = await self._send_again(message)
        if answer.status in message.statuses:
            return answer
        raise refusal(answer, message.errors, f"{message.purpose} failed")

    async def pause(self, seconds: float, reason: str) -> None:
        """Wait; raise JobTimeout, saying the reason, when the job's time would be over by then."""
        if seconds > self._left():
            raise JobTimeout(f"The job's time is over: {reason}")
        await asyncio.sleep(seconds)

    async def _send_again(self, message: ApiRequest) -> ApiResponse:
        for failures in range(1, _BACKOFF.tries):
            try:
                return await self._within_limits(message)
            except OutcomeUnknown:
                if not message.repeatable:
                    raise
            except RemoteUnavailable:
                pass  # nothing was sent
            await self.pause(_BACKOFF.pause(failures), "GitHub does not answer")
        return await self._within_limits(message)

    async def _within_limits(self, message: ApiRequest) -> ApiResponse:
        while True:
            answer = await self._exchange(message)
            seconds = limit_pause(answer, time.time())
            if seconds is None:
                return answer
            await self._wait_for_limit(seconds, sentence(answer))

    async def _wait_for_limit(self, seconds: float, said: str) -> None:
        until = rfc3339(datetime.fromtimestamp(time.time() + seconds, UTC))
        if seconds > self._left():
            raise RateLimited(
                f"GitHub takes no more requests until {until}: {said}",
                data={"retryAt": until, "retryAfter": ceil(seconds)},
            )
        self._report.warning("rate_limited", f"GitHub takes no more requests until {until}: waiting")
        await asyncio.sleep(seconds)

    async def _exchange(self, message: ApiRequest) -> ApiResponse:
        url = f"{self._url}{message.path}?{urlencode(message.query)}".rstrip("?")
        for _ in range(_HOPS):
            answer = await self._request(url, message)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                break
            url = self._same_origin(urljoin(url, location))
        if answer.status >= 500:
            raise OutcomeUnknown(f"GitHub fails: {sentence(answer)}")
        return answer

    async def _request(self, url: str, message: ApiRequest) -> ApiResponse:
        import httpx  # noqa: PLC0415 (most jobs are not about pull requests)

        try:
            response = await self._http.request(
                message.method,
                url,
                json=message.body,
                headers={"Authorization": f"Bearer {self._token.reveal()}"},
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise RemoteUnavailable(f"GitHub cannot be reached: {_named(error)}") from None
        except httpx.RequestError as error:
            raise OutcomeUnknown(f"The connection to GitHub broke: {_named(error)}") from None
        return ApiResponse(response.status_code, dict(response.headers), response.content)

    def _same_origin(self, url: str) -> str:
        if urlsplit(url)[:2] != urlsplit(self._url)[:2]:
            raise HostNotAllowed("GitHub redirects to another host, and the token is not sent there")
        return url

    def _left(self) -> float:
        return self._deadline - time.monotonic()


@asynccontextmanager
async def open_github(settings: Settings, token: Secret, report: Report) -> AsyncIterator[GitHub]:
    """Open GitHub's API; times out when it sends no byte for as long as a git server may."""
    import httpx  # noqa: PLC0415 (see above)

    headers = {
        "Accept": "application/vnd.github+json",
        "User-Agent": f"github-worker/{__version__}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    proxy = settings.proxy_for(settings.github_api_url)
    # trust_env would read proxies from the environment; the machine's authorities are those that git trusts
    async with httpx.AsyncClient(
        headers=headers,
        timeout=settings.git_timeout,
        verify=ssl.create_default_context(),
        proxy=proxy.reveal() if proxy else None,
        trust_env=False,
    ) as http:
        yield GitHub(http, settings, token, report)


def _named(error: Exception) -> str:
    return scrub(f"{type(error).__name__} {error}".strip())


class Repository:
    """A repository; every method raises a JobError where GitHub refuses."""

    def __init__(self, github: GitHub, name: FullName) -> None:
        self.github = github
        self.name = name

    async def find_open(self, head: str, base: str) -> PullRequest | None:
        """Return the open pull request from `head` into `base`."""
        found = await self._listed("open", base, head)
        return next((pull_request for pull_request in found if pull_request.of(head)), None)

    async def find_merged(self, head: str, base: str) -> PullRequest | None:
        """Return the newest merged pull request from `head` into `base`."""
        found = await self._listed("closed", base, head)
        return next((one for one in found if one.of(head) and one.merged), None)

    async def recent_titles(self, base: str, count: int) -> list[str]:
        """Return the titles of the newest pull requests into `base`."""
        return [pull_request.title for pull_request in await self._listed("all", base, None, count)]

    async def open(self, *, head: str, base: str, title: str, body: str, draft: bool) -> PullRequest:
        """Open a pull request, one even if an answer is lost; raise PullRequestExists if there was one."""
        message = requests.open_pull_request(
            self.name, head=head, base=base, title=title, body=body, draft=draft
        )
        try:
            return await self._opened(message, head, base)
        except OutcomeUnknown:
            if found := await self.find_open(head, base):
                return found
        return await self._opened(message, head, base)

    async def pull_request(self, number: int) -> PullRequest:
        """Return one pull request."""
        return (await self.github.send(requests.pull_request(self.name, number))).decoded(PullRequest)

    async def merge(self, number: int, sha: str, options: MergeOptions) -> Merge:
        """Merge a pull request whose head is `sha`; raise PullRequestNotMergeable or MergeConflict."""
        message = requests.merge_pull_request(self.name, number, sha, options)
        return (await self.github.send(message)).decoded(Merge)

    async def merge_methods(self) -> list[MergeMethod]:
        """Return the ways of merging that the repository allows."""
        forge = (await self.github.send(requests.repository(self.name))).decoded(MergeSettings)
        allowed: dict[MergeMethod, bool] = {
            "merge": forge.allow_merge_commit,
            "squash": forge.allow_squash_merge,
            "rebase": forge.allow_rebase_merge,
        }
        return [method for method, is_allowed in allowed.items() if is_allowed]

    async def merge_branch(self, *, into: str, source: str) -> str | None:
        """Merge a branch into another and return the merge commit, None where there is nothing to merge."""
        answer = await self.github.send(requests.merge_branch(self.name, into=into, source=source))
        return None if answer.status == 204 else answer.decoded(Commit).sha

    async def compare(self, base: str, head: str) -> Comparison:
        """Return what `head` has that `base` has not."""
        return (await self.github.send(requests.compare(self.name, base=base, head=head))).decoded(Comparison)

    async def tip(self, branch: str) -> str | None:
        """Return the commit that a branch is at, None where it does not exist."""
        answer = await self.github.send(requests.branch_tip(self.name, branch))
        return answer.decoded(Ref).object.sha if answer.status == 200 else None

    async def delete_branch(self, branch: str) -> None:
        """Delete a branch; raise BranchNotFound if it is gone."""
        await self.github.send(requests.delete_branch(self.name, branch))

    async def checks(self, sha: str) -> list[checks.Check]:
        """Return the checks of a commit, of both kinds."""
        runs = await self._check_runs(sha)
        status = (await self.github.send(requests.commit_status(self.name, sha))).decoded(CombinedStatus)
        return [*map(checks.of_run, runs), *map(checks.of_status, status.statuses)]

    async def required_checks(self, branch: str) -> set[str]:
        """Return the names of the checks without which nothing is merged into `branch`."""
        protected = (await self.github.send(requests.branch(self.name, branch))).decoded(Branch)
        answer = await self.github.send(requests.branch_rules(self.name, branch))
        rules = answer.decoded(list[Rule]) if answer.status == 200 else []
        return checks.required(protected, rules)

    async def _opened(self, message: ApiRequest, head: str, base: str) -> PullRequest:
        try:
            return (await self.github.send(message)).decoded(PullRequest)
        except PullRequestExists as error:
            found = await self.find_open(head, base)
            raise (exists(found) if found else error) from None

    async def _check_runs(self, sha: str) -> list[CheckRun]:
        runs: list[CheckRun] = []
        page = 1
        while True:
            answer = (await self.github.send(requests.check_runs(self.name, sha, page))).decoded(CheckRuns)
            runs += answer.check_runs
            if len(runs) >= answer.total_count or not answer.check_runs:
                return runs
            page += 1

    async def _listed(
        self, state: str, base: str, head: str | None, count: int = requests.PAGE
    ) -> list[PullRequest]:
        message = requests.list_pull_requests(self.name, state=state, base=base, head=head, count=count)
        return (await self.github.send(message)).decoded(list[PullRequest])


def exists(pull_request: PullRequest) -> PullRequestExists:
    """Return the error that says which pull request there is already."""
    return PullRequestExists(
        f"There is an open pull request already: #{pull_request.number} ({pull_request.html_url})",
        data={"number": pull_request.number, "htmlUrl": pull_request.html_url},
    )
