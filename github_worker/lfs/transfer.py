"""Moves objects between the store and the server: several at once, each resumed where it broke off.

Objects are asked for a hundred at a time; what fails for a moment is asked for anew, by fresh addresses.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import IO

import msgspec

from github_worker.errors import (
    AuthenticationFailed,
    JobError,
    PermissionDenied,
    PushRejected,
    RemoteUnavailable,
    RepositoryNotFound,
)
from github_worker.lfs.batch import (
    MOST_AT_ONCE,
    Offer,
    Operation,
    Trouble,
    read_batch,
    write_batch,
    write_object,
)
from github_worker.lfs.pointer import Pointer
from github_worker.lfs.server import Server, ServerBusy, ServerFaltered
from github_worker.lfs.store import Store
from github_worker.redaction import scrub
from github_worker.retry import BACKOFF, jitter

_AT_ONCE = 8  # as git-lfs has it
_INTERVAL = 0.34  # seconds
_PIECE = 256 * 1024
_ADVANCE = 1024 * 1024  # bytes: a try that got so far was not in vain
_LONGEST_PAUSE = 60.0
_MOST_WORDS = 500
_ABSENT = {404, 410}
_SILENCE = Offer("", error=Trouble(0, "it says nothing of it"))
# What an address that has expired is answered with; a new one may be good.
_STALE = (ServerFaltered, ServerBusy, AuthenticationFailed, PermissionDenied, RepositoryNotFound)
Count = Callable[[int], None]
Step = Callable[[Pointer, Offer], None]


class Progress:
    """Counts the bytes that threads have moved, and stops them."""

    def __init__(self) -> None:
        self.size = 0
        self._lock = Lock()
        self.stopped = Event()

    def add(self, size: int) -> None:
        """Count bytes; raise ServerFaltered once all is over, which nobody hears."""
        if self.stopped.is_set():
            raise ServerFaltered("It was stopped")
        with self._lock:
            self.size += size


class Part:
    """An object that is on its way: what came of it, and the hash of that."""

    def __init__(self, pointer: Pointer, folder: Path, progress: Progress) -> None:
        self._pointer, self._progress = pointer, progress
        self.draft = folder / f"{pointer.oid}-{pointer.size}"
        self._begin()

    def _begin(self) -> None:
        self._sha256, self.size = hashlib.sha256(), 0
        self.draft.write_bytes(b"")

    def write(self, start: int, pieces: Iterable[bytes]) -> None:
        """Write pieces that begin at `start`, which is where it ended, or 0; raise ServerFaltered."""
        if start != self.size:
            self._drop()
        with open(self.draft, "ab") as file:
            for piece in pieces:
                self.size += len(piece)
                self._sha256.update(piece)
                file.write(piece)
                self._progress.add(len(piece))
                if self.size > self._pointer.size:
                    break
        if self.size > self._pointer.size:
            self._drop()
            raise ServerFaltered(f"The server of the large files sends more than {self._name()} has")

    def _drop(self) -> None:
        self._progress.add(-self.size)
        self._begin()

    def check(self) -> None:
        """Raise ServerFaltered unless it is whole, and what its name says."""
        if self.size < self._pointer.size:
            raise ServerFaltered(f"The server of the large files sent only a part of {self._name()}")
        if self._sha256.hexdigest() != self._pointer.oid:
            self._drop()
            raise ServerFaltered(f"The server of the large files sent another content than {self._name()}")

    def _name(self) -> str:
        return f"{self._pointer.oid[:10]} ({self._pointer.size:,} bytes)"


class Transfers:
    """The transfers of one operation, for one branch; `count` is told the bytes so far."""

    def __init__(self, server: Server, store: Store, branch: str, count: Count) -> None:
        self._server, self._store, self._branch, self._count = server, store, branch, count
        self._progress = Progress()

    def download(self, pointers: Sequence[Pointer]) -> set[Pointer]:
        """Fetch objects into the store; return those that the server does not have."""
        absent: set[Pointer] = set()
        for some in _split(pointers):
            with self._store.drafts() as folder:
                parts = {pointer: Part(pointer, folder, self._progress) for pointer in some}
                absent.update(self._run("download", some, partial(self._download, parts)))
        return absent

    def upload(self, pointers: Sequence[Pointer]) -> int:
        """Send the objects that the server lacks, and return their bytes.

        Raises PushRejected for one that it refuses, or that is not here either.
        """
        for some in _split(pointers):
            self._run("upload", some, self._upload)
        return self._progress.size

    def _run(self, operation: Operation, pointers: Sequence[Pointer], step: Step) -> list[Pointer]:
        """Take a step for each object that the server offers, again where it falters; return the absent."""
        absent: list[Pointer] = []
        waiting, failures = list(pointers), 0
        while waiting:
            before, count = self._progress.size, len(waiting)
            waiting, error = self._try(operation, waiting, step, absent)
            if error is None:
                break
            has_advanced = len(waiting) < count or self._progress.size >= before + _ADVANCE
            failures = 1 if has_advanced else failures + 1
            if failures == BACKOFF.tries:
                raise error
            asked = getattr(error, "pause", None) or 0.0
            time.sleep(max(BACKOFF.pause(failures, jitter()), min(asked, _LONGEST_PAUSE)))
        return absent

    def _try(
        self, operation: Operation, pointers: list[Pointer], step: Step, absent: list[Pointer]
    ) -> tuple[list[Pointer], JobError | None]:
        """Take each step once; return the objects to try again, and why the last of them failed."""
        try:
            body = write_batch(operation, pointers, self._branch)
            offers = read_batch(self._server.ask("objects/batch", body))
        except (ServerFaltered, ServerBusy) as error:
            return pointers, error
        offered = []
        for pointer in pointers:
            offer = offers.get(pointer.oid, _SILENCE)
            if offer.error is None:
                offered.append((pointer, offer))
            elif operation == "download" and offer.error.code in _ABSENT:
                absent.append(pointer)
            else:
                raise _explain(operation, pointer, offer.error)
        return self._take_all(offered, step)

    def _take_all(
        self, offered: list[tuple[Pointer, Offer]], step: Step
    ) -> tuple[list[Pointer], JobError | None]:
        failed: list[Pointer] = []
        last: JobError | None = None
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lfs") as pool:
            running = {pool.submit(step, pointer, offer): pointer for pointer, offer in offered}
            try:
                for future in self._await_all(set(running)):
                    try:
                        future.result()
                    except _STALE as error:
                        failed.append(running[future])
                        last = error
            except BaseException:
                self._progress.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return failed, last

    def _await_all(self, waiting: set[Future[None]]) -> Iterator[Future[None]]:
        """Yield what is done, telling meanwhile how far all of it is."""
        while waiting:
            done, waiting = wait(waiting, _INTERVAL, FIRST_COMPLETED)
            self._count(self._progress.size)
            yield from done

    def _download(self, parts: Mapping[Pointer, Part], pointer: Pointer, offer: Offer) -> None:
        part, action = parts[pointer], offer.action("download")
        if action is None:
            raise RemoteUnavailable("The git server does not say where a large file is")
        if part.size < pointer.size:
            with self._server.fetch(offer, action, part.size) as (start, pieces):
                part.write(start, pieces)
        part.check()
        self._store.add(part.draft, pointer)

    def _upload(self, pointer: Pointer, offer: Offer) -> None:
        if (action := offer.action("upload")) is None:
            return  # the server has it
        if pointer not in self._store:
            raise PushRejected(
                f"The large file {pointer.oid[:10]} is neither in the session nor on the server, so that a "
                "commit which names it is not pushed"
            )
        sent = Progress()
        try:
            with self._store.open(pointer) as content:
                self._server.put(offer, action, pointer.size, self._read(content, sent))
        except BaseException:
            self._progress.add(-sent.size)
            raise
        if (check := offer.action("verify")) is not None:
            self._server.verify(offer, check, msgspec.json.encode(write_object(pointer)))

    def _read(self, content: IO[bytes], sent: Progress) -> Iterator[bytes]:
        while piece := content.read(_PIECE):
            sent.add(len(piece))
            self._progress.add(len(piece))
            yield piece


def _split(pointers: Sequence[Pointer]) -> Iterator[Sequence[Pointer]]:
    return (pointers[at : at + MOST_AT_ONCE] for at in range(0, len(pointers), MOST_AT_ONCE))


def _explain(operation: Operation, pointer: Pointer, trouble: Trouble) -> JobError:
    kind = PushRejected if operation == "upload" else RemoteUnavailable
    words = f": {scrub(trouble.message[:_MOST_WORDS])}" if trouble.message else ""
    return kind(f"The git server refuses the large file {pointer.oid[:10]} ({trouble.code}{words})")
