"""The answers that a stand-in worker can be told to give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from github_worker.contract import AnyEvent, Completed, Failed, Progress, Result, Stage, Transferred


class Stream(Struct, frozen=True):
    """A stream of `events`; then it ends, is cut off, or hangs until the stand-in is closed."""

    events: tuple[AnyEvent, ...]
    ending: Literal["end", "cut", "hang"] = "end"


class Refusal(Struct, frozen=True):
    """An answer that starts no job; `retry_after` is in seconds."""

    status: int
    code: str
    message: str
    retry_after: int | None = None


class Dropped(Struct, frozen=True):
    """The connection is closed before a byte is answered."""


Answer = Stream | Refusal | Dropped


def progress(stage: Stage, message: str = "") -> Progress:
    """Make an event of progress; `message` is the stage's name by default."""
    return Progress(stage=stage, message=message or stage)


def queued(position: int) -> Progress:
    """Make the event of a job that waits for its turn; `position` 1 is next."""
    return Progress(stage="queued", message=f"Waiting, number {position} in line", position=position)


def transferred(stage: Stage, received: int = 1, total: int | None = 1) -> Transferred:
    """Make a count of bytes; by default it is the last one of its stage."""
    percent = None if total is None else received * 100 // max(total, 1)
    return Transferred(stage=stage, received=received, total=total, percent=percent, bytes=received)


def completed(result: Result, timings: Mapping[str, int] | None = None) -> Completed:
    """Make the event that ends a job well; `timings` are milliseconds by stage, none by default."""
    return Completed(data=msgspec.to_builtins(result), timings=dict(timings or {}))


def completes(result: Result, *before: AnyEvent) -> Stream:
    """Answer with the events `before`, and the result."""
    return Stream((*before, completed(result)))


def fails(
    code: str,
    message: str = "the job failed",
    *before: AnyEvent,
    stage: Stage | None = None,
    retryable: bool = False,
    data: dict[str, Any] | None = None,
) -> Stream:
    """Answer with the events `before`, and an error; `data` is what was achieved before it."""
    failed = Failed(error=message, code=code, stage=stage, retryable=retryable, data=data)
    return Stream((*before, failed))


def cut_off(*before: AnyEvent) -> Stream:
    """Break the connection after the events `before`."""
    return Stream(before, "cut")


def hangs(*before: AnyEvent) -> Stream:
    """Say nothing more after the events `before`, until the stand-in is closed."""
    return Stream(before, "hang")


def drops() -> Dropped:
    """Close the connection without an answer."""
    return Dropped()


def refuses(status: int, code: str, message: str = "refused") -> Refusal:
    """Refuse the request with an HTTP status and a code of the contract."""
    return Refusal(status, code, message)


def busy(retry_after: int = 1) -> Refusal:
    """Refuse with 429, as a worker that has a job already; `retry_after` is in seconds."""
    return Refusal(429, "busy", "this worker has a job", retry_after)


def shutting_down(retry_after: int = 1) -> Refusal:
    """Refuse with 503, as a worker that is about to stop; `retry_after` is in seconds."""
    return Refusal(503, "shutting_down", "this worker is shutting down", retry_after)
