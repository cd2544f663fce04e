"""How soon /health answers while git works."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from bench.lab import Lab
from bench.measure import Result, Samples
from bench.service import Process, check
from bench.stand_ins import TOKEN

_PAUSE = 0.005  # seconds between two questions
_IDLE = 300  # questions


def health(lab: Lab) -> Iterator[Result]:
    """Yield the rows of /health beside the heaviest clone and commit."""
    jobs: dict[str, tuple[str, dict[str, Any]]] = {
        "cloning": ("/clone-repository", lab.clone_body(lab.large)),
        "committing": ("/commit-and-push", {"sessionId": lab.session(lab.large), "accessToken": TOKEN}),
    }
    for doing, (path, body) in jobs.items():
        with lab.rewound(lab.large), lab.worker() as worker:
            worker.warm()
            idle = [worker.get_health() for _ in range(_IDLE)]
            busy = _beside(worker, path, body)
        idle_ms, busy_ms = (percentile(answers, 0.99) * 1000 for answers in (idle, busy))
        yield Result(
            what=f"/health while {doing} {lab.large.name}, 99th percentile",
            unit="ms",
            ours=Samples((busy_ms,)),
            limit=250,
            note=f"(idle {idle_ms:.1f} ms; worst {max(busy) * 1000:.0f} ms of {len(busy)})",
        )


def _beside(worker: Process, path: str, body: dict[str, Any]) -> list[float]:
    answers: list[float] = []
    over = threading.Event()

    def ask() -> None:
        with suppress(ConnectionError):  # the worker is about to end
            while not over.is_set():
                answers.append(worker.get_health())
                time.sleep(_PAUSE)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        check(worker.post(path, body))
    finally:
        over.set()
        thread.join()
    return answers


def percentile(seconds: list[float], share: float) -> float:
    """Return what so large a share of them is not above."""
    return sorted(seconds)[math.ceil(share * len(seconds)) - 1]
