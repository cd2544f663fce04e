"""Services whose jobs are scripted, many of them on one port, and what their processes are."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.life.conftest import job, scripted
from tests.support.worker import Worker

Start = Callable[..., Worker]
Events = Iterator[dict[str, Any]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts a service with so many workers; the rest is its environment."""
    with ExitStack() as services:

        def start_one(workers: int, limits: dict[str, float] | None = None, **env: str) -> Worker:
            env = {"WORKERS": str(workers), **env}
            return services.enter_context(scripted(tmp_path / "worker.log", limits or {}, env))

        yield start_one


@contextmanager
def calling(service: Worker, *steps: tuple[str, Any]) -> Iterator[Events]:
    """Start a job, and yield the events of its stream as they come."""
    url = f"{service.base_url}/commit-and-push"
    with httpx.stream("POST", url, json=job(*steps), trust_env=False, timeout=15) as answer:
        assert answer.status_code == 200, answer.read()
        yield (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))


def offer(service: Worker) -> int:
    """Return the status that a job is answered with, and leave: one in line gives its place up."""
    url = f"{service.base_url}/commit-and-push"
    with httpx.stream("POST", url, json=job(), trust_env=False, timeout=15) as answer:
        return answer.status_code


def until(events: Events, stage: str) -> dict[str, Any]:
    """Read events up to the beginning of a stage, or an outcome, and return that."""
    return next(event for event in events if stage in {event.get("stage"), event.get("code"), event["type"]})


def status(service: Worker) -> dict[str, Any]:
    """Return what the service says of its jobs."""
    answer: dict[str, Any] = httpx.get(f"{service.base_url}/status", trust_env=False).json()
    return answer


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that live."""
    lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in lines.stdout.splitlines())
    return [int(child) for child, parent, state in rows if int(parent) == pid and state[0] != "Z"]


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never did"
        time.sleep(0.01)
