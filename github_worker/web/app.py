"""The routes: bytes become a typed job or a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from hmac import compare_digest
from typing import Any

import msgspec
from msgspec import UNSET
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from github_worker import __version__, contract
from github_worker.contract import (
    MAX_BODY_BYTES,
    REQUESTS,
    CommitAndPush,
    Health,
    RefusalBody,
    RepositoryUrl,
    Status,
    decode_request,
    rfc3339,
)
from github_worker.errors import (
    Busy,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Refusal,
    RequestTimeout,
    ShuttingDown,
    Unauthorized,
)
from github_worker.jobs import Admission, Timeouts
from github_worker.redaction import Secret, scrub
from github_worker.settings import Settings, is_loopback
from github_worker.web.refusals import Refusals

# Seconds. The least that the header can say: another replica is probably idle, and a worker that ends is
# replaced at once, while nobody can tell how long a job takes. A client's pauses grow by themselves.
_RETRY_AFTER = 1
_MAX_BODIES_BYTES = 3 * MAX_BODY_BYTES  # that are in memory at once, before a job is admitted
_TOO_LARGE = f"The body has more than {MAX_BODY_BYTES:,} bytes"
_MOST_SAID = 500  # characters of what is wrong with a body, which may have chosen them
_GETS = ("/health", "/status", "/openapi.json")
_ENDPOINTS = (*(f"POST /{operation}" for operation in REQUESTS), *(f"GET {path}" for path in _GETS))
_LISTED = ", ".join(_ENDPOINTS)


Answer = Callable[[Request], Awaitable[Response]]
Start = Callable[[Request, contract.Request, bytes | bytearray], Awaitable[Response]]


def create_app(
    gate: Admission,
    start: Start,
    settings: Settings,
    limits: Timeouts,
    *,
    container_id: str,
    sandbox: str,
    refusals: Refusals,
    metrics: Answer | None = None,
) -> Starlette:
    """Return the worker's application.

    `start` answers a job, given its body too; `sandbox` is what `/health` says of it; `refusals` takes note;
    `metrics` answers callers with a token.
    """
    worker = _Worker(
        gate, start, settings, limits, container_id=container_id, sandbox=sandbox, refusals=refusals
    )
    posts = [
        Route(f"/{operation}", partial(worker.start, kind), methods=["POST"])
        for operation, kind in REQUESTS.items()
    ]
    gets = [Route(path, answer) for path, answer in zip(_GETS, worker.gets, strict=True)]
    gets.append(Route("/", worker.page))
    if metrics is not None:
        gets.append(Route("/metrics", partial(worker.authorized, metrics)))
    handlers: dict[Any, Any] = {
        Refusal: worker.refuse,
        404: worker.refuse_path,
        405: worker.refuse_method,
        ClientDisconnect: worker.give_up,
        Exception: worker.fail,
    }
    app = Starlette(routes=posts + gets, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


class _Worker:
    """Answers every endpoint."""

    def __init__(
        self,
        gate: Admission,
        start: Start,
        settings: Settings,
        limits: Timeouts,
        *,
        container_id: str,
        sandbox: str,
        refusals: Refusals,
    ) -> None:
        self._gate = gate
        self._start = start
        self._sandbox = sandbox
        self._settings = settings
        self._container_id = container_id
        self._limits = limits
        self._bodies = Bodies(limits.body)
        self._refusals = refusals
        self.gets = (self.health, self.status, self.openapi)

    async def start(self, kind: type[contract.Request], request: Request) -> Response:
        """Start a job; what can be refused without the body is refused first."""
        authorize(request.headers.get("authorization", ""), self._settings.worker_tokens)
        self._gate.check()
        body = await self._bodies.read(request)
        job = decode(kind, body, self._settings)
        if isinstance(job, CommitAndPush) and (job.signing_key or job.signing_key_passphrase):
            await asyncio.to_thread(check_key, job.signing_key, job.signing_key_passphrase)
        return await self._start(request, job, body)

    async def health(self, request: Request) -> Response:
        """Answer that the process is alive, and what it is."""
        return _json(self._health(), 503 if self._gate.failing else 200)

    async def status(self, request: Request) -> Response:
        """Answer what the worker does."""
        return _json(self._status())

    async def authorized(self, answer: Answer, request: Request) -> Response:
        """Answer a caller who may know."""
        authorize(request.headers.get("authorization", ""), self._settings.worker_tokens)
        return await answer(request)

    async def page(self, request: Request) -> Response:
        """Answer a person, and whoever asks for something else that there is no such endpoint."""
        from github_worker.web import page  # noqa: PLC0415 (most workers are never asked)

        if page.is_asked_for(request.headers.get("accept", "")):
            return HTMLResponse(page.render(self._health(), self._status()), headers=page.HEADERS)
        response = await self.refuse_path(request, HTTPException(404))
        response.headers["Vary"] = "Accept"
        return response

    async def openapi(self, request: Request) -> Response:
        """Answer the description of this API."""
        from github_worker.web.openapi import description  # noqa: PLC0415 (most workers are never asked)

        known = description(may_lack_token=self._settings.github_app is not None)
        return Response(known, media_type="application/json")

    def _health(self) -> Health:
        return Health(
            status="failing" if self._gate.failing else "ok",
            worker_status="draining" if self._gate.draining else self._gate.status,
            sandbox=self._sandbox,
            container_id=self._container_id,
            version=__version__,
            build=self._settings.build,
            tmp_dir=str(self._settings.tmp_dir),
            timestamp=rfc3339(datetime.now(UTC)),
            warning=warning_for(self._settings),
        )

    def _status(self) -> Status:
        workers = self._gate.workers
        return Status(
            status=self._gate.status,
            active_operation=self._gate.operation if workers is None else UNSET,
            workers=workers or UNSET,
            container_id=self._container_id,
            timestamp=rfc3339(datetime.now(UTC)),
        )

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        """Answer why no job is started, and take note of it."""
        if request.client is not None:  # else it is a rehearsal of this process's own
            self._refusals.note(refusal, f"{request.method} {request.url.path}", request.client.host)
        body = RefusalBody(
            error=refusal.code,
            message=scrub(str(refusal)),
            container_id=self._container_id,
            retry_after=_RETRY_AFTER if isinstance(refusal, Busy | ShuttingDown) else None,
            available_endpoints=_ENDPOINTS if isinstance(refusal, NotFound) else None,
        )
        return _json(body, refusal.status, _headers(refusal))

    async def refuse_path(self, request: Request, error: HTTPException) -> Response:
        """Answer that there is no such endpoint, and which there are."""
        return await self.refuse(request, NotFound(f"no such endpoint; there are {_LISTED}"))

    async def refuse_method(self, request: Request, error: HTTPException) -> Response:
        """Answer that the endpoint has another method."""
        response = await self.refuse(request, MethodNotAllowed(f"wrong method; there are {_LISTED}"))
        response.headers.update(error.headers or {})
        return response

    async def give_up(self, request: Request, error: ClientDisconnect) -> Response:
        """Answer a client that left before its request was whole; nobody reads it."""
        return await self.refuse(request, InvalidRequest("the body ended early"))

    async def fail(self, request: Request, error: Exception) -> Response:
        """Answer a bug; the server logs it."""
        self._refusals.count("internal")
        body = RefusalBody(error="internal", message="Something went wrong.", container_id=self._container_id)
        return _json(body, 500)


def authorize(header: str, tokens: tuple[Secret, ...]) -> None:
    """Raise Unauthorized unless `header` bears one of the tokens, or there are none to bear."""
    scheme, _, given = header.partition(" ")
    # All are compared, in constant time: how long it takes says nothing about them.
    matches = [compare_digest(given.strip().encode(), token.reveal().encode()) for token in tokens]
    if tokens and not (any(matches) and scheme.lower() == "bearer"):
        raise Unauthorized("a valid bearer token is required")


class Bodies:
    """Reads bodies, each within so many seconds, and all that are read at once within a limit."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._bytes = 0

    async def read(self, request: Request) -> bytearray:
        """Read a body; raise PayloadTooLarge, RequestTimeout, or Busy where others leave it no room."""
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            raise PayloadTooLarge(_TOO_LARGE)
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.stream():
                    self._add(chunk, body)
        except TimeoutError:
            raise RequestTimeout(f"the body did not arrive within {self._seconds:g} seconds") from None
        finally:
            self._bytes -= len(body)
        return body

    def _add(self, chunk: bytes, body: bytearray) -> None:
        body += chunk
        self._bytes += len(chunk)
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLarge(_TOO_LARGE)
        if self._bytes > _MAX_BODIES_BYTES:
            raise Busy("this worker has as many requests to read as it can hold")


