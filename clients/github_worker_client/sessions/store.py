"""SessionStore: the sessions of a store as folders to work in, for callers with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from github_worker.archive.limits import Limits
from github_worker.redaction import Secret
from github_worker_client.sessions import sync
from github_worker_client.sessions.sync import Checkout, StoredSession
from github_worker_client.sessions.working_copy import WorkingCopy

Value = TypeVar("Value")
_LIMITS = Limits()
_PAGE = 1000
_PATIENCE = 2.0  # seconds


class Session:
    """A session that is checked out: its files are in `folder`, and whoever has the folder may change them.

    Its hooks and its git configuration are there as they came: git obeys them, and so does what calls git.
    """

    def __init__(self, files: WorkingCopy) -> None:
        self._files = files

    @property
    def id(self) -> str:
        """The session's id."""
        return self._files.id

    @property
    def folder(self) -> Path:
        """The folder of all that the session holds; it is this user's alone."""
        return self._files.folder

    @property
    def repository(self) -> Path:
        """The folder of the session's repository, as its metadata names it; raises NoRepository."""
        return self._files.repository

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The session's metadata as it was checked out; empty where there is none. Raises SessionCorrupt."""
        return self._files.metadata

    @property
    def modified(self) -> datetime | None:
        """When the version was saved that these files are of; None for a new session."""
        return self._files.modified

    @property
    def read_only(self) -> bool:
        """Whether it is never saved."""
        return self._files.read_only

    @property
    def left_out(self) -> list[str]:
        """What the last save left out: sockets, pipes and devices that were made in the folder."""
        return self._files.left_out

    async def is_changed(self) -> bool:
        """Tell whether anything changed since the checkout or the last save; no file is read for it."""
        return await asyncio.to_thread(self._files.is_changed)

    async def save(self) -> bool:
        """Save the session now, if anything changed, and return whether it was.

        Raises SessionConflict if another writer saved it meanwhile, FilesUnsettled if a file changes each
        time that it is read or cannot be read, SessionTooLarge, StoreUnavailable, and SessionError if it was
        checked out to be read only.
        """
        return await _in_thread(self._files.save)


class SessionStore:
    """The sessions of one store, each of which can be checked out into a folder.

    All methods raise InvalidRequest for what is no session's id, and SessionError.
    """

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
        """Open a store; nothing is sent before it is asked for something.

        - `url`: `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///folder`, or a storage worker's address.
        - `options`: what the cloud's own environment variables say, by their names, such as
          `AWS_ENDPOINT_URL`; by default those variables count.
        - `folder`: where sessions are checked out; the system's folder for temporary files by default.
        - `timeout`: the seconds without a byte after which the store counts as down.
        - `max_bytes`, `max_files`: the most that a session may hold, unpacked.
        """
        self._store = sync.SessionStore(
            url, options=options, folder=folder, timeout=timeout, max_bytes=max_bytes, max_files=max_files
        )

    async def list(self) -> AsyncIterator[StoredSession]:
        """Yield all sessions of the store, in no order; raise NotOffered where it has no list."""
        sessions = self._store.list()
        while page := await asyncio.to_thread(lambda: [*islice(sessions, _PAGE)]):
            for session in page:
                yield session

    async def show(self, session_id: str) -> StoredSession:
        """Return what the store tells of a session; raise SessionNotFound."""
        return await asyncio.to_thread(self._store.show, session_id)

    async def delete(self, session_id: str) -> None:
        """Delete a session; raise SessionNotFound, or NotOffered where the store deletes nothing."""
        await asyncio.to_thread(self._store.delete, session_id)

    @asynccontextmanager
    async def checkout(
        self,
        session_id: str,
        *,
        read_only: bool = False,
        save_on_error: bool = False,
        create: bool = False,
        keep_unsaved: bool = True,
    ) -> AsyncIterator[Session]:
        """Unpack a session into a private folder for the block, and save it at the end if anything changed.

        It is saved on condition that nobody saved it meanwhile, else SessionConflict is raised. The folder is
        removed at the end, and all that did not change goes back into the store as it came.

        - `read_only`: whether nothing is saved, whatever happens to the files; no by default.
        - `save_on_error`: whether to save what there is when the block raises or is cancelled; by default
          nothing is saved then.
        - `create`: whether to begin a session with an empty folder where there is none; by default that is
          SessionNotFound.
        - `keep_unsaved`: whether the folder stays where the session should be saved and cannot be; yes by
          default, and the error says where it is.
        """
        checkout = self._store.prepare(
            session_id,
            read_only=read_only,
            save_on_error=save_on_error,
            create=create,
            keep_unsaved=keep_unsaved,
        )
        session = Session(await _open(checkout))
        try:
            yield session
        except BaseException as error:
            caught = error
            await _in_thread(lambda: checkout.close(caught))
            raise
        await _in_thread(lambda: checkout.close(None))

    async def unpack(self, session_id: str, folder: Path | str) -> None:
        """Unpack a session into a folder that stays, and is new or empty; `save` takes it from there.

        Raises SessionError, FileExistsError for a folder that is not empty.
        """
        await _in_thread(lambda: self._store.unpack(session_id, folder))

    async def save(self, session_id: str, folder: Path | str, *, overwrite: bool = False) -> bool:
        """Save a folder as a session if anything changed in it, and return whether it was.

        What `unpack` made is saved if nobody saved the session since, any other folder if there is no such
        session: else SessionConflict is raised. With `overwrite` it takes the place of whatever is there.
        """
        return await _in_thread(lambda: self._store.save(session_id, folder, overwrite=overwrite))


async def _open(checkout: Checkout) -> WorkingCopy:
    """Open a checkout; one that the caller does not wait for leaves nothing behind."""
    opening = asyncio.ensure_future(asyncio.to_thread(checkout.open))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        checkout.abandoned.set()
        opening.add_done_callback(_retrieve)
        # A store that hangs is not waited for: the thread itself removes what it made, when it gets to it.
        await asyncio.wait({opening}, timeout=_PATIENCE)
        if opening.done() and opening.exception() is None:
            await _in_thread(checkout.remove)
        raise


async def _in_thread(work: Callable[[], Value]) -> Value:
    """Do what blocks; a caller that is cancelled waits for its end, as it needs the files until then."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_retrieve)
        await asyncio.wait({task})
        raise


def _retrieve(task: asyncio.Future[Value]) -> None:
    """Take note of how work ended that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
