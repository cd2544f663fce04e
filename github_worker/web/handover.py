"""How a request goes from the process that accepted it to the one that does its job.

The acceptor reads requests and answers all that is no job. A request for one it sends, connection and all,
to a process that has seen no other. Each of those is reached by a ticket: an end of a pair of sockets, good
for one request.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from github_worker import contract
from github_worker.channel import Channel, Flag, Kind, Message
from github_worker.contract import Workers, WorkerStatus
from github_worker.errors import Busy, ShuttingDown
from github_worker.measurements import list_refusals
from github_worker.web.app import Start
from github_worker.web.server import BoundedProtocol, WorkerServer

logger = logging.getLogger(__name__)

_LENGTH = struct.Struct("!Q")
_PIECE = 64 * 1024
_TAKEN = b"!"
# One that is refused, after most of what is done for one that is not.
_REHEARSAL = b"POST /clone-repository HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
_PATIENCE = 20.0  # seconds for a process to be there that there is room for
_TO_ANSWER = 5.0  # seconds, for the supervisor to say what was measured
_HANG = 60.0  # seconds without a turn of the acceptor's loop, after which it is replaced
# What was about the connection, or about a body that is whole by now.
_PASSING = {
    *(b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"expect"),
    *(b"content-length", b"transfer-encoding"),
}


class LendingProtocol(BoundedProtocol):
    """Lets the application take the connection of a request."""

    def on_message_begin(self) -> None:
        """Put the connection into the request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {"connection": {"transport": self.transport}}


class Tickets:
    """The acceptor's admission: it has a ticket for a request, or waits for one, or refuses."""

    operation: str | None = None

    def __init__(self, channel: Channel, limit: int) -> None:
        self.draining = False
        self.failing = False
        self._channel = channel
        self._workers = Workers(limit=limit, busy=0, queued=0)
        self._room = True
        self._tickets: deque[socket.socket] = deque()
        self._waiting: deque[asyncio.Future[socket.socket]] = deque()
        self._over = asyncio.Event()
        self._snapshot: asyncio.Future[bytes] | None = None

    def listen(self) -> None:
        """Heed the supervisor from now on."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._read)
        self._channel.send(Kind.READY)

    @property
    def workers(self) -> Workers:
        """The jobs of this machine, as the supervisor says this moment."""
        self._read()
        return self._workers

    @property
    def status(self) -> WorkerStatus:
        """Whether a job would wait."""
        return "busy" if self.workers.busy else "idle"

    def check(self) -> None:
        """Raise Busy or ShuttingDown if no job can be admitted."""
        self._read()
        if self.draining:
            raise ShuttingDown("this worker is shutting down")
        self._check_room()

    async def take(self) -> socket.socket:
        """Wait for a ticket, in the order of arrival; raise Busy or ShuttingDown."""
        self.check()
        if self._tickets and not self._waiting:
            return self._tickets.popleft()
        ticket: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        try:
            return await asyncio.wait_for(ticket, _PATIENCE)
        except TimeoutError:
            raise Busy("this worker cannot start a job's process at the moment") from None

    async def measure(self) -> bytes:
        """Ask the supervisor for all that was measured; raise OSError, as TimeoutError, if it is silent."""
        if self._snapshot is None or self._snapshot.done():
            self._channel.send_all([*((Kind.REFUSED, *numbers) for numbers in list_refusals()), (Kind.ASK,)])
            self._snapshot = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(asyncio.shield(self._snapshot), _TO_ANSWER)
        except TimeoutError:
            self._snapshot = None
            raise

    def watch(self) -> None:
        """Put off the moment that ends the process whatever it hangs in."""
        faulthandler.dump_traceback_later(_HANG, exit=True)

    def drain(self) -> None:
        """Admit nothing any more, and give all tickets back by closing them."""
        self.draining = True
        while self._tickets:
            self._tickets.popleft().close()
        self._refuse(ShuttingDown("this worker is shutting down"))

    async def over(self) -> None:
        """Wait until the supervisor says that it is over."""
        await self._over.wait()

    def _read(self) -> None:
        """Take in what the supervisor has said."""
        try:
            while messages := self._channel.receive():
                for message in messages:
                    self._heed(message)
        except EOFError:
            os._exit(1)
        self._deal()

    def _heed(self, message: Message) -> None:
        if message.kind == Kind.END:
            self._over.set()
        elif message.kind == Kind.TICKET and message.descriptor is not None:
            ticket = socket.socket(fileno=message.descriptor)
            ticket.setblocking(False)
            self._tickets.append(ticket)
        elif message.kind == Kind.SNAPSHOT and message.descriptor is not None:
            with open(message.descriptor, "rb") as file:
                file.seek(0)  # where it was written to the end
                if self._snapshot is not None and not self._snapshot.done():
                    self._snapshot.set_result(file.read())
        elif message.kind == Kind.STATE:
            busy, queued, flags = message.numbers
            self._workers = Workers(limit=self._workers.limit, busy=busy, queued=queued)
            self._room, self.failing = bool(flags & Flag.ROOM), bool(flags & Flag.FAILING)
            if flags & Flag.DRAINING:
                self.drain()

    def _deal(self) -> None:
        while self._tickets and self._waiting:
            if not (ticket := self._waiting.popleft()).done():
                ticket.set_result(self._tickets.popleft())
        try:
            self._check_room()
        except Busy as refusal:
            self._refuse(refusal)

    def _check_room(self) -> None:
        if self.failing and not self._tickets:
            raise Busy("this worker cannot start a job's process at the moment")
        if not (self._tickets or self._room):
            raise Busy("this worker has as many jobs as it takes")

    def _refuse(self, refusal: Busy | ShuttingDown) -> None:
        while self._waiting:
            if not (ticket := self._waiting.popleft()).done():
                ticket.set_exception(refusal)


class Handover(Response):
    """The answer that another process gives: it is sent the request and its connection."""

    def __init__(
        self, tickets: Tickets, ticket: socket.socket, request: bytes, transport: asyncio.Transport
    ) -> None:
        super().__init__()
        self._tickets, self._ticket = tickets, ticket
        self._request, self._transport = request, transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the connection over until a process has taken it, and see this one's end of it closed."""
        connection = os.dup(self._transport.get_extra_info("socket").fileno())
        self._transport.abort()  # of which the other end sees nothing, as the copy is open
        try:
            while not await _send(self._ticket, connection, self._request):
                self._ticket = await self._tickets.take()
        except (Busy, ShuttingDown):
            logger.warning(
                "a request is lost: the process that was to take it has ended, and there is no other"
            )
        finally:
            os.close(connection)
        while (await receive())["type"] != "http.disconnect":
            pass


