"""The orchestrator over HTTP: each route shows what the store knows or asks it for one thing.

Events are the differences between two looks at the store, so they tell what any process did, and each stream
begins with all that there is: who reconnects has missed nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from examples.tdd_orchestrator.metrics import prometheus
from examples.tdd_orchestrator.store import Refused, Store
from examples.tdd_orchestrator.web import Guard, page
from github_worker_client import __version__

LOOK = 0.1  # seconds between two looks whether something has changed
SILENT_LOOKS = 20  # after so many the store is read anyway: a worker that is silent changes nothing in it
_EVENTS = {
    "tasks": "task_status_changed",
    "workers": "worker_heartbeat",
    "circuits": "circuit_state_changed",
    "runs": "run_changed",
}
_CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 409: "conflict"}
Row = dict[str, Any]
Shown = dict[str, list[Row]]


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


Known = Annotated[Store, Depends(_store)]


def application(path: Path, *, name: str, key: str | None = None) -> FastAPI:
    """Return the API of the project `name`, whose store is the file `path`; callers have to say `key`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Store.open(path) as app.state.store, Store.open(path) as app.state.watch:
            yield

    app = FastAPI(title=f"TDD orchestrator of {name}", version=__version__, lifespan=lifespan)
    app.add_middleware(Guard, key=key)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)

    @app.get("/health")
    async def health(store: Known) -> Row:
        """Tell how the project is: degraded as long as a circuit is not closed."""
        shown = await store.snapshot()
        states = [circuit["state"] for circuit in shown["circuits"]]
        counts = {"closed": states.count("closed"), "open": states.count("open")}
        counts["halfOpen"] = states.count("half_open")
        status = "healthy" if counts["closed"] == len(states) else "degraded"
        running = sum(run["status"] == "running" for run in shown["runs"])
        about = {"status": status, "project": name, "version": __version__}
        return about | {"circuits": counts, "runs": {"running": running}}

    @app.get("/tasks")
    async def tasks(store: Known, phase: int | None = None, status: str | None = None) -> Row:
        """List the tasks."""
        return {"tasks": await store.tasks(phase, status)}

    @app.get("/tasks/{key}")
    async def task(store: Known, key: str) -> Row:
        """Show a task and its attempts."""
        return await _found(store.task(key), f"there is no task {key}")

    @app.post("/tasks/{key}/retry")
    async def retry(store: Known, key: str) -> Row:
        """Let a blocked task be done again."""
        return await _found(store.retry(key), f"there is no task {key}")

    @app.get("/workers")
    async def workers(store: Known) -> Row:
        """List the workers."""
        return {"workers": await store.workers()}

    @app.get("/circuits")
    async def circuits(store: Known) -> Row:
        """List the circuits."""
        return {"circuits": await store.circuits()}

    @app.post("/circuits/{id_}/reset")
    async def reset(store: Known, id_: str) -> Row:
        """Close a circuit."""
        if id_ not in {circuit["id"] for circuit in await store.circuits()}:
            raise HTTPException(404, f"there is no circuit {id_}")
        return await store.set_circuit(id_, state="closed", failures=0, retry_at=None)

    @app.get("/runs")
    async def runs(store: Known) -> Row:
        """List the runs, the newest first."""
        return {"runs": await store.runs()}

    @app.get("/metrics")
    async def metrics(store: Known) -> Response:
        """Show the metrics to Prometheus."""
        return Response(await prometheus(store), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/events")
    async def events() -> EventSourceResponse:
        """Stream what changes, after all that there is."""
        return EventSourceResponse(_stream(app.state.watch), sep="\n")

    app.mount("/", page())
    return app


def differences(before: Shown, after: Shown) -> list[tuple[str, Row]]:
    """Return the events that lead from one look at the store to another."""
    told: list[tuple[str, Row]] = []
    for kind, event in _EVENTS.items():
        known = {row.get("id") or row["key"]: row for row in before[kind]}
        for row in after[kind]:
            old = known.get(row.get("id") or row["key"])
            if row == old:
                continue
            told.append((event, row))
            if kind == "runs" and row["status"] != "running" and (old or {}).get("status") != row["status"]:
                told.append(("run_completed", row))
    return told


async def _stream(watch: Store) -> AsyncIterator[ServerSentEvent]:
    seen, shown = await watch.version(), await watch.snapshot()
    yield _event("snapshot", shown)
    for look in itertools.count(1):
        await asyncio.sleep(LOOK)
        version = await watch.version()
        if version == seen and look % SILENT_LOOKS:
            continue
        seen, before, shown = version, shown, await watch.snapshot()
        for event, row in differences(before, shown):
            yield _event(event, row)


def _event(name: str, data: Any) -> ServerSentEvent:
    return ServerSentEvent(msgspec.json.encode(data).decode(), event=name)


async def _found(asked: Any, missing: str) -> Row:
    try:
        answer: Row = await asked
    except KeyError as error:
        raise HTTPException(404, missing) from error
    except Refused as error:
        raise HTTPException(409, str(error)) from error
    return answer


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        status, message = error.status_code, str(error.detail)
    else:
        status, message = 422, str(error)
    code = _CODES.get(status, "invalid_request")
    return JSONResponse({"error": {"code": code, "message": message}}, status)
