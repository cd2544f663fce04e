"""A threaded HTTP/1.1 server on loopback that ends its threads and connections when it is closed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.faults import Disconnect, Flood

PIECE = 256 * 1024
_POLL = 0.005  # seconds: `close` waits for one


class LoopbackServer(ThreadingHTTPServer):
    """Serves on a thread of its own from its making until `close`."""

    daemon_threads = False  # server_close() then waits for them
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), handler)
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL,), name=handler.__name__)
        self._thread.start()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def close(self) -> None:
        """Stop listening, close what is open, wait for the threads."""
        self.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._connections.discard(request)
        super().shutdown_request(request)


class Handler(BaseHTTPRequestHandler):
    """Reads bodies in pieces, answers in chunks, and takes a client that leaves for granted."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    behind = 0.0  # seconds that the server's clock is behind this machine's

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return a time as a header has it, by the server's own clock."""
        return super().date_time_string(time.time() - self.behind if timestamp is None else timestamp)

    def handle(self) -> None:
        """Serve the connection's requests until either side ends it."""
        with suppress(ConnectionError, Disconnect):
            super().handle()

    def body(self) -> Iterator[bytes]:
        """Yield the request's body, without its transfer coding."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            yield from self._pieces(int(self.headers.get("Content-Length", 0)))
            return
        while size := self._chunk_size():
            yield from self._pieces(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

    def _chunk_size(self) -> int:
        line = self.rfile.readline()
        if not line:
            raise Disconnect
        return int(line.partition(b";")[0], 16)

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, PIECE))
            if not piece:
                raise Disconnect
            size -= len(piece)
            yield piece

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def flood(self, answer: Flood) -> None:
        """Send an answer that does not end before the client leaves or the server is closed."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.send_chunk(answer.first)
        while True:
            self.send_chunk(answer.again)

    def send_chunk(self, piece: bytes) -> None:
        """Send one chunk of a chunked body; an empty one ends it."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: the tests read what is recorded."""
