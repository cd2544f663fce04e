"""A git server on loopback: the real `git http-backend`, HTTP Basic auth, and faults on demand."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from functools import cache
from pathlib import Path
from typing import IO, Literal, cast
from urllib.parse import unquote, urlsplit

from tests.support.faults import Answer, Disconnect, Fault, Flood, Moment, Redirect, boundary, strikes
from tests.support.http import PIECE, Handler
from tests.support.lfs import LargeFileServer
from tests.support.repositories import GIT_ENV, Repository, git
from tests.support.stand_in import StandIn

Right = Literal["read", "write"]
# How it serves: as git's own server does; by answers of HTTP/1.0, which end with the connection; by version 2
# of the protocol, whatever is asked for; or files alone, for the dumb protocol.
Manner = Literal["smart", "http/1.0", "version 2", "dumb"]
_PATH = re.compile(
    r"/(?P<owner>[\w./~-]+)/(?P<name>[\w.-]+?)(?:\.git)?(?P<rest>/(?:info|git-|objects|HEAD).*)"
)


@dataclass(frozen=True)
class Request:
    """A request as it came; `authorization` is the header's value, `token` the password in it."""

    method: str
    path: str
    query: str
    authorization: str | None
    token: str | None

    @property
    def line(self) -> str:
        """Method and target, as in `GET /owner/name.git/info/refs?service=git-upload-pack`."""
        return f"{self.method} {self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def wants(self) -> Right:
        """The right that it needs."""
        return "write" if "git-receive-pack" in self.line else "read"