def decode(kind: type[contract.Request], body: bytearray, settings: Settings) -> contract.Request:
    """Decode a body whose repository is on an allowed host; raise InvalidRequest naming the field."""
    try:
        job = decode_request(kind, body, may_lack_token=settings.github_app is not None)
    except ValueError as error:
        raise InvalidRequest(str(error)[:_MOST_SAID]) from None
    url: str | None = getattr(job, "repo_url", None)
    if url is not None and not settings.allows(origin := RepositoryUrl.parse(url).origin):
        raise InvalidRequest(f"`repoUrl` is on {origin}, which is not among the allowed hosts")
    if settings.github_app is not None and getattr(job, "access_token", None) is None:
        _check_right(job, settings)
    return job


def check_key(key: Secret | None, passphrase: Secret | None) -> None:
    """Raise InvalidRequest unless a key can sign; it takes as long as its passphrase is meant to."""
    from github_worker.signing import read_key  # noqa: PLC0415 (few requests bring one)

    if key is None:
        raise InvalidRequest("`signingKeyPassphrase` is there, but no `signingKey` that it is for")
    try:
        read_key(key, passphrase)
    except ValueError as error:
        raise InvalidRequest(f"`signingKey` {error}") from None


def _check_right(job: contract.Request, settings: Settings) -> None:
    """Raise InvalidRequest if a request without a token names a repository that no app makes one for."""
    url, owner, repo = (getattr(job, name, None) for name in ("repo_url", "owner", "repo"))
    if url is None and owner is None:
        return  # the session says the repository
    place = RepositoryUrl.parse(url) if url else RepositoryUrl(settings.forge_origin, str(owner), str(repo))
    if not settings.is_on_github(place):
        if job.needs_token:
            raise InvalidRequest("`githubAccessToken` is missing")
    elif settings.app_for(place) is None:
        field = "repoUrl" if url else "owner"
        raise InvalidRequest(
            f"`{field}` says {place.full_name}, for which this service makes no token: bring one in"
            " `githubAccessToken`"
        )


def warning_for(settings: Settings) -> str | None:
    """Return what an operator should know about how this worker is set up, in one line."""
    warnings = []
    if settings.embedded_store:
        warnings.append("no session store is configured: sessions are kept in a folder of this machine")
    if not settings.worker_tokens and not is_loopback(settings.host):
        warnings.append(
            "no token is configured: whoever reaches the port may start jobs; set GITHUB_WORKER_TOKEN"
        )
    return "; ".join(warnings) or None


def _headers(refusal: Refusal) -> dict[str, str]:
    if isinstance(refusal, Busy | ShuttingDown):
        return {"Retry-After": str(_RETRY_AFTER)}
    if isinstance(refusal, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    return {}


def _json(body: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")
