"""Keeps sessions in the storage worker, over its HTTP API."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, partial

import httpx
import msgspec

from github_worker.contract import SessionId
from github_worker.errors import StorageUnavailable
from github_worker.exchanges import hooks_for
from github_worker.http_body import Body, BodyRefused
from github_worker.redaction import scrub
from github_worker.retry import Backoff, jitter
from github_worker.storage import Download, Entry, NotOffered, SessionChanged, follow_up, read_ahead

_BACKOFF = Backoff(first=0.2, longest=0.8, tries=4)  # of a GET
_ETAG = "etag:"
_MAX_ANSWER = 1024 * 1024  # bytes of one that is no archive
_MAX_LIST = 64 * 1024 * 1024
_NO_METHOD = {httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.NOT_IMPLEMENTED}


class _Metadata(msgspec.Struct, rename="camel"):
    """Tells one save of a session from the next where there is no ETag."""

    last_modified: str | int | float
    size: int


class _Listed(msgspec.Struct, rename="camel"):
    session_id: SessionId
    last_modified: str | int | float | None = None
    size: int | None = None


class _List(msgspec.Struct):
    sessions: list[_Listed]


class StorageWorkerStore:
    """Keeps sessions in the storage worker at `url`; `timeout` is in seconds without a byte."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self._timeout = f"{url}/api/storage-worker/sessions", timeout
        self._trust = load_trust(url)

    @contextmanager
    def download(self, session_id: str) -> Iterator[Download | None]:
        """Open a session's archive, or None where there is none; raise StorageUnavailable."""
        with self._connection() as client:
            path, metadata = f"{session_id}/download", None
            response = _get(client, path)
            if response.status_code == httpx.codes.OK and "ETag" not in response.headers:
                response.close()
                # Asked before the archive is, so that a save in between shows as a change later on.
                metadata = _read_metadata(client, session_id)
                response = _get(client, path)
            with closing(response):
                yield _describe(response, metadata)

    def upload(self, session_id: str, chunks: Iterator[bytes], version: str | None) -> str | None:
        """Replace the archive whole if it still is `version`; raise SessionChanged or StorageUnavailable."""
        first, is_whole = read_ahead(chunks)
        with self._connection() as client:
            _check(client, session_id, version)
            # The check cuts the request before its end, and the storage worker drops what it has.
            rest = follow_up(first, chunks, partial(_check, client, session_id, version))
            content = b"".join(first) if is_whole else rest
            headers = {"Content-Type": "application/gzip", **_make_condition(version)}
            with (
                _translate_errors(),
                client.stream("POST", f"{session_id}/upload", content=content, headers=headers) as response,
                suppress(BodyRefused),  # the status is all that counts
            ):
                _read_answer(response)
        if response.status_code == httpx.codes.PRECONDITION_FAILED:
            raise SessionChanged(session_id)
        if not response.is_success:
            raise _explain_status(response)

        etag = response.headers.get("ETag")
        return f"{_ETAG}{etag}" if etag else None

    def entries(self) -> Iterator[Entry]:
        """Yield all sessions; raise NotOffered where the storage worker has no list of them."""
        with self._connection() as client, _translate_errors():
            request = client.build_request("GET", self._url)
            with closing(_send(client, request)) as response:
                if response.status_code not in {httpx.codes.OK, *_NO_METHOD}:
                    raise _explain_status(response)
                listed = _decode_list(response)
        if listed is None:
            raise NotOffered("The storage worker has no list of its sessions: ask for one by its id")
        for session in listed.sessions:
            moment = session.last_modified
            yield Entry(
                session_id=session.session_id,
                size=session.size,
                modified=None if moment is None else _parse_moment(moment),
            )

    def delete(self, session_id: str) -> bool:
        """Delete a session, and return whether there was one; raise NotOffered, StorageUnavailable."""
        with self._connection() as client:
            if _read_metadata(client, session_id) is None:
                return False
            with _translate_errors():
                response = client.delete(session_id)
        if response.status_code in _NO_METHOD:
            raise NotOffered("The storage worker does not delete sessions")
        if not response.is_success:
            raise _explain_status(response)
        return True

    def _connection(self) -> httpx.Client:
        """Return a client for requests that follow at once: kept for longer, a connection may be dead."""
        return httpx.Client(
            base_url=self._url,
            headers={"Accept-Encoding": "identity"},
            timeout=self._timeout,
            verify=self._trust,
            # The storage is internal: a proxy towards the outside has no business with it.
            trust_env=False,
            event_hooks=hooks_for("storage"),
        )


