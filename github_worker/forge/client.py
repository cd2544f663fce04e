"""Sends requests to a forge: with the token to its own origin alone, again where that is safe."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlencode, urljoin, urlsplit

from msgspec import structs

from github_worker.contract import rfc3339
from github_worker.errors import (
    HostNotAllowed,
    JobError,
    JobTimeout,
    PermissionDenied,
    RateLimited,
    RemoteUnavailable,
)
from github_worker.exchanges import Service, hooks_for
from github_worker.forge.errors import (
    BY_STATUS,
    DEFAULT_PAUSE,
    Sentences,
    find_kind,
    read_pause,
    read_sentence,
)
from github_worker.forge.requests import ApiRequest, ApiResponse
from github_worker.http_body import ACCEPTED, BodyRefused, read_body
from github_worker.progress import Report
from github_worker.redaction import Secret, scrub
from github_worker.retry import Backoff
from github_worker.settings import Settings

if TYPE_CHECKING:
    import httpx

_BACKOFF = Backoff(first=0.25, longest=2.0, tries=5)
_MAX_HOPS = 3
_MAX_BODY = 32 * 1024 * 1024  # a hundred check runs whose outputs are as long as GitHub lets them be
_MAX_PAGES = 100
_REDIRECTS = {301, 302, 307, 308}
_SHARE = 0.95  # of a job's time: it then ends by itself, saying what it waited for


class OutcomeUnknown(RemoteUnavailable):
    """The request was sent, and what became of it is not known."""


class AnswerRefused(RemoteUnavailable):
    """The forge's answer is none that its API gives."""


