"""What a process of its own costs: its start, its memory, its first event, its end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

from msgspec import Struct

from bench.lab import Lab
from bench.measure import Result, Samples, Skipped
from bench.service import PYTHON, Process, check

_TIMES = 2  # as often as the other rows: each of these takes a second


class _Life(Struct, frozen=True):
    start: float
    rss: float
    pss: float
    first: float
    end: float


class _Bare(Struct, frozen=True):
    start: float
    answer: float


def life(lab: Lab) -> Iterator[Result | Skipped]:
    """Yield the rows of a worker's life."""
    _worker(lab)  # writes the bytecode that an image has
    _bare()
    lives = [(_worker(lab), _bare()) for _ in range(lab.repeat * _TIMES)]
    ours, bare = [life for life, _ in lives], [bare for _, bare in lives]
    start = _ms(life.start for life in ours)
    yield Result(
        what="start of process to first 200 on /health",
        against="bare Starlette + uvicorn",
        unit="ms",
        ours=start,
        theirs=_ms(one.start for one in bare),
        limit=1.15,
    )
    yield _sandbox(lab, len(lives))
    yield Result(
        what="last byte of the stream to process gone",
        against="one start of the same process",
        unit="ms",
        ours=_ms(life.end for life in ours),
        theirs=start,
        limit=0.25,
    )
    rss = Samples(tuple(life.rss for life in ours))
    yield Result(
        what="idle memory after everything is warm (RSS)",
        unit="MB",
        ours=rss,
        limit=110,
        note=f"PSS {Samples(tuple(life.pss for life in ours)).median:.0f} MB",
    )
    yield Result(
        what="POST to first event",
        against="a JSON answer of the bare app",
        unit="ms",
        ours=_ms(life.first for life in ours),
        theirs=_ms(one.answer for one in bare),
        limit=2,
    )


def _worker(lab: Lab) -> _Life:
    with lab.worker() as worker:
        start = worker.healthy()
        worker.warm()
        memory = worker.memory()
        answer = worker.post("/clone-repository", lab.clone_body(lab.small))
        check(answer)
        worker.end()
        return _Life(start, memory["Rss"], memory["Pss"], answer.first, time.perf_counter() - answer.ended_at)


def _sandbox(lab: Lab, repeat: int) -> Result | Skipped:
    """Return what of a start is the sandbox, in CPU time: by the clock it drowns in a start's noise."""
    what = "confining the process, of its start"
    try:
        parts = [_confine(lab) for _ in range(repeat)]
    except subprocess.CalledProcessError as error:
        return Skipped(what, error.stderr.strip())
    imports = _ms(imported for imported, _ in parts)
    return Result(
        what=what,
        unit="ms",
        ours=_ms(confined for _, confined in parts),
        limit=2,
        note=f"CPU; importing ctypes, which a worker needs in any case, {imports.median:.1f} ms",
    )


def _confine(lab: Lab) -> tuple[float, float]:
    env = {"PATH": os.environ["PATH"], **lab.env}
    command = [PYTHON, "-m", "bench.confinement"]
    printed = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    imported, confined = map(float, printed.split())
    return imported, confined


def _bare() -> _Bare:
    with Process.bare() as bare:
        start = bare.healthy()
        bare.warm()
        return _Bare(start, bare.post("/health", {"sessionId": "bench"}).first)


def _ms(seconds: Iterator[float]) -> Samples:
    return Samples(tuple(value * 1000 for value in seconds))
