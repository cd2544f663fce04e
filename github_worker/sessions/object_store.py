"""Sessions in an object store or a folder, through obstore."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import LocalStore

from github_worker.errors import ConfigurationError, StorageUnavailable
from github_worker.redaction import Secret, scrub
from github_worker.sessions.chunks import chained, take
from github_worker.sessions.object_store_options import backend_at
from github_worker.sessions.store import Download, SessionChanged

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta, PutMode
    from obstore.store import ObjectStore as Backend

_PART = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2
_READ = 1024 * 1024


class ObjectStore:
    """Keeps each session as the object `<sessionId>/session.tar.gz` of a bucket, container or folder."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @classmethod
    def at(cls, url: str, options: Mapping[str, Secret | str], timeout: float) -> ObjectStore:
        """Open `s3://bucket[/prefix]`, `gs://`, `az://` or `file:///folder`; raise ConfigurationError.

        `options` are the cloud's environment variables in lower case, `timeout` is in seconds without a byte.
        """
        try:
            return cls(backend_at(url, options, timeout))
        except (BaseError, OSError, ValueError) as error:
            raise ConfigurationError(f"STORAGE_URL cannot be used: {_sentence(error)}") from None

    @classmethod
    def in_folder(cls, folder: Path) -> ObjectStore:
        """Open a folder that is this user's alone, and make it where there is none."""
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        return cls(LocalStore(folder))

    @contextmanager
    def download(self, session_id: str) -> Iterator[Download | None]:
        """Open a session's archive, or None where there is none; raise StorageUnavailable."""
        result = self._get(session_id)
        if result is None:
            yield None
        else:
            yield Download(version=_version(result.meta), size=result.meta["size"], chunks=_read(result))

    def upload(self, session_id: str, chunks: Iterator[bytes], version: str | None) -> None:
        """Replace the archive whole if it still is `version`; raise SessionChanged or StorageUnavailable."""
        first, whole = take(chunks)
        if whole and self._put_whole(session_id, first, version):
            return
        with _translated():
            obstore.put(
                self._backend,
                _key(session_id),
                self._checked(session_id, chained(first, chunks), version),
                use_multipart=True,
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def _put_whole(self, session_id: str, chunks: deque[bytes], version: str | None) -> bool:
        """Put the archive under a condition, or return False where the store has none."""
        key, mode = _key(session_id), _mode(version)
        with _translated():
            try:
                obstore.put(self._backend, key, chunks, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                raise SessionChanged(session_id) from None
            except NotImplementedError:
                return False
            except FileNotFoundError as error:
                if version is None or error.errno is not None:
                    raise
                raise SessionChanged(session_id) from None  # S3's word for a condition on what was deleted
        return True

    def _checked(self, session_id: str, chunks: Iterator[bytes], version: str | None) -> Iterator[bytes]:
        yield from chunks
        # obstore asks for chunks from inside its event loop, and panics when that thread enters it again.
        with ThreadPoolExecutor(1) as aside:
            current = aside.submit(self._current, session_id).result()
        if current != version:
            raise SessionChanged(session_id)

    def _current(self, session_id: str) -> str | None:
        with _translated():
            try:
                return _version(obstore.head(self._backend, _key(session_id)))
            except FileNotFoundError:
                return None

    def _get(self, session_id: str) -> GetResult | None:
        with _translated():
            try:
                return obstore.get(self._backend, _key(session_id))
            except FileNotFoundError:
                return None


def _key(session_id: str) -> str:
    return f"{session_id}/session.tar.gz"


def _version(meta: ObjectMeta) -> str:
    return msgspec.json.encode([meta["e_tag"], meta["version"]]).decode()


def _mode(version: str | None) -> PutMode:
    if version is None:
        return "create"
    e_tag, generation = msgspec.json.decode(version)
    # obstore refuses a version that is None, where a missing one is fine
    return {"e_tag": e_tag, "version": generation} if generation else {"e_tag": e_tag}


def _read(result: GetResult) -> Iterator[bytes]:
    with _translated():
        yield from result.stream(min_chunk_size=_READ)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StorageUnavailable(f"The session storage refuses this worker: {_sentence(error)}") from error
    except (BaseError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and error.errno is not None:
            raise  # from `chunks`: obstore's own has a text and no number
        raise StorageUnavailable(f"The session storage failed: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """Return what obstore says, without its debugging output, the queries of its URLs, and XML's tags."""
    text = str(error).partition("\n\nDebug source")[0]
    text = re.sub(r"<[^>]*>", " ", text)
    return " ".join(scrub(re.sub(r"(://[^\s?]+)\?\S+", r"\1", text)).split())
