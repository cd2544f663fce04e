"""What both servers have on the web: the page, and the guard in front of it."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

_PAGE = Path(__file__).parent / "page"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
_PUBLIC = re.compile(r"(/projects/[^/]+)?/(|index\.html|style\.css|script\.js|health)")
_HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


class _Page(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Answer as StaticFiles does, with the headers of a page."""
        answer = super().file_response(*args, **kwargs)
        answer.headers.update(_HEADERS)
        return answer


def page() -> StaticFiles:
    """Return the page; it is mounted at / behind all routes, and every address in it is relative."""
    return _Page(directory=_PAGE, html=True)


def refusal(status: int, code: str, message: str) -> Response:
    """Return an error as all routes say one."""
    return JSONResponse({"error": {"code": code, "message": message}}, status)


class Guard:
    """Lets in who has the key, and everybody to the page and /health.

    Without a key the server listens on loopback alone; then it keeps out what a browser sends there for
    another site, by a form or by a name that leads to this machine.
    """

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refused = self._refuse(Request(scope)) if scope["type"] == "http" else None
        await (refused or self._app)(scope, receive, send)

    def _refuse(self, request: Request) -> Response | None:
        headers = request.headers
        if self._key is None:
            host = headers.get("host", "")
            if not _HERE.fullmatch(host) or headers.get("origin", f"http://{host}") != f"http://{host}":
                return refusal(
                    403, "forbidden", "Without TDD_API_KEY this server answers to its own page alone."
                )
        elif not _PUBLIC.fullmatch(request.scope["path"]):
            wanted = f"Bearer {self._key}".encode()
            if not secrets.compare_digest(headers.get("authorization", "").encode(), wanted):
                return refusal(401, "unauthorized", "This needs the key of TDD_API_KEY as a bearer token.")
        return None
