"""One request's work on one session: unpacked once, changed in folders, saved whole or not at all.

The upload runs beside the work and waits where the work is not done yet. A request that was answered before
is answered again, and work that another writer got ahead of is carried over to that writer's version.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from uuid import uuid4

import msgspec
from msgspec import Struct

from github_worker.archive.adoption import adopt
from github_worker.archive.contents import FolderFiles, Spool, Trust
from github_worker.archive.limits import Limits
from github_worker.archive.pack import pack
from github_worker.archive.quarantine import Folders, Inventory
from github_worker.archive.unpack import unpack
from github_worker.contract import (
    CloneRepository,
    CommitAndPush,
    CreateBranch,
    InitSession,
    Request,
    Result,
    SwitchBranch,
    SyncBranch,
)
from github_worker.errors import SessionConflict, SessionCorrupt, SessionNotFound, StorageUnavailable
from github_worker.progress import ByteCount, Report
from github_worker.redaction import hide
from github_worker.retry import BACKOFF, jitter, retry
from github_worker.scratch import Scratch
from github_worker.sessions.metadata import DownloadInterrupted, Metadata, translate_interruption
from github_worker.storage import SessionChanged, Store

WORKSPACE = Path("workspace/workspace")
_VERSIONS = 3  # of other writers, that the work is carried over to

AnyResult = TypeVar("AnyResult", bound=Result)
SessionRequest = CloneRepository | CreateBranch | CommitAndPush | InitSession | SyncBranch | SwitchBranch


class RepositoryFolders(Struct, frozen=True):
    """Where a repository of the session is, and what git must not see of it.

    `quarantine` is the folder of the files of its `.git` that libgit2 does not see. `nested` are folders
    below the worktree (`.` is itself) whose `.git` is kept from libgit2, `misnamed` are paths that git takes
    for a `.git`, such as `.GIT`, and never adds, `attribute_files` those named `.gitattributes`.
    """

    worktree: Path
    quarantine: Path
    nested: list[str]
    misnamed: list[str]
    attribute_files: list[Path]
    files: Callable[[Trust], FolderFiles]


class Session:
    """One version of a session, unpacked: `version` is the store's, None for one that is new."""

    def __init__(
        self, session_id: str, folders: Folders, inventory: Inventory, limits: Limits, version: str | None
    ) -> None:
        self.id = session_id
        self.folders = folders
        self.inventory = inventory
        self.version = version
        self.limits = limits
        self.metadata = Metadata.read(folders.tree, session_id)

    @property
    def is_new(self) -> bool:
        """Whether the store has none of this id."""
        return self.version is None

    def repository_folders(self, cloned_path: str) -> RepositoryFolders:
        """Return where the repository at `cloned_path` is, or will be."""
        path, inventory = WORKSPACE / cloned_path, self.inventory
        worktree = self.folders.tree / path

        return RepositoryFolders(
            worktree,
            self.folders.quarantine / path / ".git",
            _below(path, inventory.quarantined_repositories),
            _below(path, inventory.misnamed),
            [worktree / name for name in _below(path, inventory.contents.attribute_files)],
            partial(
                FolderFiles, inventory.contents, inventory.spool, os.fsencode(path), os.fsencode(worktree)
            ),
        )

    def adopt(self, cloned_path: str) -> bool:
        """Let the repository at `cloned_path` be the session's own; False where a link or file is in its way.

        One in a folder of the workspace is that already. Raises SessionCorrupt for an object of it that git
        cannot read.
        """
        path = os.fsencode(WORKSPACE / cloned_path)
        if "/" not in cloned_path or self.inventory.repository == path:
            return True
        return adopt(self.folders, self.inventory, path, self.limits)

    def pack(self, before_worktree: Callable[[], None], before_tail: Callable[[], None]) -> Iterator[bytes]:
        """Pack it; the two callables block until those parts are ready."""
        return pack(
            self.folders,
            self.inventory,
            self.limits,
            before_worktree=before_worktree,
            before_tail=before_tail,
        )


# Brings the work over to a newer version of the session; raises SessionConflict where it cannot.
OnConflict = Callable[[Session], Awaitable[None]]


