"""How an operation tells what it does: stages in order, counts that are throttled, timings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

from msgspec import Struct, structs

from github_worker.contract import AnyEvent, Progress, Stage, Transferred, Warned
from github_worker.redaction import scrub_all

# seconds from a stage's beginning or count to its next: with the last, four a second at most
_INTERVAL = 0.34
_OUR_WORDS = {"source", "timestamp", "stage", "code"}  # of an event, whatever a secret is
_LONGEST_NAME = 300  # characters of what a session may say
_MOST = 100  # warnings, and stages, that are remembered
Value = TypeVar("Value")


class StageTime(Struct, frozen=True):
    """When a stage was, in nanoseconds since the epoch."""

    stage: Stage
    began: int
    ended: int


class Report:
    """Sends a job's events to `send`; every method may be called from any thread.

    `identity` says which job it is, and where it works as far as that is known: every line of the log has it.
    """

    def __init__(self, send: Callable[[AnyEvent], None]) -> None:
        self._send = send
        self.identity: dict[str, str | None] = {}
        # What a trace shows of a job.
        self.stages: list[StageTime] = []
        self.warnings: list[tuple[int, Warned]] = []
        self.bytes: dict[Stage, int] = {}
        self._clock = time.monotonic
        self._began = self._counted = self._clock()
        self._began_at = time.time_ns()
        self.stage: Stage | None = None
        self._told: set[Stage] = set()
        self.timings: dict[str, int] = {}
        # What stays done whatever becomes of the job, by its names on the wire.
        self.achieved: dict[str, Any] = {}

    def __call__(self, stage: Stage, message: str, *, commit_hash: str | None = None) -> None:
        """Begin a stage; one that comes again is timed and not told again, as people read every line."""
        self._begin(stage)
        if stage not in self._told:
            self._told.add(stage)
            self.event(Progress(stage=stage, message=message, commit_hash=commit_hash))

    def queued(self, position: int) -> None:
        """Say that the job waits, and at which place in line; 1 is next."""
        self._begin("queued")
        self.event(Progress(stage="queued", message=f"Waiting, number {position} in line", position=position))

    def count(self, received: int, total: int | None, bytes: int) -> None:
        """Say how far the stage has come; most calls are dropped."""
        if self.stage is not None and self._clock() - self._counted >= _INTERVAL:
            self._counted = self._clock()
            percent = None if total is None else min(99, received * 100 // max(total, 1))
            self._tell(self.stage, received, total, percent, bytes)

    def count_last(self, received: int, bytes: int) -> None:
        """Say that all of what the stage counts is done."""
        if self.stage is not None:
            self.bytes[self.stage] = self.bytes.get(self.stage, 0) + bytes
            self._tell(self.stage, received, received, 100, bytes)

    def _tell(self, stage: Stage, received: int, total: int | None, percent: int | None, bytes: int) -> None:
        self.event(Transferred(stage=stage, received=received, total=total, percent=percent, bytes=bytes))

    async def transfer(self, work: Awaitable[Value], count: ByteCount) -> Value:
        """Await work that moves bytes, saying a few times a second how far it is, and that it is done."""
        value = await watch(work, lambda: self.count(count.size, count.total, count.size))
        self.count_last(count.size, count.size)
        return value

    def warning(self, code: str, message: str) -> None:
        """Say that something was left out or done otherwise."""
        warning = Warned(code=code, message=message)
        if len(self.warnings) < _MOST:
            self.warnings.append((time.time_ns(), warning))
        self.event(warning)

    def place(self, repository: str | None, branch: str | None) -> None:
        """Say in which repository and on which branch the job works, where that is known."""
        found = {"repository": repository, "branch": branch}
        self.identity.update({name: text[:_LONGEST_NAME] for name, text in found.items() if text})

    def event(self, event: AnyEvent) -> None:
        """Send an event, as every one is sent: scrubbed."""
        texts = {name: getattr(event, name) for name in event.__struct_fields__ if name not in _OUR_WORDS}
        self._send(structs.replace(event, **scrub_all(texts)))

    def finish(self) -> dict[str, int]:
        """End the last stage and return milliseconds by stage."""
        self._end_stage()
        self.stage = None
        return self.timings

    def _begin(self, stage: Stage) -> None:
        self._end_stage()
        self.stage = stage
        self._began = self._counted = self._clock()
        self._began_at = time.time_ns()

    def _end_stage(self) -> None:
        if self.stage is not None:
            spent = round((self._clock() - self._began) * 1000)
            self.timings[self.stage] = self.timings.get(self.stage, 0) + spent
            if len(self.stages) < _MOST:
                self.stages.append(StageTime(self.stage, self._began_at, time.time_ns()))


async def watch(work: Awaitable[Value], count: Callable[[], None]) -> Value:
    """Await `work`, calling `count` a few times a second."""
    task = asyncio.ensure_future(work)
    while not (await asyncio.wait({task}, timeout=_INTERVAL))[0]:
        count()
    return task.result()


class ByteCount(Struct):
    """Counts the bytes of a stream that another thread moves: `size` so far, `total` where it is known."""

    size: int = 0
    total: int | None = None

    def count_chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on, counting them."""
        for chunk in chunks:
            self.size += len(chunk)
            yield chunk
