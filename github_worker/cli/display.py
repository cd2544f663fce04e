"""How a job is shown where no terminal is: JSON or plain lines. A terminal's display is `terminal.py`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol, TextIO

import msgspec
from msgspec import Struct

from github_worker.cli.advice import advise, explain
from github_worker.cli.summary import PUSHED, Row, list_rows
from github_worker.cli.text import clean, clean_lines, seconds, size
from github_worker.contract import (
    AnyEvent,
    Completed,
    Failed,
    Progress,
    Result,
    Transferred,
    Warned,
    convert,
    encode_event,
)
from github_worker.redaction import scrub_all

STARTING = "starting"  # the stage before those of a job: a worker is looked for, or started
_LEAST = 0.05  # seconds: a rate of less says nothing
Clock = Callable[[AnyEvent], float]


class Display(Protocol):
    """Shows a job to whoever asked for it."""

    def show(self, event: AnyEvent) -> None:
        """Show an event, as it comes."""

    def close(self) -> None:
        """End the display, also of a job that has no outcome yet."""


class Step(Struct):
    """A stage of a job as it is shown: when it began and, where it moves bytes, how far it was and when."""

    name: str
    message: str
    began: float
    transfer: Transferred | None = None
    moved: float = 0.0

    def describe_bytes(self) -> str:
        """Return how many bytes were moved, and how many a second."""
        if self.transfer is None or not self.transfer.bytes:
            return ""
        spent = self.moved - self.began
        rate = f", {size(self.transfer.bytes / spent)}/s" if spent >= _LEAST else ""
        return size(self.transfer.bytes) + rate


class Timeline:
    """Follows a job's stages; `clock` tells when an event came, in seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.began: float | None = None
        self.now = 0.0
        self.step: Step | None = None

    def follow(self, event: AnyEvent) -> Step | None:
        """Take an event in; return the stage that it ends, if it does."""
        self.now = self._clock(event)
        self.began = self.now if self.began is None else self.began
        ended = self.step
        match event:
            case Progress() if ended and ended.name == event.stage:
                ended.message = event.message  # the place in line changes
                return None
            case Progress():
                self.step = Step(event.stage, event.message, self.now)
            case Transferred() if ended and ended.name == event.stage:
                ended.transfer, ended.moved = event, self.now
                return None
            case Completed() | Failed():
                self.step = None
            case _:
                return None
        return ended

    @property
    def elapsed(self) -> float:
        """The seconds from the first event to the last one."""
        return self.now - (self.began or self.now)


class JsonLines:
    """Writes the events as they come over the wire, one a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: AnyEvent) -> None:
        """Write an event, in ASCII: no terminal obeys what is escaped."""
        if not (isinstance(event, Progress) and event.stage == STARTING):
            fields = scrub_all(msgspec.json.decode(encode_event(event)))
            print(json.dumps(fields), file=self._out, flush=True)

    def close(self) -> None:
        """Every line is out already."""


class PlainLines:
    """Writes a line for each stage, for files and for terminals without colours."""

    def __init__(self, out: TextIO, kind: type[Result], clock: Clock = lambda _: time.monotonic()) -> None:
        self._out = out
        self._kind = kind
        self._timeline = Timeline(clock)

    def show(self, event: AnyEvent) -> None:
        """Write what there is to say of an event."""
        before = self._timeline.step.message if self._timeline.step else None
        self._timeline.follow(event)
        for line in self._compose(event, before):
            print(line, file=self._out, flush=True)

    def close(self) -> None:
        """Every line is out already."""

    def _compose(self, event: AnyEvent, before: str | None) -> Iterator[str]:
        match event:
            case Progress() if event.message != before:
                yield self._stamp(event.stage, clean(event.message))
            case Transferred(percent=100) if step := self._timeline.step:
                if moved := step.describe_bytes():
                    yield self._stamp(event.stage, moved)
            case Warned():
                yield f"warning: {clean(event.message)} ({clean(event.code)})"
            case Completed():
                rows = read_rows(event, self._kind)
                yield f"done in {seconds(self._timeline.elapsed)}{describe_lack(rows)}"
                yield from align(rows)
            case Failed():
                yield f"failed after {seconds(self._timeline.elapsed)}: {describe_failure(event)}"
                yield from (f"  {line}" for line in clean_lines(event.error))
                yield from align(list_advice(event))

    def _stamp(self, stage: str, words: str) -> str:
        return f"{self._timeline.elapsed:8.2f} s  {clean(stage):20} {words}"


def align(rows: list[Row]) -> Iterator[str]:
    """Yield rows as lines whose texts stand below each other."""
    widest = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        yield f"  {label:{widest}}  {text}"


def read_rows(event: Completed, kind: type[Result]) -> list[Row]:
    """Return the rows of a result, clean; none of one that this version cannot read."""
    try:
        rows = list_rows(convert(event.data, kind))
    except ValueError:
        return [("Result", clean(json.dumps(event.data)))]
    return [(label, clean(text)) for label, text in rows]


def describe_lack(rows: list[Row]) -> str:
    """Return what a result lacks of a success, for the line above it."""
    return ", but not pushed" if any(row[0] == PUSHED and row[1] != "yes" for row in rows) else ""


def describe_failure(event: Failed) -> str:
    """Return the code of an error and the stage that it came in."""
    return clean(event.code) + (f", in {clean(event.stage)}" if event.stage else "")


def list_advice(event: Failed) -> list[Row]:
    """Return what an error means, what to do, and what was achieved before it."""
    meaning = explain(event.code)
    what_to_do = advise(event.code, retryable=event.retryable)
    achieved = ", ".join(f"{name} {value}" for name, value in (event.data or {}).items())
    rows = [
        ("What it means", meaning if meaning not in {None, event.error} else None),
        ("What to do", what_to_do),
        ("Done before", clean(achieved)),
    ]
    return [(label, text) for label, text in rows if text]


def read_moment(event: AnyEvent) -> float:
    """Return when an event was sent, as it says itself: a clock for jobs that are over."""
    return datetime.fromisoformat(event.timestamp).timestamp()
