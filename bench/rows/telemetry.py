"""What traces and metrics cost a process that sends them, beside one that does not."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.lab import Lab
from bench.measure import Result, Samples
from bench.service import check
from tests.support.collector import Collector


def telemetry(lab: Lab) -> Iterator[Result]:
    """Yield the rows: a start, a small job, and the end that comes after it."""
    with Collector() as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin}
        _life(lab, told)  # writes the bytecode that an image has
        pairs = [(_life(lab, told), _life(lab, {})) for _ in range(lab.repeat * 2)]
    whats = (
        "start of process to first 200 on /health, telling a collector",
        "small clone, telling a collector",
        "last byte of the stream to process gone, telling a collector",
    )
    for number, (what, limit) in enumerate(zip(whats, (1.15, 1.15, None), strict=True)):
        yield Result(
            what=what,
            against="without a collector",
            unit="ms",
            ours=Samples(tuple(ours[number] * 1000 for ours, _ in pairs)),
            theirs=Samples(tuple(theirs[number] * 1000 for _, theirs in pairs)),
            limit=limit,
        )


def _life(lab: Lab, env: dict[str, str]) -> tuple[float, float, float]:
    """Return the seconds of a worker's start, of its job, and of its end after that."""
    with lab.worker(**env) as worker:
        start = worker.healthy()
        worker.warm()
        began = time.perf_counter()
        answer = worker.post("/clone-repository", lab.clone_body(lab.small))
        check(answer)
        worker.end()
        return start, answer.ended_at - began, time.perf_counter() - answer.ended_at
