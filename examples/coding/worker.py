"""A coding worker: `POST /execute` takes a task from a user's request to a pull request, told by SSE.

It is the AI coding worker of the plan that GitHub Worker comes from, after its step "remove all git": the
session's repository, branch, commit and pull request are GitHub Worker's, here is the agent and the order of
things. `GET /health` says how many tasks run, `DELETE /tasks/{id}` cancels one. A caller that leaves loses
its stream, not its task; asked again with the same `taskId` the rest is done, or the outcome is told again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.coding.agent import Agent, claude_code, hide
from examples.coding.task import AgentSaid, Coder, Event, Permission, StepBegan, Task, TaskFailed
from github_worker_client import Completed, Failed, GitHubWorker, Secret
from github_worker_client.sessions import SessionStore

LARGEST_BODY = 1 << 20  # bytes


class Execute(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /execute`."""

    task_id: str
    session_id: str
    repo_url: str
    user_request: str
    access_token: str
    base_branch: str | None = None
    permission: Permission = Permission.SUPERVISED


class Running:
    """A task that runs, apart from who listens to it."""

    def __init__(self, coder: Coder, task: Task) -> None:
        self._token = Secret(task.token)  # masked in all that is told, as long as the task runs
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.ended = asyncio.create_task(self._run(coder, task))

    async def _run(self, coder: Coder, task: Task) -> None:
        try:
            result = await coder.run(task, self._tell)
            self._events.put_nowait({"type": "completed", "data": msgspec.to_builtins(result)})
        except TaskFailed as error:
            self._events.put_nowait(
                {"type": "error", "error": str(error), "step": error.step, "saved": error.saved}
            )
        except asyncio.CancelledError:
            self._events.put_nowait({"type": "error", "error": "The task was cancelled.", "step": None})
        finally:
            self._events.put_nowait(None)

    def _tell(self, event: Event) -> None:
        match event:
            case StepBegan():
                self._events.put_nowait({"type": "step", "step": event.step})
            case AgentSaid():
                self._events.put_nowait({"type": "output", "text": event.text})
            case Completed() | Failed():
                pass  # the outcome of a step, not of the task
            case _:
                self._events.put_nowait(msgspec.to_builtins(event))

    async def stream(self) -> AsyncIterator[str]:
        """Yield what happens, up to the outcome."""
        while (event := await self._events.get()) is not None:
            yield msgspec.json.encode(event).decode()


def application(coder: Coder, *, at_once: int = 4) -> Starlette:
    """Return the coding worker; it takes `at_once` tasks and answers 429 to others."""
    tasks: dict[str, Running] = {}

    async def execute(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await _body(request), type=Execute)
        except msgspec.DecodeError as error:
            return _refusal(400, str(error))
        if asked.task_id in tasks:
            return _refusal(409, f"the task {asked.task_id} runs already")
        if len(tasks) >= at_once:
            return _refusal(429, "all tasks that are taken at once are running", {"Retry-After": "5"})
        running = tasks[asked.task_id] = Running(coder, _task(asked))
        running.ended.add_done_callback(lambda _: tasks.pop(asked.task_id))
        return EventSourceResponse(running.stream(), sep="\n")

    async def cancel(request: Request) -> Response:
        running = tasks.get(request.path_params["id"])
        if running is None:
            return _refusal(404, "no such task runs")
        running.ended.cancel()
        return Response(status_code=202)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "service": "coding-worker", "tasks": sorted(tasks)})

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.gather(*(running.ended for running in tasks.values()))

    routes = [
        Route("/execute", execute, methods=["POST"]),
        Route("/tasks/{id}", cancel, methods=["DELETE"]),
        Route("/health", health),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def from_env() -> Starlette:
    """Return the coding worker as the environment configures it."""
    return application(coder_from_env())


def coder_from_env() -> Coder:
    """Return what the environment configures, which is hidden from the agent from now on."""
    hide()
    worker = GitHubWorker(os.environ["GITHUB_WORKER_URL"], token=os.environ.get("GITHUB_WORKER_TOKEN"))
    return Coder(worker, SessionStore(os.environ["STORAGE_URL"]), agent_from_env())


def agent_from_env() -> Agent:
    """Return the agent that `AGENT_COMMAND` is, or else Claude Code."""
    time_limit = float(os.environ.get("AGENT_TIME_LIMIT", "600"))
    if command := os.environ.get("AGENT_COMMAND"):
        return Agent(shlex.split(command), time_limit=time_limit)
    base_url = os.environ.get("ANTHROPIC_BASE_URL")
    return claude_code(os.environ["ANTHROPIC_API_KEY"], base_url=base_url, time_limit=time_limit)


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY:
            raise msgspec.DecodeError(f"the body is longer than {LARGEST_BODY} bytes")
    return body


def _task(asked: Execute) -> Task:
    return Task(
        id=asked.task_id,
        session_id=asked.session_id,
        repo_url=asked.repo_url,
        request=asked.user_request,
        token=asked.access_token,
        base=asked.base_branch,
        permission=asked.permission,
    )


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)
