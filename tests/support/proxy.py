"""A reverse proxy on loopback that commits faults between a client and a real server."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

from tests.support.faults import Answer, Fault, Moment, boundary
from tests.support.http import Handler
from tests.support.stand_in import StandIn

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


class FaultyProxy(StandIn):
    """Forwards everything to the server at `origin`; `lines` are the request lines it saw."""

    def __init__(self, origin: str) -> None:
        self.backend = urlsplit(origin).netloc
        self.lines: list[str] = []
        super().__init__(_ProxyHandler, "proxy")


class _ProxyHandler(Handler):
    proxy: FaultyProxy

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        line = f"{self.command} {self.path}"
        self.proxy.lines.append(line)
        fault = self.proxy.faults.take(line)
        self.proxy.faults.strike(fault, Moment.REQUEST)
        body = b"".join(self.body())
        self.proxy.faults.strike(fault, Moment.RECEIVED)
        if isinstance(fault, Answer):
            self.answer(fault.status, fault.body, **fault.headers)
        else:
            self._forward(body, fault)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def _forward(self, body: bytes, fault: Fault | None) -> None:
        connection = HTTPConnection(self.proxy.backend, timeout=10)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            connection.request(self.command, self.path, body, headers)
            with connection.getresponse() as response:
                self._relay(response, fault)
        finally:
            connection.close()

    def _relay(self, response: HTTPResponse, fault: Fault | None) -> None:
        answer = response.read()
        self.proxy.faults.strike(fault, Moment.HANDLED)
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() != "transfer-encoding":
                self.send_header(name, value)
        self.end_headers()
        after = boundary(fault, Moment.ANSWER)
        self.wfile.write(answer[:after])
        self.proxy.faults.strike(fault, Moment.ANSWER, after)
        self.wfile.write(answer[after:])
