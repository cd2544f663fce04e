"""Uvicorn for a process that serves one job: it leaves the moment the job's stream is out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from socket import socket
from typing import Any, NoReturn

from starlette.applications import Starlette
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import HANDLED_SIGNALS, Server

from github_worker.jobs import Gate

_MAX_HEAD_BYTES = 64 * 1024
_HEAD_TIMEOUT = 10.0  # seconds for a request's line and headers
_FLUSH_TIMEOUT = 5.0  # seconds for bytes that a client has yet to take


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a limit on the size and the time of a request's head; httptools has neither."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self._head_timer.cancel()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Stop counting."""
        self._in_head = False
        self._head_timer.cancel()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless a head has become too long."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.send_400_response("Request head too large.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._head_timer.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT, self.transport.close)


class WorkerServer(Server):
    """A server that runs until its gate is over, and ends the process with status 0."""

    def __init__(
        self,
        app: Starlette,
        gate: Gate,
        *,
        address: tuple[str, int],
        container_id: str,
        on_open: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:
        config = Config(
            app,
            host=address[0],
            port=address[1],
            loop="uvloop",
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=[("X-Container-ID", container_id)],
        )
        super().__init__(config)
        self._gate = gate
        self._on_open = on_open

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals drain the gate."""
        loop = asyncio.get_running_loop()
        for number in HANDLED_SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        yield

    async def main_loop(self) -> None:
        """Start `on_open` with the address, then tick until the gate is over."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        await self.on_tick(0)
        self._opened = asyncio.create_task(
            self._on_open(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        )
        over = asyncio.create_task(self._gate.over())
        while not (await asyncio.wait({over}, timeout=1))[0]:
            await self.on_tick(0)

    async def on_tick(self, counter: int) -> bool:
        """Keep the gate's watch, and the Date header right."""
        self._gate.watch()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> NoReturn:
        """Stop listening, let answers that are on their way arrive, and end the process."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_TIMEOUT):
                while self._has_closing_connection():  # noqa: ASYNC110 (uvicorn has no event for it)
                    await asyncio.sleep(0.001)
        leave(0)

    def _has_closing_connection(self) -> bool:
        return any(connection.transport.is_closing() for connection in self.server_state.connections)

    def _on_signal(self, number: int) -> None:
        if self._gate.draining and number == signal.SIGINT:
            leave(128 + number)
        self._gate.drain()


def leave(status: int) -> NoReturn:
    """End the process now, whatever its threads do; the interpreter's teardown would wait for them."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)
