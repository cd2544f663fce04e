"""The server of a repository's large files, which is the repository's own address, whatever a session says.

The token goes to that origin alone, and once it is asked for. What an answer leads to elsewhere gets what the
answer says, and nothing else.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin

from github_worker import __version__
from github_worker.contract import RepositoryUrl, origin_of
from github_worker.errors import (
    AuthenticationFailed,
    HostNotAllowed,
    JobError,
    PermissionDenied,
    PushRejected,
    RateLimited,
    RemoteUnavailable,
    RepositoryNotFound,
    UnsupportedRepository,
)
from github_worker.http_body import Body, BodyRefused
from github_worker.lfs.addresses import check_address
from github_worker.lfs.batch import MEDIA_TYPE, Action, Offer, read_words
from github_worker.redaction import Secret, scrub
from github_worker.settings import Settings

if TYPE_CHECKING:
    import httpx

_HOPS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_LONGEST = 8 * 1024 * 1024  # bytes of an answer that is read whole
_WORDS = 64 * 1024
_BUSY = {408, 425}
_RANGE = re.compile(r"bytes ([0-9]{1,19})-")


class ServerFaltered(RemoteUnavailable):
    """The server failed in a way that may be over in a moment; `pause` is what it asks for, in seconds."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class ServerBusy(RateLimited):
    """The server takes no more requests for a while; `pause` is what it asks for, in seconds."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class NotOffered(UnsupportedRepository):
    """The server does not offer what is asked of it."""


class Server:
    """What is at `<repository>/info/lfs`, asked with one token; any thread may ask."""

    def __init__(self, url: RepositoryUrl, token: Secret | None, username: str, settings: Settings) -> None:
        self._url, self._settings = url, settings
        self._login = (username, token) if token else None
        self._is_login_due = False
        self._clients: dict[str, httpx.Client] = {}
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def ask(self, path: str, body: bytes) -> bytes:
        """Send a message of the API and return the answer; raise a JobError where there is none."""
        url = f"{str(self._url).removesuffix('.git')}.git/info/lfs/{path}"
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        for _ in range(_HOPS + 2):
            with self._send("POST", url, headers, body, login=self._is_login_due) as response:
                if response.status_code == 401 and self._login and not self._is_login_due:
                    self._is_login_due = True
                elif response.status_code in _REDIRECTS and "location" in response.headers:
                    url = self._follow_home(url, response.headers["location"])
                else:
                    self._check(response, "The git server refuses to tell of large files")
                    return _read(response, _LONGEST)
        raise RemoteUnavailable("The git server leads from one address to another for its large files")

    @contextmanager
    def fetch(self, offer: Offer, action: Action, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Yield where the content begins that the server sends, at best at `start`, and its pieces."""
        url, headers = action.href, action.headers
        if start:
            headers["range"] = f"bytes={start}-"
        for _ in range(_HOPS):
            with self._do("GET", url, headers, offer) as response:
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    self._check(response, "The server of the large files refuses one")
                    yield _read_start(response, start), response.iter_raw()
                    return
                target = _resolve(url, response.headers["location"])
            if self._check_address(target) != origin_of(url):
                headers = {name: value for name, value in headers.items() if name == "range"}
            url = target
        raise RemoteUnavailable("The git server leads from one address to another for a large file")

    def put(self, offer: Offer, action: Action, size: int, pieces: Iterable[bytes]) -> None:
        """Send an object."""
        headers = {"content-type": "application/octet-stream", **action.headers}
        if not action.is_chunked:
            headers["content-length"] = str(size)
        with self._do("PUT", action.href, headers, offer, pieces) as response:
            self._check(response, "The server of the large files refuses one")

    def verify(self, offer: Offer, action: Action, body: bytes) -> None:
        """Tell the server that an object was sent, which it asked for."""
        headers = {"accept": MEDIA_TYPE, "content-type": MEDIA_TYPE, **action.headers}
        with self._do("POST", action.href, headers, offer, body) as response:
            self._check(response, "The server of the large files did not get one")

    def _do(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        offer: Offer,
        content: bytes | Iterable[bytes] | None = None,
    ) -> AbstractContextManager[httpx.Response]:
        """Do what an answer says; the token goes along to its own origin, unless the answer has another."""
        is_home = self._check_address(url) == self._url.origin
        may_log_in = is_home and not offer.authenticated and "authorization" not in headers
        return self._send(method, url, headers, content, login=may_log_in and self._is_login_due)

    def _check_address(self, url: str) -> str:
        return check_address(url, self._url.origin, self._settings)

    def _follow_home(self, url: str, location: str) -> str:
        target = _resolve(url, location)
        if self._check_address(target) != self._url.origin:
            raise HostNotAllowed("The git server redirects to another host, where the token must not go")
        return target

    @contextmanager
    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | Iterable[bytes] | None,
        *,
        login: bool,
    ) -> Iterator[httpx.Response]:
        import httpx  # noqa: PLC0415 (few jobs are about large files)

        # Masked as long as it is in use, in whatever the server answers.
        lent = Secret(headers.get("authorization", "").rpartition(" ")[2])
        auth = httpx.BasicAuth(self._login[0], self._login[1].reveal()) if login and self._login else None
        try:
            with self._client(url).stream(
                method, url, headers=dict(headers), content=content, auth=auth
            ) as response:
                yield response
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            words = scrub(f"{type(error).__name__} {error}".strip())
            raise ServerFaltered(f"The server of the large files does not answer: {words}") from None
        except BodyRefused as error:
            raise RemoteUnavailable(f"The git server's answer about large files: {error}") from None
        finally:
            del lent

    def _client(self, url: str) -> httpx.Client:
        import httpx  # noqa: PLC0415 (see above)

        proxy = self._settings.proxy_for(url)
        way = proxy.reveal() if proxy else ""
        with self._lock:
            if way not in self._clients:
                self._clients[way] = httpx.Client(
                    headers={
                        "User-Agent": f"github-worker/{__version__} git-lfs",
                        "Accept-Encoding": "identity",
                    },
                    timeout=self._settings.git_timeout,
                    verify=ssl.create_default_context(),
                    proxy=way or None,
                    trust_env=False,
                )
            return self._clients[way]

    def _check(self, response: httpx.Response, what: str) -> None:
        """Raise what a status says, in the server's own words where it has some."""
        status = response.status_code
        if status < 300:
            return
        if status == 401 and self._login and not self._is_login_due:
            self._is_login_due = True
            raise ServerFaltered(f"{what}: it wants the token")
        words = f": {said}" if (said := read_words(_read(response, _WORDS))) else ""
        raise _explain(status, scrub(f"{what} (HTTP status {status}){words}"), response)