async def hand_over(tickets: Tickets, request: Request, body: bytes | bytearray) -> Response:
    """Send a request to a process that can take it, with its connection; raise Busy or ShuttingDown."""
    ticket = await tickets.take()
    transport: asyncio.Transport = request.scope["extensions"]["connection"]["transport"]
    if transport.is_closing():  # the client has left; no ticket is used after a later one
        ticket.close()
        return Response()
    return Handover(tickets, ticket, write(request, body), transport)


async def _send(ticket: socket.socket, connection: int, request: bytes) -> bool:
    """Send a request; return whether it was taken before the process ended."""
    loop = asyncio.get_running_loop()
    with ticket, contextlib.suppress(OSError):
        whole = _LENGTH.pack(len(request)) + request
        sent = socket.send_fds(ticket, [whole], [connection])
        if sent < len(whole):
            await loop.sock_sendall(ticket, memoryview(whole)[sent:])
        return await loop.sock_recv(ticket, len(_TAKEN)) == _TAKEN
    return False


def write(request: Request, body: bytes | bytearray) -> bytes:
    """Write a request as it would have come whole and at once."""
    lines = [f"{request.method} {request.url.path} HTTP/1.1".encode()]
    lines += [name + b": " + value for name, value in request.headers.raw if name not in _PASSING]
    return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", body])


class ChildServer(WorkerServer):
    """A server whose process has a supervisor, and may have its only connection from the acceptor."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the supervisor."""
        yield

    async def rehearse(self) -> None:
        """Answer a request of this process's own: the first one is slow, as its memory is the parent's."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            await self._begin(theirs, _REHEARSAL)
            while await asyncio.get_running_loop().sock_recv(ours, _PIECE):
                pass

    async def answer(self, ticket: socket.socket) -> bool:
        """Wait for a request and begin to answer it; return False if the ticket was closed instead."""
        handed = await _receive(ticket)
        if handed is None:
            return False
        await self._begin(*handed)
        return True

    async def _begin(self, connection: socket.socket, data: bytes) -> None:
        """Begin to answer the request that has come over a connection."""
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        _, protocol = await loop.connect_accepted_socket(self._make_protocol, connection)
        protocol.data_received(data)

    def _make_protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


async def _receive(ticket: socket.socket) -> tuple[socket.socket, bytes] | None:
    """Receive a connection and its request; None if the ticket is closed before they came whole."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(ticket, ready.set_result, None)
    await ready
    loop.remove_reader(ticket)
    start, descriptors, _, _ = socket.recv_fds(ticket, _PIECE, 1)
    if not descriptors:
        return None
    connection = socket.socket(fileno=descriptors[0])
    [length] = _LENGTH.unpack_from(start)
    data = bytearray(start[_LENGTH.size :])
    while len(data) < length:
        if not (piece := await loop.sock_recv(ticket, _PIECE)):  # the acceptor has ended
            return None
        data += piece
    with ticket:
        ticket.send(_TAKEN)
    return connection, bytes(data)


def start_elsewhere(tickets: Tickets) -> Start:
    """Return how the acceptor starts a job."""

    async def start(request: Request, job: contract.Request, body: bytes | bytearray) -> Response:
        return await hand_over(tickets, request, body)

    return start