class GitServer(StandIn):
    """Serves bare repositories under `root` to who presents a token of `tokens`."""

    def __init__(
        self, root: Path, tokens: dict[str, Right], *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.root = root
        self.tokens = tokens
        self.manner: Manner = "smart"
        self.large_files: LargeFileServer | None = None
        self.requests: list[Request] = []
        self._repositories: dict[tuple[str, str], Repository] = {}
        super().__init__(_GitHandler, "git_server", host=host, port=port)

    def create(
        self,
        owner: str,
        name: str,
        *,
        public: bool = False,
        default: str = "main",
        object_format: str = "sha1",
    ) -> Repository:
        """Make an empty repository; anyone may read a `public` one."""
        path = self.root / owner / f"{name}.git"
        url = f"{self.origin}/{owner}/{name}.git"
        repository = Repository.create(path, url, public=public, default=default, object_format=object_format)
        self._repositories[owner, name] = repository
        return repository

    def seed(self, owner: str, name: str, files: Mapping[str, bytes | str] | None = None) -> Repository:
        """Make a repository with one commit on `main`: a README, and `files`."""
        repository = self.create(owner, name)
        repository.commit({"README.md": f"# {name}\n"} | dict(files or {}), "Begin")
        return repository

    def find_right(self, request: Request, repository: Repository | None) -> Right | None:
        """Return what a request's token may do in a repository, None where it may nothing."""
        return self.tokens.get(request.token or "")

    def cgi_of(self, request: Request) -> dict[str, str]:
        """Return what the hooks of a repository are told of a request beside what git tells."""
        return {}

    def answer_beside(self, request: Handler, body: IO[bytes]) -> tuple[int, bytes] | None:
        """Answer a request that is not git's with a status and JSON; here there is no such answer."""
        return None

    def find(self, owner: str, name: str) -> Repository | None:
        """Return the repository, if there is one."""
        return self._repositories.get((owner, name))


class _GitHandler(Handler):
    git_server: GitServer

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        faults, request = self.git_server.faults, self._request()
        self.git_server.requests.append(request)
        fault = faults.take(request.line)
        faults.strike(fault, Moment.REQUEST)
        with self._received(fault) as body:
            faults.strike(fault, Moment.RECEIVED)
            self._respond(request, fault, body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _request(self) -> Request:
        target = urlsplit(self.path)
        authorization = self.headers.get("Authorization")
        return Request(
            self.command, unquote(target.path), target.query, authorization, _password(authorization)
        )

    @contextmanager
    def _received(self, fault: Fault | None) -> Iterator[IO[bytes]]:
        count, faults = 0, self.git_server.faults
        with tempfile.TemporaryFile() as file:
            for piece in _split(self.body(), boundary(fault, Moment.UPLOAD)):
                faults.strike(fault, Moment.UPLOAD, count)
                file.write(piece)
                count += len(piece)
            file.seek(0)
            yield file

    def _respond(self, request: Request, fault: Fault | None, body: IO[bytes]) -> None:
        match = _PATH.fullmatch(request.path)
        repository = match and self.git_server.find(match["owner"], match["name"])
        if isinstance(fault, Answer):
            self.answer(fault.status, fault.body, **fault.headers)
        elif isinstance(fault, Flood):
            self.flood(fault)
        elif (large := self.git_server.large_files) and large.serve(self, request, body, fault):
            pass
        elif not match and (answer := self.git_server.answer_beside(self, body)):
            self.answer(answer[0], answer[1], Content_Type="application/json; charset=utf-8")
        elif isinstance(fault, Redirect) and match:
            self.answer(fault.status, Location=_below(fault.base, match["rest"], request.query))
        elif refusal := self._refusal(request, repository):
            self.answer(refusal, WWW_Authenticate='Basic realm="git"')
        elif not match or not repository:
            self.answer(404, b"Repository not found.\n")
        elif self.git_server.manner == "dumb":
            self._serve_file(repository.path / match["rest"].lstrip("/"))
        else:
            self._run(request, f"/{match['owner']}/{match['name']}.git{match['rest']}", body, fault)

    def _serve_file(self, file: Path) -> None:
        if file.is_file():
            self.answer(200, file.read_bytes(), Content_Type="text/plain")
        else:
            self.answer(404)

    def _refusal(self, request: Request, repository: Repository | None) -> int | None:
        if request.token is None:
            return None if repository and repository.public and request.wants == "read" else 401
        right = self.git_server.find_right(request, repository)
        if right is None:
            return 401
        return 403 if (request.wants, right) == ("write", "read") else None

    def _run(self, request: Request, path: str, body: IO[bytes], fault: Fault | None) -> None:
        environment = GIT_ENV | self._cgi(request, path, body) | self.git_server.cgi_of(request)
        with subprocess.Popen(_backend(), stdin=body, stdout=subprocess.PIPE, env=environment) as backend:
            try:
                self._relay(self._output(backend, fault), fault)
            except (Disconnect, ConnectionError):
                backend.kill()
                raise

    def _output(self, backend: subprocess.Popen[bytes], fault: Fault | None) -> io.BufferedIOBase:
        stdout = cast(io.BufferedReader, backend.stdout)
        if not strikes(fault, Moment.HANDLED):
            return stdout
        output = io.BytesIO(stdout.read())
        backend.wait()
        self.git_server.faults.strike(fault, Moment.HANDLED)
        return output

    def _cgi(self, request: Request, path: str, body: IO[bytes]) -> dict[str, str]:
        return {
            "GIT_PROJECT_ROOT": str(self.git_server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self._protocol(),
            "REQUEST_METHOD": request.method,
            "PATH_INFO": path,
            "QUERY_STRING": request.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(os.fstat(body.fileno()).st_size),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
        }

    def _protocol(self) -> str:
        return "version=2" if self.git_server.manner == "version 2" else self.headers.get("Git-Protocol", "")

    def _relay(self, output: io.BufferedIOBase, fault: Fault | None) -> None:
        head, ends_with_connection = _head(output), self.git_server.manner == "http/1.0"
        if ends_with_connection:
            self.protocol_version, self.close_connection = "HTTP/1.0", True
        self.send_response(int(head.get("Status", "200").split()[0]))
        for name, value in head.items():
            if name.lower() not in {"status", "content-length"}:
                self.send_header(name, value)
        if ends_with_connection:
            self.end_headers()
            shutil.copyfileobj(output, self.wfile)
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._relay_body(output, fault)

    def _relay_body(self, output: io.BufferedIOBase, fault: Fault | None) -> None:
        faults, count = self.git_server.faults, 0
        faults.strike(fault, Moment.ANSWER, count)
        pieces = iter(lambda: output.read1(PIECE), b"")
        for piece in _split(pieces, boundary(fault, Moment.ANSWER)):
            self.send_chunk(piece)
            count += len(piece)
            faults.strike(fault, Moment.ANSWER, count)
        faults.strike(fault, Moment.END)
        self.send_chunk(b"")


@cache
def _backend() -> str:
    return f"{git('--exec-path').decode().strip()}/git-http-backend"


def _password(authorization: str | None) -> str | None:
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _below(base: str, rest: str, query: str) -> str:
    return f"{base.rstrip('/')}{rest}" + (f"?{query}" if query else "")


def _split(pieces: Iterator[bytes], at: int) -> Iterator[bytes]:
    """Yield `pieces` with one boundary more, `at` bytes from the beginning."""
    count = 0
    for piece in pieces:
        before = piece[: at - count] if count < at < count + len(piece) else b""
        if before:
            yield before
        yield piece[len(before) :]
        count += len(piece)


def _head(output: io.BufferedIOBase) -> Message:
    return BytesParser().parsebytes(b"".join(iter(output.readline, b"\r\n")), headersonly=True)
