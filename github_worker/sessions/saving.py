"""Saving a session beside the work: the upload runs ahead, and waits where the work is not done yet."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import msgspec

from github_worker.contract import Request, Result
from github_worker.errors import SessionConflict, StorageUnavailable
from github_worker.progress import ByteCount, Report, watched
from github_worker.sessions.sessions import Session, Sessions
from github_worker.sessions.store import SessionChanged

_TRIES = 3
_PAUSE = 0.5  # seconds before the first repeat

Carry = Callable[[Session], Awaitable[None]]


class _Abandoned(Exception):
    """The upload is of no more use; storage keeps what it has."""


class Saving:
    """One session's upload, under way."""

    def __init__(
        self, sessions: Sessions, session: Session, request: Request, report: Report, carry: Carry
    ) -> None:
        self._sessions = sessions
        self._session = session
        self._request = request
        self.report = report
        self._carry = carry
        self._id = request.request_id or f"job-{uuid4().hex}"
        self._result: Result | None = None
        self._begin()

    def worktree_ready(self) -> None:
        """Let the files go: they stay as they are."""
        if not self._worktree.done():
            self._worktree.set_result(None)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Let the block change files, and start over with what it leaves."""
        await self.abandon()
        try:
            yield
        finally:
            self._begin()
            self.worktree_ready()

    async def abandon(self) -> None:
        """End the upload and leave storage as it is."""
        for gate in (self._worktree, self._tail):
            if not gate.done():
                gate.set_exception(_Abandoned())
        with suppress(_Abandoned, SessionChanged, StorageUnavailable, OSError):
            await self._upload

    def keep(self, result: Result) -> None:
        """Record the job's outcome, which is saved with the session."""
        self._result = result

    async def finish(self) -> None:
        """Let the rest go and see it stored, on top of a newer version if there is one.

        Raises SessionConflict or StorageUnavailable, with what was achieved in `data`.
        """
        self.report("uploading", "Saving the session")
        self._remember()
        self.worktree_ready()
        self._tail.set_result(None)
        conflicts = failures = 0
        while True:
            try:
                await watched(self._upload, self._count)
                break
            except SessionChanged:
                conflicts += 1
                if conflicts == _TRIES:
                    raise SessionConflict(data=self._achieved()) from None
                if await self._adopt_newer():
                    break
            except StorageUnavailable as error:
                failures += 1
                if failures == _TRIES:
                    raise StorageUnavailable(str(error), data=self._achieved()) from error
                await asyncio.sleep(random.uniform(0.5, 1) * _PAUSE * 2**failures)  # noqa: S311 (no secret)
            self._begin(ready=True)
        self._sent.total = self._sent.bytes
        self._count()

    def _begin(self, *, ready: bool = False) -> None:
        self._worktree: Future[None] = Future()
        self._tail: Future[None] = Future()
        self._sent = ByteCount()
        if ready:
            self._worktree.set_result(None)
            self._tail.set_result(None)
        chunks = self._sent.counted(self._session.pack(self._worktree.result, self._tail.result))
        self._upload = asyncio.create_task(
            asyncio.to_thread(self._sessions.store.upload, self._session.id, chunks, self._session.version)
        )

    async def _adopt_newer(self) -> bool:
        """Carry the work over to the version that is stored now; True if that is our own."""
        newer = await asyncio.to_thread(self._sessions.load, self._session.id)
        if newer.metadata.remembers(self._id):
            return True
        await self._carry(newer)
        self._session = newer
        self._remember()
        return False

    def _remember(self) -> None:
        self._session.metadata.remember(self._id, self._request.operation, self._achieved())
        self._session.metadata.write(self._session.folders.tree)

    def _achieved(self) -> dict[str, object]:
        achieved: dict[str, object] = msgspec.to_builtins(self._result)
        return achieved

    def _count(self) -> None:
        self.report.count("Saving the session", self._sent.bytes, self._sent.total, self._sent.bytes)


@asynccontextmanager
async def saving(
    sessions: Sessions, session: Session, request: Request, report: Report, carry: Carry
) -> AsyncIterator[Saving]:
    """Upload the session while the block works on it; `carry` moves the work to a newer version of it."""
    upload = Saving(sessions, session, request, report, carry)
    try:
        yield upload
    except BaseException:
        await upload.abandon()
        raise
    await upload.finish()