class Client:
    """A forge's API with one token, until shortly before the job's deadline."""

    forge: str
    sentences: ClassVar[Sentences] = ()
    scheme: ClassVar[str] = "Bearer"  # that the token goes with

    def __init__(
        self, http: httpx.AsyncClient, url: str, settings: Settings, token: Secret, report: Report
    ) -> None:
        self._http = http
        self._url = url
        self._token = token
        self._report = report
        self._deadline = time.monotonic() + settings.job_timeout * _SHARE

    def translate(self, response: ApiResponse, request: ApiRequest) -> JobError:
        """Return the error that a response stands for, by the forge's own words and its status."""
        sentence = self.read_sentence(response)
        by_status = BY_STATUS.get(response.status, PermissionDenied)
        kind = find_kind(sentence, self.sentences) or request.errors.get(response.status, by_status)
        return kind(f"{request.purpose} failed: {sentence}")

    def read_sentence(self, response: ApiResponse) -> str:
        """Return what a response says, on one line and without secrets."""
        return read_sentence(response)

    def read_limit_pause(self, response: ApiResponse, now: float) -> float | None:
        """Return the seconds to wait before asking again, None where the response is about no limit.

        `now` is in seconds since the epoch.
        """
        if response.status != 429:
            return None
        pause = read_pause(response.headers, now)
        return DEFAULT_PAUSE if pause is None else pause

    def choose_root(self, request: ApiRequest) -> str:
        """Return the URL that a request's path is below."""
        return self._url

    async def send(self, request: ApiRequest) -> ApiResponse:
        """Send a request and return the response; raise a JobError where the forge refuses or is away."""
        response = await self._send_again(request)
        if response.status in request.statuses:
            return response
        raise self.translate(response, request)

    async def send_pages(self, request: ApiRequest) -> AsyncIterator[ApiResponse]:
        """Send a request and yield its response, page by page."""
        for _ in range(_MAX_PAGES):
            response = await self.send(request)
            yield response
            query = response.next_query
            if query is None:
                return
            request = structs.replace(request, query=query)
        raise RemoteUnavailable(f"{request.purpose} failed: {self.forge}'s list does not end")

    async def pause(self, seconds: float, reason: str) -> None:
        """Wait; raise JobTimeout, saying the reason, when the job's time would be over by then."""
        if seconds > self._remaining_time():
            raise JobTimeout(f"The job's time is over: {reason}")
        await asyncio.sleep(seconds)

    async def _send_again(self, request: ApiRequest) -> ApiResponse:
        for failures in range(1, _BACKOFF.tries):
            try:
                return await self._send_within_limits(request)
            except AnswerRefused:
                raise
            except OutcomeUnknown:
                if not request.repeatable:
                    raise
            except RemoteUnavailable:
                pass  # nothing was sent
            await self.pause(_BACKOFF.pause(failures), f"{self.forge} does not answer")
        return await self._send_within_limits(request)

    async def _send_within_limits(self, request: ApiRequest) -> ApiResponse:
        while True:
            response = await self._follow_redirects(request)
            seconds = self.read_limit_pause(response, time.time())
            if seconds is None:
                return response
            await self._wait_for_limit(seconds, self.read_sentence(response))

    async def _wait_for_limit(self, seconds: float, sentence: str) -> None:
        until = rfc3339(datetime.fromtimestamp(time.time() + seconds, UTC))
        if seconds > self._remaining_time():
            raise RateLimited(
                f"{self.forge} takes no more requests until {until}: {sentence}",
                data={"retryAt": until, "retryAfter": ceil(seconds)},
            )
        self._report.warning("rate_limited", f"{self.forge} takes no more requests until {until}: waiting")
        await asyncio.sleep(seconds)

    async def _follow_redirects(self, request: ApiRequest) -> ApiResponse:
        url = f"{self.choose_root(request)}{request.path}?{urlencode(request.query)}".rstrip("?")
        for _ in range(_MAX_HOPS):
            response = await self._send_once(url, request)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None:
                break
            url = self._resolve_redirect(url, location)
        if response.status >= 500:
            raise OutcomeUnknown(f"{self.forge} fails: {self.read_sentence(response)}")
        return response

    async def _send_once(self, url: str, request: ApiRequest) -> ApiResponse:
        import httpx  # noqa: PLC0415 (most jobs are not about pull requests)

        try:
            async with self._http.stream(
                request.method,
                url,
                json=request.body,
                headers={"Authorization": f"{self.scheme} {self._token.reveal()}"},
            ) as response:
                encoding = response.headers.get("content-encoding")
                content = await read_body(response.aiter_raw(), encoding, _MAX_BODY)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise RemoteUnavailable(f"{self.forge} cannot be reached: {_describe(error)}") from None
        except httpx.RequestError as error:
            raise OutcomeUnknown(f"The connection to {self.forge} broke: {_describe(error)}") from None
        except httpx.InvalidURL:  # it looks where a redirect leads, although it is not to follow it
            raise AnswerRefused(self._no_address) from None
        except BodyRefused as error:
            raise AnswerRefused(f"{self.forge}'s answer cannot be read: {error}") from None
        return ApiResponse(response.status_code, dict(response.headers), content, self.forge)

    def _resolve_redirect(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            same_origin = urlsplit(target)[:2] == urlsplit(self._url)[:2]
        except ValueError:
            raise AnswerRefused(self._no_address) from None
        if not same_origin:
            sentence = f"{self.forge} redirects to another host, and the token is not sent there"
            raise HostNotAllowed(sentence)
        return target

    @property
    def _no_address(self) -> str:
        return f"{self.forge} redirects to what is no address"

    def _remaining_time(self) -> float:
        return self._deadline - time.monotonic()


def _describe(error: Exception) -> str:
    return scrub(f"{type(error).__name__} {error}".strip())


@asynccontextmanager
async def open_http(
    settings: Settings, service: Service, url: str, headers: Mapping[str, str]
) -> AsyncIterator[httpx.AsyncClient]:
    """Open connections to an API; one times out when it sends no byte for as long as a git server may."""
    import httpx  # noqa: PLC0415 (see above)

    proxy = settings.proxy_for(url)
    # trust_env would read proxies from the environment; the machine's authorities are those that git trusts
    async with httpx.AsyncClient(
        headers={**headers, **ACCEPTED},
        timeout=settings.git_timeout,
        verify=ssl.create_default_context(),
        proxy=proxy.reveal() if proxy else None,
        trust_env=False,
        event_hooks=hooks_for(service, is_async=True),
    ) as http:
        yield http
