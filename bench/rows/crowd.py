"""Many small jobs through few workers that start again after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from bench.lab import Lab
from bench.measure import Result, Samples
from bench.service import PYTHON
from bench.stand_ins import TOKEN
from github_worker.contract import CloneRepository, Completed, InitSession, Request
from github_worker.redaction import Secret
from github_worker_client import GitHubWorker
from tests.support.balancer import Balancer
from tests.support.model import Model, Say
from tests.support.worker import RestartLoop, log_lines

_WORKERS, _CALLERS, _JOBS = 5, 20, 200
_SECOND = 1.0


def crowd(lab: Lab) -> Iterator[Result]:
    """Yield the rows of a crowd of callers: without a model, and with one that takes its usual second."""
    jobs = _JOBS // 5 if lab.quick else _JOBS
    yield from _rows(lab, jobs, "clones", lab.env)
    with Model(Say.json(_SECOND, title="Dark Mode Toggle", slug="dark-mode-toggle")) as model:
        env = lab.env | {"ANTHROPIC_BASE_URL": model.origin, "ANTHROPIC_API_KEY": "sk-ant-bench"}
        with lab.rewound(lab.small):
            yield from _rows(lab, jobs, "init-sessions with a model's second", env)


def _rows(lab: Lab, jobs: int, kind: str, env: dict[str, str]) -> Iterator[Result]:
    logs = lab.folder / "logs" / kind.partition(" ")[0]
    logs.mkdir(parents=True)
    with ExitStack() as stack:
        workers = [stack.enter_context(RestartLoop(env, logs, python=PYTHON)) for _ in range(_WORKERS)]
        for worker in workers:
            worker.wait_until_healthy()
        wall, waits = asyncio.run(_run(lab, jobs, kind, [worker.port for worker in workers]))
        own = [seconds for log in logs.iterdir() for seconds in _own(log)]
    lost = jobs - len(waits)
    yield Result(
        what=f"{jobs} small {kind}, {_WORKERS} restarting workers, {_CALLERS} callers",
        against=f"the jobs' own times, from admission to outcome, over {_WORKERS}",
        unit="s",
        ours=Samples((wall,)),
        theirs=Samples((sum(own) / _WORKERS,)),
        limit=1.5,
        failed=f"{lost} lost" if lost else "",
        note="none lost" if not lost else "",
    )
    yield Result(
        what=f"wait for a worker among the callers of {kind}, 95th percentile",
        against="the median",
        unit="s",
        ours=Samples((waits[len(waits) * 95 // 100],)),
        theirs=Samples((waits[len(waits) // 2],)),
        limit=3.0,
    )


async def _run(lab: Lab, jobs: int, kind: str, ports: Sequence[int]) -> tuple[float, list[float]]:
    """Do the jobs; return the seconds that it took, and those to the first event of each that succeeded."""
    waiting = iter(range(jobs))
    waits: list[float] = []

    async def call(worker: GitHubWorker) -> None:
        for number in waiting:
            called = time.perf_counter()
            stream = worker.stream(_request(lab, kind, number))
            events = [(time.perf_counter() - called, event) async for event in stream]
            if isinstance(events[-1][1], Completed):
                waits.append(events[0][0])

    async with Balancer(*ports) as balancer, GitHubWorker(balancer.base_url) as worker:
        began = time.perf_counter()
        await asyncio.gather(*(call(worker) for _ in range(_CALLERS)), return_exceptions=True)
        return time.perf_counter() - began, sorted(waits)


def _request(lab: Lab, kind: str, number: int) -> Request:
    session_id, url, token = f"crowd-{kind[:5]}-{number:08d}", lab.url(lab.small), Secret(TOKEN)
    if kind == "clones":
        return CloneRepository(session_id=session_id, repo_url=url, access_token=token)
    return InitSession(
        session_id=session_id, repo_url=url, access_token=token, user_request="Add a dark mode toggle"
    )


def _own(log: Path) -> Iterator[float]:
    """Yield the seconds of the job that a worker logged."""
    moments = {line.get("message"): line.get("timestamp") for line in log_lines(log)}
    if "job admitted" in moments and "job ended" in moments:
        admitted, ended = (datetime.fromisoformat(moments[name]) for name in ("job admitted", "job ended"))
        yield (ended - admitted).total_seconds()
