"""StandInWorker: plays its script to whoever posts, and remembers what it was asked."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from github_worker.contract import (
    REQUESTS,
    Build,
    Health,
    RefusalBody,
    Request,
    Status,
    decode_request,
    encode_event,
    rfc3339,
)
from github_worker_client.testing.plausible import STAGES, plausible
from github_worker_client.testing.script import Answer, Dropped, Refusal, Stream

_CONTAINER = "stand-in"


class RecordedRequest(Struct, frozen=True):
    """A request as it came: `body` as it was sent, tokens in clear; `token` is the bearer token."""

    operation: str
    body: dict[str, Any]
    token: str | None


class StandInWorker:
    """A worker that answers each `POST` with the next of `script`, and then with what is `plausible`.

    It listens on a free port of loopback while it is a context manager; `requests` are those that it took.
    With `line` every plausible job waits behind so many others first, which end one after the other. With
    `has_app` requests need no token, as where a GitHub App makes them.
    Unlike a real one it stays, takes any number of jobs, and does nothing. What a real one would refuse (a
    wrong field, another bearer token than `token`, an unknown endpoint) is refused, and not recorded.
    """

    def __init__(
        self, *script: Answer, token: str | None = None, line: int = 0, has_app: bool = False
    ) -> None:
        self.requests: list[RecordedRequest] = []
        self._script = deque(script)
        self._token = token
        self._line = line
        self._has_app = has_app
        self._closing = threading.Event()
        self._servers: list[_Server] = []
        # Bound and never listening: nobody else is given the port while this worker is unreachable.
        self._reserved = socket.socket()

    def __enter__(self) -> Self:
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self._listen(self._reserved.getsockname()[1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        for server in self._servers:
            server.close()
        self._reserved.close()

    @property
    def base_url(self) -> str:
        """The address that it listens on, as `GitHubWorker` takes it."""
        return f"http://127.0.0.1:{self._servers[-1].server_port}"

    def play(self, *answers: Answer) -> None:
        """Add answers to the end of the script."""
        self._script.extend(answers)

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Refuse connections during the block; those that are open stay."""
        self._servers[-1].stop_listening()
        yield
        self._listen(self._servers[-1].server_port)

    def answer(self, operation: str, token: str | None, body: bytes) -> Answer:
        """Decide about a `POST`; the server's threads call this."""
        if operation not in STAGES:
            return Refusal(404, "not_found", f"no such endpoint; there are {', '.join(STAGES)}")
        if self._token is not None and token != self._token:
            return Refusal(401, "unauthorized", "a valid bearer token is required")
        try:
            request: Request = decode_request(REQUESTS[operation], body, may_lack_token=self._has_app)
        except ValueError as error:
            return Refusal(400, "invalid_request", str(error))
        self.requests.append(RecordedRequest(operation, msgspec.json.decode(body), token))
        try:
            return self._script.popleft()
        except IndexError:
            return plausible(request, self._line)

    def hang(self) -> None:
        """Block until the stand-in is closed."""
        self._closing.wait()

    def _listen(self, port: int) -> None:
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._servers.append(_Server(handler, port))


class _Server(ThreadingHTTPServer):
    """Serves on a thread of its own until `close`, which leaves no thread and no connection behind."""

    daemon_threads = False  # server_close() then waits for them
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=_CONTAINER)
        self._thread.start()

    def stop_listening(self) -> None:
        self.shutdown()
        self._thread.join()
        self.socket.close()

    def close(self) -> None:
        self.stop_listening()
        for connection in list(self._connections):
            with suppress(OSError):  # the client may have closed it already
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandInWorker
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client left
            super().handle()

    def do_GET(self) -> None:
        now = rfc3339(datetime.now(UTC))
        if self.path == "/health":
            build = Build("unknown", "unknown", "unknown")
            health = Health(
                worker_status="idle",
                sandbox="off",
                container_id=_CONTAINER,
                version="0",
                build=build,
                tmp_dir=tempfile.gettempdir(),
                timestamp=now,
            )
            self._json(200, health)
        elif self.path == "/status":
            status = Status(status="idle", active_operation=None, container_id=_CONTAINER, timestamp=now)
            self._json(200, status)
        else:
            self._refuse(Refusal(404, "not_found", "no such endpoint"))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        answer = self.stand_in.answer(self.path.strip("/"), token if scheme == "Bearer" else None, body)
        match answer:
            case Stream():
                self._stream(answer)
            case Refusal():
                self._refuse(answer)
            case Dropped():
                self.close_connection = True

    def _stream(self, stream: Stream) -> None:
        self.close_connection = True
        self._head(200, "text/event-stream", {"Transfer-Encoding": "chunked", "Cache-Control": "no-cache"})
        for event in stream.events:
            self._chunk(b"data: " + encode_event(event) + b"\n\n")
        if stream.ending == "hang":
            self.stand_in.hang()
        if stream.ending == "end":
            self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _refuse(self, refusal: Refusal) -> None:
        body = RefusalBody(
            error=refusal.code,
            message=refusal.message,
            container_id=_CONTAINER,
            retry_after=refusal.retry_after,
        )
        hint = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        self._json(refusal.status, body, hint)

    def _json(self, status: int, answer: Struct, headers: dict[str, str] | None = None) -> None:
        body = msgspec.json.encode(answer)
        self._head(status, "application/json", {"Content-Length": str(len(body))} | (headers or {}))
        self.wfile.write(body)

    def _head(self, status: int, content_type: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("X-Container-ID", _CONTAINER)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: the record tells it."""
