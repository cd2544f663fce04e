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
from github_worker.github import limits
from github_worker.github.answers import Answer
from github_worker.github.messages import Message
from github_worker.github.refusals import refusal, sentence
from github_worker.progress import Report
from github_worker.redaction import Secret, scrub
from github_worker.settings import Settings

if TYPE_CHECKING:
    import httpx

_PAUSES = (0.25, 0.5, 1.0, 2.0)  # seconds between tries
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

    async def send(self, message: Message) -> Answer:
        """Send `message` and return its answer; raise a JobError where GitHub refuses or is away."""
        answer = await self._retried(message)
        if answer.status in message.statuses:
            return answer
        raise refusal(answer, message.errors, f"{message.purpose} failed")

    async def pause(self, seconds: float, reason: str) -> None:
        """Wait; raise JobTimeout, saying the reason, when the job's time would be over by then."""
        if seconds > self._left():
            raise JobTimeout(f"The job's time is over: {reason}")
        await asyncio.sleep(seconds)

    async def _retried(self, message: Message) -> Answer:
        for pause in _PAUSES:
            try:
                return await self._within_limits(message)
            except OutcomeUnknown:
                if not message.repeatable:
                    raise
            except RemoteUnavailable:
                pass  # nothing was sent
            await self.pause(pause, "GitHub does not answer")
        return await self._within_limits(message)

    async def _within_limits(self, message: Message) -> Answer:
        while True:
            answer = await self._exchange(message)
            seconds = limits.pause(answer, time.time())
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

    async def _exchange(self, message: Message) -> Answer:
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

    async def _request(self, url: str, message: Message) -> Answer:
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
        return Answer(response.status_code, dict(response.headers), response.content)

    def _same_origin(self, url: str) -> str:
        if urlsplit(url)[:2] != urlsplit(self._url)[:2]:
            raise HostNotAllowed("GitHub redirects to another host, and the token is not sent there")
        return url

    def _left(self) -> float:
        return self._deadline - time.monotonic()


@asynccontextmanager
async def connected(settings: Settings, token: Secret, report: Report) -> AsyncIterator[GitHub]:
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
