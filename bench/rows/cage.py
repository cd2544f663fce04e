"""Clones within the memory and the processor of a small container, held to them by the kernel."""

from __future__ import annotations

from collections.abc import Iterator

from bench.cgroup import Cgroup, Unavailable
from bench.lab import Lab
from bench.measure import Result, Samples, Skipped
from bench.repositories import Shape
from bench.service import Process, check

_BYTES = 512 * 1024 * 1024
_PROCESSORS = 0.5
_PATIENCE = 900  # seconds: JOB_TIMEOUT's default


def cage(lab: Lab) -> Iterator[Result | Skipped]:
    """Yield a row for each clone in a cgroup."""
    for shape in (lab.large, lab.history):
        what = f"clone of {shape.name} ({lab.size(shape) / 1e6:.0f} MB) in 512 MB and half a CPU"
        try:
            yield _clone(lab, shape, what)
        except Unavailable as error:
            yield Skipped(what, str(error))


def _clone(lab: Lab, shape: Shape, what: str) -> Result:
    with Cgroup.made(_BYTES, _PROCESSORS) as cgroup, Process.worker(lab.env, cgroup.prefix) as worker:
        worker.warm()
        answer = worker.post("/clone-repository", lab.clone_body(shape))
        check(answer)
        worker.end()
        kills, peak = cgroup.kills, cgroup.peak
    return Result(
        what=what,
        unit="s",
        ours=Samples((answer.outcome,)),
        limit=_PATIENCE,
        failed=f"{kills} kills" if kills else "",
        note=f"completes, no swap, no kill; at most {peak / 1e6:.0f} MB that is no cache",
    )
