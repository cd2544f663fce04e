"""What is measured, by which names, and the one who keeps it.

A process that does a job counts what only it can know, and tells its supervisor at the end in a few
numbers, each the place of a word in a list that both have. The supervisor, which sees by itself how many jobs
there are and how long they take, adds up in a `Ledger`: that outlives every job, and no job can change what
another has told.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from github_worker.channel import Kind
from github_worker.contract import REQUESTS, Stage
from github_worker.errors import Refusal, job_errors

Word = TypeVar("Word", bound=str)
Amount = Literal["bytes received", "bytes sent", "tokens read", "tokens written"]

OPERATIONS: Sequence[str] = tuple(REQUESTS)
STAGES: Sequence[str] = get_args(Stage)
CODES: Sequence[str] = ("completed", *job_errors())
REFUSALS: Sequence[str] = (*(refusal.code for refusal in Refusal.__subclasses__()), "internal")
AMOUNTS: Sequence[Amount] = get_args(Amount)
GIVEN_UP, KILLED = "given_up", "killed"  # what a job comes to that tells no code

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_WORD = 32  # bits of a number in a message


class Metric(Struct, frozen=True):
    """What something is called where it is graphed; a histogram has bounds, in the metric's unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


# Named as OpenTelemetry's names (`github_worker.jobs`, unit and kind at the end) are by Prometheus.
JOBS = Metric("github_worker_jobs_total", "counter", "Jobs that have ended.", ("operation", "code"))
REFUSED = Metric("github_worker_refusals_total", "counter", "Requests that began no job.", ("code",))
DURATION = Metric(
    "github_worker_job_duration_seconds",
    "histogram",
    "Seconds of a job's work.",
    ("operation", "code"),
    _SECONDS,
)
STAGE_DURATION = Metric(
    "github_worker_stage_duration_seconds",
    "histogram",
    "Seconds of a job's stages.",
    ("operation", "stage"),
    _SECONDS,
)
WAIT = Metric(
    "github_worker_queue_wait_seconds",
    "histogram",
    "Seconds until a job had its turn.",
    ("operation",),
    _SECONDS,
)
BYTES = Metric(
    "github_worker_transferred_bytes_total",
    "counter",
    "Bytes of sessions and of clones, as they were sent.",
    ("direction",),
)
TOKENS = Metric("github_worker_model_tokens_total", "counter", "The model's tokens.", ("direction",))
LENGTH = Metric("github_worker_queue_length", "gauge", "Callers that wait for their turn.")
ROOM = Metric("github_worker_queue_limit", "gauge", "Callers that may wait for their turn.")
BUSY = Metric("github_worker_workers_busy", "gauge", "Jobs at work.")
LIMIT = Metric("github_worker_workers_limit", "gauge", "Jobs that may work at once.")
OLDEST = Metric("github_worker_oldest_job_seconds", "gauge", "Seconds that the oldest job at work has taken.")
TIMEOUT = Metric("github_worker_job_timeout_seconds", "gauge", "Seconds that a job may take.")
BUILD = Metric("github_worker_build_info", "gauge", "What runs.", ("version", "commit"))
METRICS = (
    *(JOBS, REFUSED, DURATION, STAGE_DURATION, WAIT, BYTES, TOKENS),
    *(LENGTH, ROOM, BUSY, LIMIT, OLDEST, TIMEOUT, BUILD),
)

_OF_AMOUNTS: Mapping[Amount, tuple[Metric, str]] = {
    "bytes received": (BYTES, "received"),
    "bytes sent": (BYTES, "sent"),
    "tokens read": (TOKENS, "input"),
    "tokens written": (TOKENS, "output"),
}


class Tally:
    """Counts what a process has moved and used, and what it has refused; any thread may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def count(self, what: str, number: int = 1) -> None:
        """Add to what there is."""
        with self._lock:
            self._counts[what] += number

    def pop(self, what: str) -> int:
        """Take what has been counted, and begin again at none."""
        with self._lock:
            return self._counts.pop(what, 0)


# Of this process, which has one job at most; who counts is far below who knows of jobs.
tally = Tally()


def direction_of(stage: Stage) -> Literal["sent", "received"]:
    """Say which way a stage moves bytes."""
    return "sent" if stage == "uploading" else "received"


class Sample(Struct, array_like=True):
    """A value and its labels; a histogram's value is its sum, beside how many came into each bucket."""

    labels: tuple[str, ...]
    value: float = 0.0
    counts: list[int] = msgspec.field(default_factory=list)


Snapshot = dict[str, list[Sample]]