class RepeatedRequest(Exception):
    """The session remembers the outcome of this request; `result` is it."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


class Sessions:
    """Opens sessions out of a store."""

    def __init__(self, store: Store, scratch: Scratch, limits: Limits) -> None:
        self.store = store
        self._scratch = scratch
        self.limits = limits

    @asynccontextmanager
    async def transaction(
        self, request: SessionRequest, report: Report, kind: type[AnyResult], *, may_be_new: bool = False
    ) -> AsyncIterator[Transaction[AnyResult]]:
        """Open the request's session for the block, and save it at the end if the block began an upload.

        Raises RepeatedRequest if the session remembers a `kind` for the request, SessionNotFound if there is
        no session and it must not be new, and what saving raises. After an error storage is as it was.
        """
        session = await self._open(request.session_id, report)
        if session.is_new and not may_be_new:
            raise _not_found(session.id)
        if (answer := _answer(request, session, kind)) is not None:
            raise RepeatedRequest(answer)
        transaction = Transaction(self, session, request, report, kind)
        try:
            yield transaction
            await transaction.save()
        except BaseException:
            transaction.abandon()
            raise

    async def look(self, session_id: str, report: Report) -> Session:
        """Open what is below the session's workspace, to look at it alone; raise SessionNotFound.

        What else the archive has is passed over, unless something below is a hard link to it: nothing may be
        packed from this.
        """
        try:
            session = await self._open(session_id, report, WORKSPACE.parent)
        except SessionCorrupt:
            session = await self._open(session_id, report)
        if session.is_new:
            raise _not_found(session.id)
        return session

    async def _open(self, session_id: str, report: Report, part: Path | None = None) -> Session:
        report("downloading_session", "Downloading the session")
        received = ByteCount()
        session = await report.transfer(asyncio.to_thread(self.load, session_id, received, part), received)
        if "repository" not in report.identity:
            report.place(session.metadata.repository, session.metadata.branch)
        return session

    def load(self, session_id: str, received: ByteCount | None = None, part: Path | None = None) -> Session:
        """Download and unpack a session, or one folder of it, or begin one.

        A download that breaks off is begun anew.
        """
        return retry(lambda: self._load(session_id, received or ByteCount(), part), DownloadInterrupted)

    def _load(self, session_id: str, received: ByteCount, part: Path | None) -> Session:
        folder = self._scratch.folder()
        folders = Folders.make(folder)
        hide(folders.tree)
        hide(folders.quarantine)
        try:
            with self.store.download(session_id) as download:
                if download is None:
                    return Session(session_id, folders, Inventory(), self.limits, None)
                received.size, received.total = 0, download.size
                chunks = translate_interruption(received.count_chunks(download.chunks))
                spool = Spool(folder / "spool", folders.tree)
                within = os.fsencode(part) if part is not None else b""
                inventory = unpack(chunks, folders, self.limits, spool=spool, within=within)
            session = Session(session_id, folders, inventory, self.limits, download.version)
            if session.metadata.github is not None:
                session.adopt(session.metadata.github.cloned_path)
            return session
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


class Transaction(Generic[AnyResult]):
    """A session under work; `session` is the version that is worked on."""

    def __init__(
        self, sessions: Sessions, session: Session, request: Request, report: Report, kind: type[AnyResult]
    ) -> None:
        self.session = session
        self._sessions = sessions
        self._request = request
        self._report = report
        self._kind = kind
        self._id = request.request_id or f"job-{uuid4().hex}"
        self._upload: _Upload | None = None
        self._result: AnyResult | None = None
        self._on_conflict: OnConflict | None = None

    def start_upload(self, *, worktree_ready: bool = False) -> None:
        """Begin to send the session: its objects now, its files when they are released, the rest at last."""
        self._upload = _Upload(self.session, self._sessions.store)
        self._upload.start()
        if worktree_ready:
            self.release_worktree()

    def release_worktree(self) -> None:
        """Let the files go: they stay as they are."""
        if self._upload is not None:
            self._upload.release_worktree()

    @contextmanager
    def upload_restarted(self) -> Iterator[None]:
        """Let the block change files, and send the session anew with what it leaves."""
        self.abandon()
        try:
            yield
        finally:
            self.start_upload(worktree_ready=True)

    def complete(self, result: AnyResult, on_conflict: OnConflict | None = None) -> None:
        """Set the outcome, which is saved with the session, and how the work gets into a newer version."""
        self._result, self._on_conflict = result, on_conflict

    @property
    def result(self) -> AnyResult:
        """The outcome: that of this request's first asking, if a newer version of the session has one."""
        if self._result is None:
            raise RuntimeError("the transaction was not completed")
        return _answer(self._request, self.session, self._kind) or self._result

    def abandon(self) -> None:
        """End the upload and leave storage as it is."""
        if self._upload is not None:
            self._upload.abandon()

    async def save(self) -> None:
        """Let the rest go and see it stored, on top of a newer version if there is one.

        Raises StorageUnavailable, SessionConflict, SessionNotFound, or what `on_conflict` and the disk raise.
        """
        if self._upload is None:
            return
        self._report("uploading", "Saving the session")
        self._remember()
        conflicts = failures = 0
        while True:
            self._upload.release_all()
            try:
                await self._report.transfer(self._upload.task, self._upload.sent)
                return
            except SessionChanged:
                conflicts += 1
                if conflicts == _VERSIONS:
                    raise SessionConflict from None
                if await self._adopt_newer():
                    return
            except StorageUnavailable:
                failures += 1
                if failures == BACKOFF.tries:
                    raise
                await asyncio.sleep(BACKOFF.pause(failures, jitter()))
            self.start_upload()

    async def _adopt_newer(self) -> bool:
        """Carry the work over to the version that is stored now; True if that has it already."""
        newer = await asyncio.to_thread(self._sessions.load, self.session.id, ByteCount())
        if newer.is_new and not self.session.is_new:
            raise SessionNotFound(f"The session {newer.id} was deleted while this job worked")
        is_ours = newer.metadata.remembers(self._id, self._request.operation)
        if not is_ours:
            if self._on_conflict is None:
                raise SessionConflict
            await self._on_conflict(newer)
        self.session = newer
        if not is_ours:
            self._remember()
        return is_ours

    def _remember(self) -> None:
        metadata = self.session.metadata
        metadata.remember(self._id, self._request.operation, msgspec.to_builtins(self._result))
        metadata.write(self.session.folders.tree)


