"""The board over HTTP, as `TASKINFA_API_URL` names it: an API key opens one workspace."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.board.board import Board, ClaimRequest, Move, NewComment, NewTask, NoSuchTask, Report


@dataclass(frozen=True)
class Api:
    """Answers what is asked of `board`; each method is given the workspace that the API key opens."""

    board: Board

    def tasks(self, workspace: str, request: Request, _: None) -> Any:
        """List the tasks, or those of a status."""
        return {"tasks": self.board.tasks(workspace, request.query_params.get("status"))}

    def add(self, workspace: str, request: Request, task: NewTask) -> Any:
        """Put a task on the board."""
        return {"task": self.board.add(workspace, task)}

    def show(self, workspace: str, request: Request, _: None) -> Any:
        """Show a task and its comments."""
        return {"task": self.board.show(workspace, request.path_params["id"])}

    def move(self, workspace: str, request: Request, move: Move) -> Any:
        """Give a task another status."""
        return {"task": self.board.move(workspace, request.path_params["id"], move)}

    def comment(self, workspace: str, request: Request, comment: NewComment) -> Any:
        """Say something of a task."""
        return self.board.comment(workspace, request.path_params["id"], comment)

    def claim(self, workspace: str, request: Request, bot: ClaimRequest) -> Any:
        """Give a bot the next task, or null."""
        if bot.workspace_id != workspace:
            raise HTTPException(403, f"the API key is not of the workspace {bot.workspace_id}")
        return {"task": self.board.claim(workspace, bot.bot_name)}

    def report(self, workspace: str, request: Request, report: Report) -> Any:
        """Take what a bot says of its task."""
        if not self.board.report(workspace, request.path_params["claim"], report):
            raise HTTPException(409, "the task is not this claim's any more")
        return {}


def application(board: Board, keys: Mapping[str, str]) -> Starlette:
    """Return the API under `/api`; `keys` has the workspace that each API key opens."""
    api, workspaces = Api(board), {_digest(key): workspace for key, workspace in keys.items()}

    def route(method: str, path: str, answer: Callable[..., Any], body: Any = None) -> Route:
        async def handle(request: Request) -> Response:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            workspace = workspaces.get(_digest(given))
            if workspace is None:
                raise HTTPException(401, "the API key is missing or wrong")
            try:
                asked = body and msgspec.json.decode(await request.body(), type=body)
                return JSONResponse(await asyncio.to_thread(answer, workspace, request, asked))
            except msgspec.DecodeError as error:
                raise HTTPException(400, str(error)) from error
            except NoSuchTask as error:
                raise HTTPException(404, str(error)) from error

        return Route(f"/api{path}", handle, methods=[method])

    routes = [
        route("GET", "/tasks", api.tasks),
        route("POST", "/tasks", api.add, NewTask),
        route("POST", "/tasks/claim", api.claim, ClaimRequest),
        route("GET", "/tasks/{id}", api.show),
        route("PATCH", "/tasks/{id}", api.move, Move),
        route("POST", "/tasks/{id}/comments", api.comment, NewComment),
        route("POST", "/claims/{claim}", api.report, Report),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refuse})


def from_env() -> Starlette:
    """Return the board of `BOARD_DATABASE`; `API_KEYS` is `workspace=key`, with commas between several."""
    pairs = (pair.strip().partition("=") for pair in os.environ["API_KEYS"].split(","))
    return application(Board(os.environ["BOARD_DATABASE"]), {key: workspace for workspace, _, key in pairs})


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return JSONResponse({"error": error.detail}, error.status_code)
