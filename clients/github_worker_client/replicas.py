"""Replicas: asks one worker after another, on a connection each, until one takes the job."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial

import httpx
from httpx_sse import EventSource, SSEError

from github_worker.contract import AnyEvent, Completed, Failed, Request, encode_request
from github_worker.redaction import Secret
from github_worker.retry import Backoff, jitter
from github_worker_client import wire
from github_worker_client.addresses import Addresses, direct, of_host
from github_worker_client.clock import Clock
from github_worker_client.errors import NoWorker, StreamBroken, UnexpectedAnswer, WorkerUnavailable
from github_worker_client.tracing import trace_headers
from github_worker_client.wire import Answer

_BROKEN = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout)
# The balancer deals out connections, not requests: each request needs its own.
_HEADERS = {"Connection": "close", "Content-Type": "application/json"}


class Replicas:
    """The workers behind one address, of which each takes one job and is replaced."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: Secret | None,
        *,
        busy_timeout: float,
        unreachable_timeout: float,
        stream_attempts: int,
        backoff: Backoff,
        clock: Clock,
    ) -> None:
        self._http = http
        self._token = token
        self._busy_timeout = busy_timeout
        self._unreachable_timeout = unreachable_timeout
        self._was_reached = False
        self._stream_attempts = stream_attempts
        self._backoff = backoff
        self._clock = clock

    async def get(self, path: str, kind: type[Answer]) -> Answer:
        """Ask one replica, once."""
        try:
            response = await self._http.get(path, headers=_HEADERS | self._authorization())
        except _BROKEN as error:
            raise self._unavailable(error) from error
        return wire.answer(response.status_code, response.content, kind)

    async def stream(self, request: Request) -> AsyncGenerator[AnyEvent, None]:
        """Yield the events of a job, from the beginning again where the stream breaks."""
        for attempt in itertools.count(1):
            try:
                async with self._admit(request) as source, aclosing(source.aiter_sse()) as lines:
                    async for line in lines:
                        event = wire.event(line.data)
                        if event is None:
                            continue
                        yield event
                        if isinstance(event, Completed | Failed):
                            return
                reason = "it ended without an outcome"
            except _BROKEN as error:
                reason = _describe(error)
            except SSEError as error:
                raise UnexpectedAnswer(str(error)) from error
            except NoWorker as error:
                if attempt == 1:
                    raise
                raise _broken_stream(request, str(error)) from error
            if attempt == self._stream_attempts:
                raise _broken_stream(request, reason)
            # Not at once: the worker is likely still at the job whose stream was lost.
            await self._clock.sleep(self._backoff.pause(self._backoff.at_once + attempt, jitter()))

    @asynccontextmanager
    async def _admit(self, request: Request) -> AsyncIterator[EventSource]:
        """Open a stream on the first replica that takes the job."""
        began = self._clock.now()
        addresses = Addresses(partial(of_host, self._http.base_url.host))
        for failures in itertools.count(1):
            try:
                response = await self._post(request, await addresses.next())
                break
            except NoWorker as error:
                waited = self._clock.now() - began
                wait = self._backoff.pause(failures, jitter(), error.retry_after, waited=waited)
                if waited + wait > self._patience:
                    raise
            await self._clock.sleep(wait)
        try:
            yield EventSource(response)
        finally:
            await response.aclose()

    async def _post(self, request: Request, address: str | None) -> httpx.Response:
        message = self._http.build_request(
            "POST",
            f"/{request.operation}",
            content=encode_request(request),
            headers=_HEADERS | {"Accept": "text/event-stream"} | self._authorization() | trace_headers(),
        )
        if address is not None:
            direct(message, address)
        try:
            response = await self._http.send(message, stream=True)
            if response.status_code == 200:
                self._was_reached = True
                return response
            try:
                body = await response.aread()
            finally:
                await response.aclose()
        except _BROKEN as error:
            raise self._unavailable(error) from error
        self._was_reached = True
        raise wire.refusal(response.status_code, body, response.headers.get("Retry-After"))

    @property
    def _patience(self) -> float:
        """The seconds in which to look for a replica: fewer where nothing has ever accepted a connection."""
        return self._busy_timeout if self._was_reached else min(self._busy_timeout, self._unreachable_timeout)

    def _unavailable(self, error: Exception) -> WorkerUnavailable:
        self._was_reached |= not isinstance(error, _UNREACHABLE)
        return WorkerUnavailable(f"no worker answered at {self._http.base_url}: {_describe(error)}")

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"} if self._token else {}


def _broken_stream(request: Request, reason: str) -> StreamBroken:
    return StreamBroken(
        f"the stream broke, and asking again failed: {reason}", request_id=request.request_id or ""
    )


def _describe(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
