"""Uvicorn for a process that serves one job: it leaves the moment the job's stream is out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from socket import socket
from typing import Any, NoReturn

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import HANDLED_SIGNALS, Server

from github_worker.contract import MAX_BODY_BYTES
from github_worker.jobs import Admission
from github_worker.web.address import listen

logger = logging.getLogger(__name__)

_PIECE = 16 * 1024  # bytes that are parsed before anything is counted
_MAX_HEAD_BYTES = 64 * 1024
_MAX_HEADERS = 128
_MAX_PIPELINE = 16  # requests that wait for the answer to an earlier one
_FRAMING = 8  # bytes beside the body that each of its bytes may bring; a chunk of one byte brings five
_MAX_CONNECTIONS = 256
_HEAD_TIMEOUT = 10.0  # seconds for a request's line and headers
_DRAIN_TIMEOUT = 2.0  # seconds for what is left of a body when its request has been answered
_FLUSH_TIMEOUT = 5.0  # seconds for bytes that a client has yet to take


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a limit on every part of a request and on its time; httptools and uvicorn have none.

    What is no body (line, headers, sizes and extensions of chunks, trailers) is paid from an allowance of
    `_MAX_HEAD_BYTES`, which each byte of the body fills up again by `_FRAMING`. The application limits the
    body that it reads; of one that is answered before it is whole, as much is thrown away.
    """

    _opened: float
    _allowance: int
    _timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head, in the place of an older connection if there are too many."""
        super().connection_made(transport)
        self._opened, self._drain = self.loop.time(), MAX_BODY_BYTES
        self._expect_head()
        if len(self.connections) > most_connections():
            self._close_oldest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the request has become too large."""
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            if self.transport.is_closing():
                return
            piece = view[start : start + _PIECE]
            self._allowance -= len(piece)
            super().data_received(piece)  # type: ignore[arg-type]
            if self._is_too_large() and not self.transport.is_closing():
                self._cut_off()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self._timer.cancel()
        self._expect_head()
        self._drain = MAX_BODY_BYTES

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; nobody reads trailers."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting; the application has its own time for the body."""
        self._in_head = False
        self._timer.cancel()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Fill the allowance up."""
        self._allowance = min(self._allowance + (1 + _FRAMING) * len(body), _MAX_HEAD_BYTES)
        if self.cycle.response_complete:
            self._drain -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to wait for the next head, if this request has been answered."""
        super().on_message_complete()
        if self.cycle.response_complete:
            self._timer.cancel()
            self._expect_head()

    def on_response_complete(self) -> None:
        """Begin to wait for the next head, or shortly for what is left of the request."""
        super().on_response_complete()
        if not self.cycle.response_complete:  # another request waits for its answer
            return
        self._timer.cancel()
        if self.cycle.more_body:
            self._timer = self.loop.call_later(_DRAIN_TIMEOUT, self.transport.close)
        else:
            self._expect_head()

    def _expect_head(self) -> None:
        self._in_head, self._allowance = True, _MAX_HEAD_BYTES
        self._timer = self.loop.call_later(_HEAD_TIMEOUT, self.transport.close)

    def _is_too_large(self) -> bool:
        too_many = len(self.headers or ()) > _MAX_HEADERS or len(self.pipeline) > _MAX_PIPELINE
        return too_many or self._allowance < 0 or self._drain < 0

    def _cut_off(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if not self.pipeline and (idle if self._in_head else not self.cycle.response_started):
            self.send_400_response("Request too large.")
        else:
            self.transport.close()

    def _close_oldest(self) -> None:
        others = [each for each in self.connections if isinstance(each, BoundedProtocol) and not each.has_job]
        oldest = min(others, key=lambda each: each._opened)
        self.connections.discard(oldest)
        oldest.transport.abort()

    @property
    def has_job(self) -> bool:
        """Whether the stream of a job goes out."""
        return self.cycle is not None and "job" in self.cycle.scope["state"]


def most_connections() -> int:
    """Return how many connections may be open, so that a job has most of the process's descriptors."""
    return min(_MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)


class WorkerServer(Server):
    """A server that runs until its gate is over, and ends the process with status 0."""

    def __init__(
        self,
        app: ASGIApp,
        gate: Admission,
        *,
        address: tuple[str, int],
        container_id: str,
        on_open: Callable[[str], Coroutine[Any, Any, None]],
        on_close: Callable[[], None],
        protocol: type[BoundedProtocol] = BoundedProtocol,
    ) -> None:
        config = Config(
            app,
            host=address[0],
            port=address[1],
            loop="uvloop",
            http=protocol,
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
        self._on_close = on_close

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals drain the gate."""
        loop = asyncio.get_running_loop()
        for number in HANDLED_SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen, unless there are sockets that do; raise CannotListen, which names what is to be changed."""
        address = (self.config.host, self.config.port)
        await super().startup(listen(*address) if sockets is None else sockets)

    async def main_loop(self) -> None:
        """Start `on_open` with the address, then tick until the gate is over."""
        await self.on_tick(0)
        self._opened = asyncio.create_task(self._on_open(self._address()))
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
        self._on_close()
        leave(0)

    def _address(self) -> str:
        if not self.servers:
            return "none"
        return address_of(self.servers[0].sockets[0])

    def _has_closing_connection(self) -> bool:
        return any(connection.transport.is_closing() for connection in self.server_state.connections)

    def _on_signal(self, number: int) -> None:
        if self._gate.draining and number == signal.SIGINT:
            logger.warning("told to end by another SIGINT: the job is given up")
            leave(128 + number)
        if not self._gate.draining:
            after = "its job" if self._gate.status == "busy" else "nothing"
            name = signal.Signals(number).name
            logger.info(f"draining: told to end by {name}, after {after}", extra={"fields": {"signal": name}})
        self._gate.drain()


def address_of(listener: socket) -> str:
    """Return the URL at which a socket listens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def leave(status: int) -> NoReturn:
    """End the process now, whatever its threads do; the interpreter's teardown would wait for them."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)