_STATUS_ERRORS: dict[int, type[JobError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: RepositoryNotFound,
    410: RepositoryNotFound,
    413: PushRejected,
    422: PushRejected,
    501: NotOffered,
    507: PushRejected,
    509: RateLimited,
}


def _explain(status: int, message: str, response: httpx.Response) -> JobError:
    if status == 429:
        return ServerBusy(message, _read_pause(response))
    if status in _BUSY or (status >= 500 and status not in _STATUS_ERRORS):
        return ServerFaltered(message, _read_pause(response))
    return _STATUS_ERRORS.get(status, RemoteUnavailable)(message)


def _resolve(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise RemoteUnavailable("The git server redirects to what is no address") from None


def _read(response: httpx.Response, limit: int) -> bytes:
    """Read an answer; raise BodyRefused where it is over the limit or encoded as nobody asked."""
    body = Body(response.headers.get("content-encoding"), limit)
    for piece in response.iter_raw():
        body.add(piece)
    return body.content


def _read_start(response: httpx.Response, start: int) -> int:
    """Return where the content begins that an answer has: an answer need not heed what was asked."""
    if response.status_code != 206:
        return 0
    found = _RANGE.match(response.headers.get("content-range", ""))
    if found is None or int(found[1]) != start:
        raise ServerFaltered("The server of the large files sends another part of one than was asked for")
    return start


def _read_pause(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() and len(text) < 6 else None