def _not_found(session_id: str) -> SessionNotFound:
    return SessionNotFound(f"There is no session {session_id}; clone-repository or init-session begins one")


class _Abandoned(Exception):
    """The upload is of no more use; storage keeps what it has."""


class _Upload:
    """One try: an archive on its way to the store, which waits at two gates."""

    def __init__(self, session: Session, store: Store) -> None:
        self.sent = ByteCount()
        self._session, self._store = session, store
        self._worktree: Future[None] = Future()
        self._tail: Future[None] = Future()
        self._is_abandoned = False

    def start(self) -> None:
        """Begin to send, in a thread."""
        chunks = self.sent.count_chunks(self._pack())
        sending = asyncio.to_thread(self._store.upload, self._session.id, chunks, self._session.version)
        self.task = asyncio.create_task(sending)
        self.task.add_done_callback(_retrieve)

    def release_worktree(self) -> None:
        """Open the first gate."""
        if not self._worktree.done():
            self._worktree.set_result(None)

    def release_all(self) -> None:
        """Open both gates."""
        self.release_worktree()
        self._tail.set_result(None)

    def abandon(self) -> None:
        """See that it stores nothing more; its thread is not waited for, as storage may hang."""
        self._is_abandoned = True
        for gate in (self._worktree, self._tail):
            if not gate.done():
                gate.set_exception(_Abandoned())

    def _pack(self) -> Iterator[bytes]:
        for chunk in self._session.pack(self._worktree.result, self._tail.result):
            # Asked with the chunk at hand: its files may be gone already, and no archive may lack them.
            if self._is_abandoned:
                raise _Abandoned
            yield chunk


def _retrieve(task: asyncio.Task[str | None]) -> None:
    """Take note of how an upload ended, which nobody waits for once it is abandoned."""
    if not task.cancelled():
        task.exception()


def _answer(request: Request, session: Session, kind: type[AnyResult]) -> AnyResult | None:
    """Return what the request's first asking achieved, if the session remembers it."""
    if request.request_id is None or (found := session.metadata.outcome(request)) is None:
        return None
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError:  # a session may say anything
        return None


def _below(root: Path, paths: Iterable[bytes]) -> list[str]:
    """Return those of the archive's paths that are below a folder, relative to it."""
    decoded = (os.fsdecode(path) for path in paths)
    return [os.path.relpath(path, root) for path in decoded if f"{path}/".startswith(f"{root}/")]
