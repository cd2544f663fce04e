"""How an operation tells what it does: stages in order, counts that are throttled, timings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

from msgspec import Struct, structs

from github_worker.contract import AnyEvent, Progress, Stage, Warned
from github_worker.redaction import scrub_all

_INTERVAL = (
    0.34  # seconds from a stage's beginning or count to its next: with the last, four a second at most
)
_OUR_WORDS = {"source", "timestamp", "stage", "code"}  # of an event, whatever a secret is
Value = TypeVar("Value")


class Report:
    """Sends a job's events to `send`; every method may be called from any thread."""

    def __init__(self, send: Callable[[AnyEvent], None]) -> None:
        self._send = send
        self._clock = time.monotonic
        self._began = self._counted = self._clock()
        self.stage: Stage | None = None
        self.timings: dict[str, int] = {}
        # What stays done whatever becomes of the job, by its names on the wire.
        self.achieved: dict[str, Any] = {}

    def __call__(self, stage: Stage, message: str) -> None:
        """Begin a stage."""
        self._end_stage()
        self.stage = stage
        self._began = self._counted = self._clock()
        self.event(Progress(stage=stage, message=message))

    def count(self, message: str, received: int, total: int | None, bytes: int | None = None) -> None:
        """Say how far the stage has come; most calls are dropped, but never the last one."""
        last = received == total
        if self.stage is None or (not last and self._clock() - self._counted < _INTERVAL):
            return
        self._counted = self._clock()
        percent = None if total is None else 100 if last else min(99, received * 100 // max(total, 1))
        self.event(
            Progress(
                stage=self.stage,
                message=message,
                percent=percent,
                received=received,
                total=total,
                bytes=bytes,
            )
        )

    async def transfer(self, work: Awaitable[Value], message: str, count: ByteCount) -> Value:
        """Await work that moves bytes, saying a few times a second how far it is, and that it is done."""

        def say() -> None:
            self.count(message, count.size, count.total, count.size)

        value = await watch(work, say)
        count.total = count.size
        say()
        return value

    def warning(self, code: str, message: str) -> None:
        """Say that something was left out or done otherwise."""
        self.event(Warned(code=code, message=message))

    def event(self, event: AnyEvent) -> None:
        """Send an event, as every one is sent: scrubbed."""
        texts = {name: getattr(event, name) for name in event.__struct_fields__ if name not in _OUR_WORDS}
        self._send(structs.replace(event, **scrub_all(texts)))

    def finish(self) -> dict[str, int]:
        """End the last stage and return milliseconds by stage."""
        self._end_stage()
        self.stage = None
        return self.timings

    def _end_stage(self) -> None:
        if self.stage is not None:
            spent = round((self._clock() - self._began) * 1000)
            self.timings[self.stage] = self.timings.get(self.stage, 0) + spent


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
