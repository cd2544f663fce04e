"""A stand-in for the storage worker on loopback: atomic saves, ETags or none, and faults on demand."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from tests.support.faults import Answer, Fault, Flood, Moment, Redirect, boundary
from tests.support.http import Handler
from tests.support.stand_in import StandIn

_LIST = "/api/storage-worker/sessions"
_PATH = re.compile(r"/api/storage-worker/sessions/(?P<id>[\w.-]+)(?:/(?P<verb>download|upload))?")
_PIECE = 256 * 1024


@dataclass(frozen=True)
class StorageRequest:
    """A request as it came; the headers' names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def line(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Saved:
    """An archive, and the how manieth save of this server it is."""

    archive: bytes
    number: int

    @property
    def etag(self) -> str:
        """The entity tag, quoted."""
        return f'"{self.number}"'

    @property
    def description(self) -> bytes:
        """What `GET /api/storage-worker/sessions/{id}` answers."""
        moment = self.moment.isoformat().replace("+00:00", "Z")
        return json.dumps({"lastModified": moment, "size": len(self.archive), "tier": "hot"}).encode()

    @property
    def moment(self) -> datetime:
        """When it was saved: a second after the save before it."""
        return datetime(2026, 1, 31, 9, tzinfo=UTC) + timedelta(seconds=self.number)


class StorageWorker(StandIn):
    """Keeps sessions in memory; `faults` strike where a request's line matches.

    `manages` says whether it lists and deletes them, which the contract has no word of.
    """

    def __init__(self, *, etags: bool, manages: bool = False, host: str = "127.0.0.1", port: int = 0) -> None:
        self.etags = etags
        self.manages = manages
        self.requests: list[StorageRequest] = []
        self._saved: dict[str, Saved] = {}
        self._saves = 0
        self._lock = threading.Lock()
        super().__init__(_StorageHandler, "worker", host=host, port=port)

    @property
    def listing(self) -> bytes:
        """What a storage worker that manages sessions answers when it is asked for all."""
        sessions = [
            {"sessionId": name, **json.loads(saved.description)} for name, saved in self._saved.items()
        ]
        return json.dumps({"sessions": sessions}).encode()

    def find(self, session_id: str) -> Saved | None:
        """Return a session's last save."""
        return self._saved.get(session_id)

    def archive(self, session_id: str) -> bytes | None:
        """Return a session's archive."""
        saved = self.find(session_id)
        return saved.archive if saved else None

    def save(self, session_id: str, archive: bytes) -> None:
        """Save a session, as another writer does."""
        self.replace(session_id, archive, {})

    def delete(self, session_id: str) -> None:
        """Delete a session."""
        with self._lock:
            del self._saved[session_id]

    def replace(self, session_id: str, archive: bytes, conditions: Mapping[str, str]) -> bool:
        """Save a session if the request's headers allow it, and tell whether they did."""
        with self._lock:
            if self.etags and not self._holds(self.find(session_id), conditions):
                return False
            self._saves += 1
            self._saved[session_id] = Saved(archive, self._saves)
            return True

    def _holds(self, saved: Saved | None, conditions: Mapping[str, str]) -> bool:
        match = conditions.get("if-match")
        if match is not None and (saved is None or saved.etag != match):
            return False
        return not (conditions.get("if-none-match") == "*" and saved)


class _StorageHandler(Handler):
    worker: StorageWorker

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        request = StorageRequest(
            self.command, self.path, {name.lower(): value for name, value in self.headers.items()}
        )
        self.worker.requests.append(request)
        fault = self.worker.faults.take(request.line)
        self._strike(fault, Moment.REQUEST)
        body = self._received(fault)
        self._strike(fault, Moment.RECEIVED)
        if isinstance(fault, Answer):
            self.answer(fault.status, fault.body, **fault.headers)
        elif isinstance(fault, Flood):
            self.flood(fault)
        elif isinstance(fault, Redirect):
            self.answer(fault.status, Location=f"{fault.base}{self.path}")
        else:
            self._respond(request, body, fault)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def _received(self, fault: Fault | None) -> bytes:
        body = bytearray()
        for piece in self.body():
            body += piece
            if len(body) >= boundary(fault, Moment.UPLOAD) > len(body) - len(piece):
                self._strike(fault, Moment.UPLOAD, boundary(fault, Moment.UPLOAD))
        return bytes(body)

    def _respond(self, request: StorageRequest, body: bytes, fault: Fault | None) -> None:
        match = _PATH.fullmatch(request.path)
        saved = match and self.worker.find(match["id"])
        if match and (request.method, match["verb"]) == ("POST", "upload"):
            status = 200 if self.worker.replace(match["id"], body, request.headers) else 412
            self._strike(fault, Moment.HANDLED)
            self.answer(status)
        elif self.worker.manages and (request.method, request.path) == ("GET", _LIST):
            self.answer(200, self.worker.listing, Content_Type="application/json")
        elif not match or not saved:
            self.answer(404, b'{"error":"not found"}')
        elif request.method == "DELETE":
            if self.worker.manages:
                self.worker.delete(match["id"])
            self.answer(200 if self.worker.manages else 405)
        elif match["verb"] is None:
            self.answer(200, saved.description, Content_Type="application/json")
        else:
            self._send(saved, fault)

    def _send(self, saved: Saved, fault: Fault | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/gzip")
        self.send_header("Content-Length", str(len(saved.archive)))
        if self.worker.etags:
            self.send_header("ETag", saved.etag)
            self.send_header("Last-Modified", format_datetime(saved.moment, usegmt=True))
        self.end_headers()
        after = boundary(fault, Moment.ANSWER)
        self.wfile.write(saved.archive[:after])
        self._strike(fault, Moment.ANSWER, after)
        for piece in _pieces(saved.archive[after:]):
            self.wfile.write(piece)

    def _strike(self, fault: Fault | None, at: Moment, count: int = 0) -> None:
        self.worker.faults.strike(fault, at, count)


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]
