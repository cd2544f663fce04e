"""A TCP balancer that deals out connections in turn and knows nothing of HTTP, as Swarm's ingress does."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from itertools import cycle
from ssl import SSLContext
from typing import Self

_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 seconds: closing sends RST


class Balancer:
    """Forwards to `ports` of loopback, out of `tls` if given; a connection that is refused there is reset."""

    def __init__(self, *ports: int, tls: SSLContext | None = None) -> None:
        self.connections = 0
        self._tls = tls
        self._ports = cycle(ports)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=128, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def base_url(self) -> str:
        """Where it listens."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(_forward(reader, writer, next(self._ports)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    reset = True
    try:
        with suppress(ConnectionError):
            reset = await _exchange(reader, writer, port)
    finally:
        _close(writer, reset=reset)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> bool:
    """Copy both ways until the backend ends; tell whether that was a reset."""
    upstream, backend = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.create_task(_copy(reader, backend))
    try:
        return await _copy(upstream, writer)
    finally:
        backend.close()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Copy until the end; tell whether that was a reset."""
    try:
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return True
    return False


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    connection = writer.get_extra_info("socket")
    if reset and connection:  # a TLS transport that has closed has none
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.close()
