"""The store of sessions for callers without an event loop: the same methods, which block."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import msgspec

from github_worker.archive.limits import Limits
from github_worker.contract import SessionId
from github_worker.errors import ConfigurationError
from github_worker.redaction import Secret
from github_worker.storage import Store, open_store
from github_worker_client.errors import InvalidRequest
from github_worker_client.sessions.errors import SessionError, SessionNotFound, translated
from github_worker_client.sessions.removal import remove
from github_worker_client.sessions.working_copy import Record, WorkingCopy, find_version

# The session of a folder that was unpacked to stay; no part of the session.
_RECORD = ".github-worker-session"
_SCHEMES = {"s3", "gs", "az", "file", "http", "https"}
_LIMITS = Limits()

Session = WorkingCopy


class StoredSession(msgspec.Struct, frozen=True):
    """A session as the store tells of it; `size` is in bytes. What it does not tell is None."""

    id: str
    size: int | None
    modified: datetime | None


class SessionStore:
    """The sessions of one store, like `github_worker_client.sessions.SessionStore`; its methods block."""

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, str | Secret] | None = None,
        folder: Path | str | None = None,
        timeout: float = 60.0,
        max_bytes: int = _LIMITS.max_bytes,
        max_files: int = _LIMITS.max_files,
    ) -> None:
        """Open the store at `url`; see `github_worker_client.sessions.SessionStore`."""
        self._folder = folder
        self._limits = Limits(max_bytes=max_bytes, max_files=max_files)
        self._store = _open(url, options or {}, timeout)
        # Not every store compares versions by itself: of two that save at once, one waits.
        self._locks = WeakValueDictionary[str, threading.Lock]()

    def list(self) -> Iterator[StoredSession]:
        """Yield all sessions of the store, in no order; raise NotOffered where it has no list."""
        with translated():
            for entry in self._store.entries():
                yield StoredSession(entry.session_id, entry.size, entry.modified)

    def show(self, session_id: str) -> StoredSession:
        """Return what the store tells of a session; raise SessionNotFound."""
        _check_id(session_id)
        with translated():
            version = find_version(self._store, session_id)
        if version is None:
            raise SessionNotFound(f"There is no session {session_id}")
        return StoredSession(session_id, version.size, version.modified)

    def delete(self, session_id: str) -> None:
        """Delete a session; raise SessionNotFound, or NotOffered where the store deletes nothing."""
        _check_id(session_id)
        with translated():
            was_there = self._store.delete(session_id)
        if not was_there:
            raise SessionNotFound(f"There is no session {session_id}")

    @contextmanager
    def checkout(
        self,
        session_id: str,
        *,
        read_only: bool = False,
        save_on_error: bool = False,
        create: bool = False,
        keep_unsaved: bool = True,
    ) -> Iterator[Session]:
        """Unpack a session into a private folder for the block, and save it at the end if anything changed.

        See `github_worker_client.sessions.SessionStore.checkout`.
        """
        checkout = self.prepare(
            session_id,
            read_only=read_only,
            save_on_error=save_on_error,
            create=create,
            keep_unsaved=keep_unsaved,
        )
        session = checkout.open()
        try:
            yield session
        except BaseException as error:
            checkout.close(error)
            raise
        checkout.close(None)

    def prepare(
        self, session_id: str, *, read_only: bool, save_on_error: bool, create: bool, keep_unsaved: bool
    ) -> Checkout:
        """Return a checkout that is yet to be opened, in a folder that only this user may enter."""
        _check_id(session_id)
        private = Path(tempfile.mkdtemp(prefix="github-worker-session-", dir=self._folder))
        session = self._session(session_id, private / session_id, read_only=read_only)
        return Checkout(
            session, private, save_on_error=save_on_error, create=create, keep_unsaved=keep_unsaved
        )

    def unpack(self, session_id: str, folder: Path | str) -> Session:
        """Unpack a session into a folder that stays, and is new or empty; `save` takes it from there.

        Raises SessionError, FileExistsError for a folder that is not empty.
        """
        _check_id(session_id)
        folder = Path(folder)
        if folder.exists():
            _remove_empty(folder)
        session = self._session(session_id, folder, without=_RECORD)
        session.load()
        record = folder / _RECORD
        if record.is_symlink() or record.exists():
            remove(folder)
            raise SessionError(f"The session {session_id} has a file named {_RECORD}, and needs another tool")
        _write_record(session)
        return session

    def save(self, session_id: str, folder: Path | str, *, overwrite: bool = False) -> bool:
        """Save a folder as a session if anything changed in it, and return whether it was.

        What `unpack` made is saved if nobody saved the session since, any other folder if there is no such
        session: else SessionConflict is raised. With `overwrite` it takes the place of whatever is there.
        """
        _check_id(session_id)
        session = self._session(session_id, Path(folder), without=_RECORD)
        record = _read_record(session)
        if record is not None and record.session_id == session_id:
            session.resume(record)
        if overwrite:
            with translated():
                session.take_place_of(find_version(self._store, session_id))
        is_saved = session.save()
        if is_saved:
            _write_record(session)
        return is_saved

    def _session(
        self, session_id: str, folder: Path, *, read_only: bool = False, without: str = ""
    ) -> Session:
        return WorkingCopy(
            self._store,
            session_id,
            folder,
            self._limits,
            lock=self._locks.setdefault(session_id, threading.Lock()),
            read_only=read_only,
            without=without.encode(),
        )


class Checkout:
    """A session in a private folder, from `open` to `close`, which block."""

    def __init__(
        self, session: Session, private: Path, *, save_on_error: bool, create: bool, keep_unsaved: bool
    ) -> None:
        self._session = session
        self._private = private
        self._save_on_error = save_on_error
        self._create = create
        self._keep_unsaved = keep_unsaved
        self.abandoned = threading.Event()

    def open(self) -> Session:
        """Unpack the session; raise SessionError, and leave nothing."""
        try:
            self._session.load(self.abandoned, may_be_new=self._create)
        except BaseException:
            self.remove()
            raise
        return self._session

    def close(self, error: BaseException | None) -> None:
        """Save the session as it was asked for, and remove its folder; `error` is what the block raised.

        Where it cannot be saved after a block that did not fail, raises what saving raised.
        """
        is_kept = False
        try:
            if not self._session.read_only and (error is None or self._save_on_error):
                self._session.save()
        except Exception as failure:
            is_kept = self._keep_unsaved
            _explain(failure, self._session.folder if is_kept else None)
            if error is None:
                raise
            error.add_note(f"The session {self._session.id} could not be saved: {failure}")
        finally:
            if not is_kept:
                self.remove()

    def remove(self) -> None:
        """Remove the folder."""
        remove(self._private)


def _explain(failure: Exception, folder: Path | None) -> None:
    """Say in an error where the files are."""
    if folder is not None and isinstance(failure, SessionError):
        failure.folder = folder
        failure.args = (f"{failure}; the files are in {folder}",)


def _open(url: str, options: Mapping[str, str | Secret], timeout: float) -> Store:
    url = url.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not (parts.netloc or parts.scheme == "file"):
        raise SessionError(
            "A store is s3://bucket[/prefix], gs://…, az://…, file:///folder or a storage worker's http://…"
        )
    secrets = {
        name.lower(): Secret(text) if isinstance(text, str) else text for name, text in options.items()
    }
    try:
        return open_store(url, secrets, timeout)
    except ConfigurationError as error:
        raise SessionError(str(error).replace("STORAGE_URL", "The store")) from error


def _check_id(session_id: str) -> None:
    try:
        msgspec.convert(session_id, SessionId)
    except msgspec.ValidationError:
        raise InvalidRequest(
            f"sessionId: {session_id!a} is none; it has letters, digits, '.', '_' and '-', 128 at most"
        ) from None


def _remove_empty(folder: Path) -> None:
    if not folder.is_dir() or any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not an empty folder")
    folder.rmdir()


def _write_record(session: Session) -> None:
    with translated():
        status = session.folder.stat()
        new = session.folder / f"{_RECORD}.new"
        new.unlink(missing_ok=True)
        new.write_bytes(msgspec.msgpack.encode(session.keep()))
        new.replace(session.folder / _RECORD)
        os.utime(session.folder, ns=(status.st_atime_ns, status.st_mtime_ns))


def _read_record(session: Session) -> Record | None:
    try:
        return msgspec.msgpack.decode((session.folder / _RECORD).read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        raise SessionError(f"{session.folder / _RECORD} cannot be read: unpack the session anew") from None
