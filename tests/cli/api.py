"""Stand-ins for `check`: GitHub's API as it tells of a token, and an S3 server that forbids."""

from __future__ import annotations

from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.support.http import Handler
from tests.support.stand_in import StandIn


class Api(StandIn):
    """Tells the scopes of the tokens that it knows; of a fine-grained one (None) it tells none."""

    def __init__(self, scopes: dict[str, str | None]) -> None:
        self.scopes = scopes
        super().__init__(_ApiHandler, "api")


class _ApiHandler(Handler):
    api: Api

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            self.answer(200, b"{}")
        elif token not in self.api.scopes:
            self.answer(401, b'{"message": "Bad credentials"}')
        elif self.path != "/rate_limit":
            self.answer(404, b"{}")
        else:
            scopes = self.api.scopes[token]
            self.answer(200, b'{"resources": {}}', **({} if scopes is None else {"X_OAuth_Scopes": scopes}))


class ForbiddingS3(StandIn):
    """Passes requests on to an S3 server, but for those of some methods, and for objects that are not there.

    With `hides` those are forbidden, as S3 has it for who may not list the bucket.
    """

    def __init__(self, endpoint: str, forbidden: set[str], *, hides: bool = False) -> None:
        self.server = urlsplit(endpoint).netloc
        self.forbidden = forbidden
        self.hides = hides
        self.ignores_conditions = False
        super().__init__(_S3Handler, "s3")


class _S3Handler(Handler):
    s3: ForbiddingS3

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        body = b"".join(self.body())
        if self.command in self.s3.forbidden:
            self._forbid()
            return
        conditions = {"if-match", "if-none-match"} if self.s3.ignores_conditions else set()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in conditions}
        connection = HTTPConnection(self.s3.server)
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status == 404 and self.s3.hides:
            self._forbid()
            return
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        size = response.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", size or "0")
        self.end_headers()
        self.wfile.write(content)

    do_HEAD = do_PUT = do_DELETE = do_POST = do_GET  # noqa: N815

    def _forbid(self) -> None:
        body = b"" if self.command == "HEAD" else b"<Error><Code>AccessDenied</Code></Error>"
        self.answer(403, body)
