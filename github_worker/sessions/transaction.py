"""Saving a session beside the work: the upload runs ahead, and waits where the work is not done yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar
from uuid import uuid4

import msgspec

from github_worker.contract import Request, Result
from github_worker.errors import SessionConflict, SessionNotFound, StorageUnavailable
from github_worker.progress import ByteCount, Report, watched
from github_worker.retry import TRIES, pause
from github_worker.sessions.session import Session, Sessions
from github_worker.storage import SessionChanged, Store

_VERSIONS = 3  # of other writers, that the work is carried over to

OnConflict = Callable[[Session], Awaitable[None]]


class SessionUpload:
    """One session's upload, under way; `session` is the version that it is of."""

    def __init__(
        self, sessions: Sessions, session: Session, request: Request, report: Report, carry: OnConflict
    ) -> None:
        self.session = session
        self.report = report
        self._sessions = sessions
        self._request = request
        self._carry = carry
        self._id = request.request_id or f"job-{uuid4().hex}"
        self._result: Result | None = None
        self._begin()

    def worktree_ready(self) -> None:
        """Let the files go: they stay as they are."""
        self._upload.let_worktree_go()

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """Let the block change files, and start over with what it leaves."""
        self.abandon()
        try:
            yield
        finally:
            self._begin()
            self.worktree_ready()

    def abandon(self) -> None:
        """End the upload and leave storage as it is."""
        self._upload.abandon()

    def keep(self, result: Result) -> None:
        """Record the job's outcome, which is saved with the session."""
        self._result = result

    async def finish(self) -> None:
        """Let the rest go and see it stored, on top of a newer version if there is one.

        Raises StorageUnavailable, SessionConflict, SessionNotFound, or what `carry` and the disk raise.
        """
        self.report("uploading", "Saving the session")
        self._remember()
        self._upload.let_all_go()
        conflicts = failures = 0
        while True:
            try:
                await watched(self._upload.task, self._count)
                break
            except SessionChanged:
                conflicts += 1
                if conflicts == _VERSIONS:
                    raise SessionConflict from None
                if await self._adopt_newer():
                    break
            except StorageUnavailable:
                failures += 1
                if failures == TRIES:
                    raise
                await asyncio.sleep(pause(failures))
            self._begin()
            self._upload.let_all_go()
        self._upload.sent.total = self._upload.sent.bytes
        self._count()

    def _begin(self) -> None:
        self._upload = _Upload(self.session, self._sessions.store)

    async def _adopt_newer(self) -> bool:
        """Carry the work over to the version that is stored now; True if that has it already."""
        newer = await asyncio.to_thread(self._sessions.load, self.session.id)
        if newer.is_new and not self.session.is_new:
            raise SessionNotFound(f"The session {newer.id} was deleted while this job worked")
        is_ours = newer.metadata.remembers(self._id, self._request.operation)
        if not is_ours:
            await self._carry(newer)
        self.session = newer
        if not is_ours:
            self._remember()
        return is_ours

    def _remember(self) -> None:
        metadata = self.session.metadata
        metadata.remember(self._id, self._request.operation, msgspec.to_builtins(self._result))
        metadata.write(self.session.folders.tree)

    def _count(self) -> None:
        sent = self._upload.sent
        self.report.count("Saving the session", sent.bytes, sent.total, sent.bytes)


class _Abandoned(Exception):
    """The upload is of no more use; storage keeps what it has."""


class _Upload:
    """One try: an archive on its way to the store, which waits at two gates."""

    def __init__(self, session: Session, store: Store) -> None:
        self.sent = ByteCount()
        self._worktree: Future[None] = Future()
        self._tail: Future[None] = Future()
        self._abandoned = False
        chunks = self.sent.counted(self._pack(session))
        self.task = asyncio.create_task(asyncio.to_thread(store.upload, session.id, chunks, session.version))
        self.task.add_done_callback(_retrieve)

    def let_worktree_go(self) -> None:
        """Open the first gate."""
        if not self._worktree.done():
            self._worktree.set_result(None)

    def let_all_go(self) -> None:
        """Open both gates."""
        self.let_worktree_go()
        self._tail.set_result(None)

    def abandon(self) -> None:
        """See that it stores nothing more; its thread is not waited for, as storage may hang."""
        self._abandoned = True
        for gate in (self._worktree, self._tail):
            if not gate.done():
                gate.set_exception(_Abandoned())

    def _pack(self, session: Session) -> Iterator[bytes]:
        for chunk in session.pack(self._worktree.result, self._tail.result):
            # Asked with the chunk at hand: its files may be gone already, and no archive may lack them.
            if self._abandoned:
                raise _Abandoned
            yield chunk


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take note of how an upload ended, which nobody waits for once it is abandoned."""
    if not task.cancelled():
        task.exception()


@asynccontextmanager
async def saving(
    sessions: Sessions, session: Session, request: Request, report: Report, carry: OnConflict
) -> AsyncIterator[SessionUpload]:
    """Upload the session while the block works on it; `carry` moves the work to a newer version of it."""
    upload = SessionUpload(sessions, session, request, report, carry)
    try:
        yield upload
        await upload.finish()
    except BaseException:
        upload.abandon()
        raise


AnyResult = TypeVar("AnyResult", bound=Result)


def outcome(job: Request, session: Session, kind: type[AnyResult]) -> AnyResult | None:
    """Return what the job's first asking achieved, if the session remembers it."""
    if job.request_id is None or (kept := session.metadata.outcome(job)) is None:
        return None
    try:
        return msgspec.convert(kept, kind)
    except msgspec.ValidationError:  # a session may say anything
        return None
