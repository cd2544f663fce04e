"""All projects of this machine on one page: how each is, and the way to its own orchestrator.

GET /projects              each with its newest run; one that does not answer is down
GET /events                the same, as often as it changes
/projects/{id}/...         the project's own API and page
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from sse_starlette import EventSourceResponse

from examples.tdd_orchestrator.registry import Project, Registry
from examples.tdd_orchestrator.web import Guard, page, refusal

INTERVAL = 2.0
_TIMEOUT = httpx.Timeout(5, read=60)  # an event stream says something each 15 s
_TOLD = ("content-type", "content-length", "content-security-policy", "cache-control")
_logger = logging.getLogger(__name__)


def application(registry: Registry, key: str | None = None) -> FastAPI:
    """Return the server; `key` is that of this server and of all projects."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    http = httpx.AsyncClient(headers=headers, timeout=_TIMEOUT, trust_env=False)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with http:
            yield

    app = FastAPI(title="TDD orchestrators", lifespan=lifespan)
    app.add_middleware(Guard, key=key)

    @app.get("/health")
    async def health() -> Any:
        return {"status": "healthy", "projects": len(await registry.projects())}

    @app.get("/projects")
    async def projects() -> Any:
        return {"projects": await _look(registry, http)}

    @app.get("/events")
    async def events() -> Response:
        return EventSourceResponse(_watch(registry, http))

    @app.api_route("/projects/{id_}/{path:path}", methods=["GET", "POST"])
    async def project(id_: str, path: str, request: Request) -> Response:
        for known in await registry.projects():
            if known.id == id_:
                return await _pass_on(request, f"{known.api_url}/{quote(path)}", http)
        return refusal(404, "not_found", f"No project {id_} has announced itself.")

    app.mount("/", page())
    return app


async def _watch(registry: Registry, http: httpx.AsyncClient) -> AsyncIterator[dict[str, str]]:
    told = None
    while True:
        seen = await _look(registry, http)
        if seen != told:
            yield {"event": "snapshot", "data": json.dumps({"projects": seen})}
        told = seen
        await asyncio.sleep(INTERVAL)


async def _look(registry: Registry, http: httpx.AsyncClient) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_ask(each, http) for each in await registry.projects())))


async def _ask(project: Project, http: httpx.AsyncClient) -> dict[str, Any]:
    """Return how a project is: running, locked for our key, down without a word, or stopped in order."""
    seen = datetime.fromtimestamp(project.last_seen, UTC).isoformat(timespec="seconds")
    shown: dict[str, Any] = {
        "id": project.id,
        "name": project.name,
        "path": project.path,
        "url": project.api_url,
    }
    shown |= {"status": project.status, "lastSeen": seen, "health": None, "run": None}
    if project.status == "stopped":
        return shown
    try:
        health = (await http.get(f"{project.api_url}/health", timeout=INTERVAL)).raise_for_status().json()
        if health["project"] != project.name:  # another has the port now
            return shown | {"status": "down"}
        runs = await http.get(f"{project.api_url}/runs", timeout=INTERVAL)
        if runs.status_code == httpx.codes.UNAUTHORIZED:
            return shown | {"status": "locked", "health": health}
        newest = next(iter(runs.raise_for_status().json()["runs"]), None)
        return shown | {"health": health, "run": newest}
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        _logger.debug("%s does not answer: %r", project.api_url, error)
        return shown | {"status": "down"}


async def _pass_on(request: Request, url: str, http: httpx.AsyncClient) -> Response:
    """Send a request to a project, and stream its answer; the guard has checked the key."""
    asked = http.build_request(
        request.method,
        url,
        params=str(request.query_params),
        content=await request.body(),
        headers={"Accept-Encoding": "identity", "Content-Type": request.headers.get("content-type", "")},
    )
    try:
        answer = await http.send(asked, stream=True)
    except httpx.TransportError as error:
        return refusal(502, "project_down", f"The project does not answer: {error!r}")
    headers = {name: answer.headers[name] for name in _TOLD if name in answer.headers}
    return StreamingResponse(_stream(answer), answer.status_code, headers)


async def _stream(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    except httpx.TransportError as error:
        _logger.info("%s broke off: %r", answer.url, error)  # who reads sees the end, and asks again
    finally:
        await answer.aclose()