def _check(client: httpx.Client, session_id: str, version: str | None) -> None:
    if version is not None and version.startswith(_ETAG):
        return  # If-Match is heeded where ETags are
    if _make_version(_read_metadata(client, session_id)) != (version or _make_version(None)):
        raise SessionChanged(session_id)


def _describe(response: httpx.Response, metadata: _Metadata | None) -> Download | None:
    if response.status_code == httpx.codes.NOT_FOUND:
        return None
    etag = response.headers.get("ETag")
    size = response.headers.get("Content-Length")
    return Download(
        version=f"{_ETAG}{etag}" if etag else _make_version(metadata),
        size=int(size) if size else None,
        chunks=_read_body(response),
        modified=_modified(response, metadata),
    )


def _modified(response: httpx.Response, metadata: _Metadata | None) -> datetime | None:
    if metadata is not None:
        return _parse_moment(metadata.last_modified)
    with suppress(ValueError):
        return parsedate_to_datetime(response.headers.get("Last-Modified", ""))
    return None


def _read_metadata(client: httpx.Client, session_id: str) -> _Metadata | None:
    with closing(_get(client, session_id)) as response:
        if response.status_code == httpx.codes.NOT_FOUND:
            with suppress(BodyRefused, StorageUnavailable):
                _read_answer(response)  # then the next request can have the connection
            return None
        try:
            return msgspec.json.decode(_read_answer(response), type=_Metadata)
        except (BodyRefused, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StorageUnavailable(f"The session storage sent no session's description: {error}") from None


def _get(client: httpx.Client, path: str) -> httpx.Response:
    with _translate_errors():
        response = _send(client, client.build_request("GET", path))
    if response.status_code not in {httpx.codes.OK, httpx.codes.NOT_FOUND}:
        response.close()
        raise _explain_status(response)
    return response


def _send(client: httpx.Client, request: httpx.Request) -> httpx.Response:
    for failures in range(1, _BACKOFF.tries):
        with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
            response = client.send(request, stream=True)
            if not response.is_server_error:
                return response
            response.close()
        time.sleep(_BACKOFF.pause(failures, jitter()))
    return client.send(request, stream=True)


def _make_version(metadata: _Metadata | None) -> str:
    return msgspec.json.encode(metadata).decode()


def _parse_moment(moment: str | float) -> datetime | None:
    """Read a moment as storage workers spell it, RFC 3339 or milliseconds; return None for others."""
    with suppress(ValueError, OverflowError):
        if isinstance(moment, str):
            parsed = datetime.fromisoformat(moment)
            return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return datetime.fromtimestamp(moment / 1000, UTC)
    return None


def _make_condition(version: str | None) -> dict[str, str]:
    if version is None:
        return {"If-None-Match": "*"}
    return {"If-Match": version.removeprefix(_ETAG)} if version.startswith(_ETAG) else {}


@cache
def load_trust(url: str) -> ssl.SSLContext:
    """Load whom TLS trusts: with plain HTTP nobody, as reading the list would cost a tenth of a start."""
    if httpx.URL(url).scheme == "https":
        return ssl.create_default_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _decode_list(response: httpx.Response) -> _List | None:
    """Read a list of sessions, or return None where the answer is none."""
    if response.status_code != httpx.codes.OK:
        return None
    try:
        return msgspec.json.decode(_read_answer(response, _MAX_LIST), type=_List)
    except BodyRefused as error:
        raise StorageUnavailable(f"The session storage's list cannot be read: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _read_answer(response: httpx.Response, most: int = _MAX_ANSWER) -> bytes:
    body = Body(response.headers.get("Content-Encoding"), most)
    for piece in _read_body(response):
        body.add(piece)
    return body.content


def _read_body(response: httpx.Response) -> Iterator[bytes]:
    """Yield the archive as it is stored, even where its gzip is called a content encoding."""
    with _translate_errors():
        yield from response.iter_raw()


def _explain_status(response: httpx.Response) -> StorageUnavailable:
    if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return StorageUnavailable(f"The session storage refuses this worker (HTTP {response.status_code})")
    return StorageUnavailable(f"The session storage answered with HTTP {response.status_code}")


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise StorageUnavailable("The session storage does not answer") from error
    except httpx.TransportError as error:
        raise StorageUnavailable(f"The session storage broke off: {scrub(str(error))}") from error
