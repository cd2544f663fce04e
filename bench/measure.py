"""Samples and what is concluded from them."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from subprocess import Popen
from typing import Literal

from msgspec import Struct

Unit = Literal["s", "ms", "CPU s", "MB", ""]


class Usage(Struct, frozen=True):
    """What a piece of work took: seconds by the clock, and of the processor in all its processes."""

    wall: float
    cpu: float


class Samples(Struct, frozen=True):
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles, or the least and the greatest of fewer than four."""
        if len(self.values) < 4:
            return min(self.values), max(self.values)
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high


class Result(Struct, frozen=True, kw_only=True):
    """A row of the table; `limit` is of the ratio where there is a peer, else of the value."""

    what: str
    unit: Unit
    ours: Samples
    against: str = ""
    theirs: Samples | None = None
    limit: float | None = None
    failed: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Our median over the peer's."""
        return self.ours.median / self.theirs.median if self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.failed:
            return False
        value = self.ours.median if self.ratio is None else self.ratio
        return None if self.limit is None else value <= self.limit


class Skipped(Struct, frozen=True):
    """A row that could not be measured here, and why."""

    what: str
    why: str


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Yield a function that tells the seconds since the block began."""
    began = time.perf_counter()
    yield lambda: time.perf_counter() - began


def run(command: Sequence[str], env: Mapping[str, str]) -> Usage:
    """Run a command and measure it, with every process that it waited for; raise if it fails."""
    with stopwatch() as elapsed:
        usage = reap(Popen(command, env=env))
        return Usage(elapsed(), usage)


def reap(process: Popen[bytes]) -> float:
    """Wait for a process to end well, and return the CPU seconds of it and of those that it waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode} of {process.args!r}")
    return usage.ru_utime + usage.ru_stime


def compared(
    what: str, against: str, pairs: Sequence[tuple[Usage, ...]], limit: float | None, cpu_limit: float | None
) -> Iterator[Result]:
    """Yield the clock's row and the processor's for pairs of ours and the peer's."""
    ours, theirs = zip(*pairs, strict=True)
    yield Result(
        what=what,
        against=against,
        unit="s",
        ours=Samples(tuple(usage.wall for usage in ours)),
        theirs=Samples(tuple(usage.wall for usage in theirs)),
        limit=limit,
    )
    yield Result(
        what=f"{what}, CPU",
        against="the same",
        unit="CPU s",
        ours=Samples(tuple(usage.cpu for usage in ours)),
        theirs=Samples(tuple(usage.cpu for usage in theirs)),
        limit=cpu_limit,
    )


def exponent(less: float, more: float, growth: float) -> float:
    """Return by which power of the size a cost grows, when a size `growth` times as large costs `more`."""
    return math.log(more / less) / math.log(growth)