class Ledger:
    """Keeps all values, by metric and labels."""

    def __init__(self) -> None:
        self._samples: dict[Metric, dict[tuple[str, ...], Sample]] = {metric: {} for metric in METRICS}
        # What is not there before it first happens has no increase then, so no alert would see it.
        for metric, *labels in _list_known():
            self._find(metric, *labels)

    def add(self, metric: Metric, *labels: str, number: float = 1) -> None:
        """Let a counter rise."""
        self._find(metric, *labels).value += number

    def set(self, metric: Metric, *labels: str, value: float) -> None:
        """Let a gauge say something else."""
        self._find(metric, *labels).value = value

    def observe(self, metric: Metric, *labels: str, value: float) -> None:
        """Take a value into a histogram."""
        sample = self._find(metric, *labels)
        sample.value += value
        sample.counts[bisect_left(metric.bounds, value)] += 1

    def add_refusals(self, place: int, number: int) -> None:
        """Take in how many requests were refused with a code; raise ValueError where it is none."""
        self.add(REFUSED, _pick(REFUSALS, place), number=number)

    def encode(self) -> bytes:
        """Write all that there is."""
        return msgspec.msgpack.encode(
            {metric.name: list(samples.values()) for metric, samples in self._samples.items()}
        )

    def _find(self, metric: Metric, *labels: str) -> Sample:
        samples = self._samples[metric]
        if labels not in samples:
            buckets = len(metric.bounds) + 1 if metric.bounds else 0
            samples[labels] = Sample(labels, counts=[0] * buckets)
        return samples[labels]


class Account:
    """One job in the ledger; what its process tells is taken in once, and checked.

    `take` raises ValueError where a number stands for nothing, or tells something again.
    """

    def __init__(self, ledger: Ledger, operation: int) -> None:
        self._ledger = ledger
        self._operation = _pick(OPERATIONS, operation)
        self._arrived = time.monotonic()
        self._told: set[str] = set()
        self.began: float | None = None
        self.ended = False

    def begin(self) -> None:
        """Note that the job's turn has come."""
        self.began = time.monotonic()
        self._ledger.observe(WAIT, self._operation, value=self.began - self._arrived)

    def take(self, kind: Kind, numbers: tuple[int, int, int]) -> None:
        """Take in what the job's process measured, or what the job came to."""
        place, low, high = numbers
        if kind == Kind.CODE:
            self.end(_pick(CODES, place))
        elif kind == Kind.STAGE:
            stage = self._tell_once(_pick(STAGES, place))
            self._ledger.observe(STAGE_DURATION, self._operation, stage, value=low / 1000)
        else:
            amount = _pick(AMOUNTS, place)
            self._tell_once(amount)
            metric, direction = _OF_AMOUNTS[amount]
            self._ledger.add(metric, direction, number=low | high << _WORD)

    def end(self, code: str) -> None:
        """Note that the job has ended."""
        self._tell_once("the end")
        self.ended = True
        self._ledger.add(JOBS, self._operation, code)
        if self.began is not None:
            self._ledger.observe(DURATION, self._operation, code, value=time.monotonic() - self.began)

    def _tell_once(self, what: str) -> str:
        if what in self._told:
            raise ValueError(f"it tells {what} twice")
        self._told.add(what)
        return what


def list_amounts(moved: Mapping[Stage, int]) -> Iterator[tuple[int, int, int]]:
    """Take what this process has counted, and the bytes that stages moved, as the numbers of messages."""
    for stage, number in moved.items():
        tally.count(f"bytes {direction_of(stage)}", number)
    for place, amount in enumerate(AMOUNTS):
        if number := tally.pop(amount):
            yield place, number & (1 << _WORD) - 1, number >> _WORD


def list_refusals() -> Iterator[tuple[int, int]]:
    """Take what this process has refused, as the numbers of messages."""
    for place, code in enumerate(REFUSALS):
        if number := tally.pop(code):
            yield place, number


def decode(data: bytes) -> Snapshot:
    """Read what a ledger wrote."""
    return msgspec.msgpack.decode(data, type=Snapshot)


def _list_known() -> Iterator[tuple[Metric, *tuple[str, ...]]]:
    """Yield every counter that may rise, and the waits."""
    yield from ((JOBS, *labels) for labels in product(OPERATIONS, (*CODES, GIVEN_UP, KILLED)))
    yield from ((REFUSED, code) for code in REFUSALS)
    yield from _OF_AMOUNTS.values()
    yield from ((WAIT, operation) for operation in OPERATIONS)


def _pick(words: Sequence[Word], place: int) -> Word:
    if place >= len(words):
        raise ValueError(f"it says number {place} of {len(words)}")
    return words[place]
