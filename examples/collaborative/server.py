"""A collaborative session: people edit its files over a WebSocket, what they write is saved and committed.

    /sessions/{id}#TOKEN   the page to edit in
    /ws/{id}               edits go up as they are made, and come to everybody in one order

Everybody is told `saved` when the session in the store has an edit, and `committed` when it is pushed. Once
nobody has edited for the cooldown, `AutoCommit` commits in the name of who edited last.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from examples.collaborative.document import Edit
from examples.collaborative.room import NotEditable, Room
from github_worker_client import AutoCommit, Committed, Credentials, GitHubWorker
from github_worker_client.sessions import SessionError, SessionStore

PAGES = Path(__file__).parent / "page"
MESSAGES = 1000  # that wait for a window which does not read; then it is closed
_HEADERS = {"Content-Security-Policy": "default-src 'self'; connect-src 'self'", "Cache-Control": "no-cache"}


class Hello(msgspec.Struct, tag="hello", tag_field="type"):
    """A window says whose it is, and which."""

    token: str
    window: str


class Open(msgspec.Struct, tag="open", tag_field="type"):
    """A person opens a file."""

    path: str


class Change(msgspec.Struct, tag="edit", tag_field="type"):
    """A person edits a file that is open, at a version of it; a window counts its edits."""

    path: str
    number: int
    version: int
    position: int
    removed: int
    text: str


@dataclass(frozen=True)
class Person:
    """A window of a person, and the messages that wait for it."""

    name: str
    window: str
    messages: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)


class Collaboration:
    """The rooms of all sessions, and the commits of what was edited in them.

    - `people`: names by their tokens.
    - `token`: may push to the sessions' repositories.
    - `cooldown`, `max_wait`: seconds, as those of AutoCommit.
    """

    def __init__(
        self,
        worker: GitHubWorker,
        store: SessionStore,
        people: Mapping[str, str],
        token: str,
        *,
        cooldown: float = 300.0,
        max_wait: float = 1800.0,
    ) -> None:
        self._store, self._people = store, people
        self._rooms: dict[str, Room] = {}
        self._commits = AutoCommit(
            worker,
            credentials=lambda session_id, user_id: Credentials(token),
            save=lambda session_id: self._rooms[session_id].save(),
            committed=self._tell_commit,
            cooldown=cooldown,
            max_wait=max_wait,
        )

    def application(self) -> Starlette:
        """Return the server; when it ends, all that was edited is saved, committed and pushed."""

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            async with self._commits:
                yield

        routes = [
            Route("/sessions/{id}", _page),
            Route("/page/{name}", _file),
            WebSocketRoute("/ws/{id}", self._window),
        ]
        return Starlette(routes=routes, lifespan=lifespan)

    async def _tell_commit(self, session_id: str, done: Committed) -> None:
        problem = done.push_error.message if done.push_error else None
        message = {"commit": done.commit_hash, "message": done.commit_message, "problem": problem}
        if not done.skipped:
            self._rooms[session_id].tell(type="committed", **message)

    async def _window(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            hello = msgspec.json.decode(await socket.receive_text(), type=Hello)
            person = Person(self._name(hello), hello.window)
            session_id = socket.path_params["id"]
            room = self._rooms.setdefault(session_id, Room(session_id, self._store))
            await socket.send_json({"type": "files", "paths": await room.paths(), "you": person.name})
        except (msgspec.DecodeError, PermissionError, SessionError) as error:
            await socket.close(1008, str(error)[:100])
            return
        except WebSocketDisconnect:
            return
        await self._serve(socket, room, person)

    def _name(self, hello: Hello) -> str:
        for token, name in self._people.items():
            if secrets.compare_digest(token.encode(), hello.token.encode()):
                return name
        raise PermissionError("the token is nobody's")

    async def _serve(self, socket: WebSocket, room: Room, person: Person) -> None:
        messages = person.messages
        room.windows.add(messages)
        sending = asyncio.create_task(_send(socket, messages))
        try:
            async for text in socket.iter_text():
                await self._take(text, room, person)
                if messages.qsize() > MESSAGES:
                    break
        except (msgspec.DecodeError, ValueError, KeyError) as error:
            messages.put_nowait({"type": "refused", "reason": str(error)})
        finally:
            room.windows.discard(messages)
            sending.cancel()
            with suppress(RuntimeError):
                await socket.close()

    async def _take(self, text: str, room: Room, person: Person) -> None:
        asked, messages = msgspec.json.decode(text, type=Open | Change), person.messages
        if isinstance(asked, Change):
            edit = Edit(asked.position, asked.removed, asked.text)
            messages.put_nowait({"type": "taken", "path": asked.path})
            room.edit(asked.path, asked.version, edit, person.name)
            room.applied[person.window] = asked.number
            self._commits.touch(room.session_id, person.name)
            return
        try:
            document = (await room.open(asked.path)).document
            file = {"path": asked.path, "version": document.version, "text": document.text}
            messages.put_nowait({"type": "file", **file, "applied": room.applied.get(person.window, 0)})
        except (NotEditable, SessionError) as error:
            messages.put_nowait({"type": "refused", "path": asked.path, "reason": str(error)})


async def _send(socket: WebSocket, messages: asyncio.Queue[dict[str, Any]]) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.send_json(await messages.get())


async def _page(request: Request) -> Response:
    return FileResponse(PAGES / "index.html", headers=_HEADERS)


async def _file(request: Request) -> Response:
    files = {file.name: file for file in PAGES.iterdir()}
    file = files.get(request.path_params["name"])
    return FileResponse(file, headers=_HEADERS) if file else Response(status_code=404)


def from_env() -> Starlette:
    """Return the server as the environment configures it; PEOPLE is JSON, names by tokens."""
    worker = GitHubWorker(os.environ["GITHUB_WORKER_URL"], token=os.environ.get("GITHUB_WORKER_TOKEN"))
    store, people = SessionStore(os.environ["STORAGE_URL"]), json.loads(os.environ["PEOPLE"])
    cooldown = float(os.environ.get("COOLDOWN", "300"))
    return Collaboration(worker, store, people, os.environ["GITHUB_TOKEN"], cooldown=cooldown).application()
