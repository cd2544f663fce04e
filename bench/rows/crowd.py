"""Many small jobs through few workers that start again after each."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from bench.lab import Lab
from bench.measure import Result, Samples
from bench.service import PYTHON
from bench.stand_ins import TOKEN
from github_worker_client import GitHubWorker, InitSession, Secret
from tests.support.balancer import Balancer
from tests.support.model import Model, Say
from tests.support.worker import RestartLoop, log_lines

_WORKERS, _CALLERS, _JOBS = 5, 20, 200
_SECOND = 1.0
_LOAD, _SEED = 1.2, 2026


def crowd(lab: Lab) -> Iterator[Result]:
    """Yield the rows of a crowd of callers: without a model, with one that takes its usual second, and how
    evenly callers wait where more come than can be served.
    """
    jobs = _JOBS // 5 if lab.quick else _JOBS
    yield _row(lab, jobs, "clones", lab.env)
    with Model(Say.json(_SECOND, title="Dark Mode Toggle", slug="dark-mode-toggle")) as model:
        env = lab.env | {"ANTHROPIC_BASE_URL": model.origin, "ANTHROPIC_API_KEY": "sk-ant-bench"}
        with lab.rewound(lab.small):
            row = _row(lab, jobs, "init-sessions with a model's second", env)
            yield row
        with lab.rewound(lab.small):
            yield _queue_row(lab, jobs, jobs / row.ours.median * _LOAD, env)


@contextmanager
def _workers(env: dict[str, str], logs: Path) -> Iterator[list[int]]:
    """Start the workers, and yield their ports."""
    logs.mkdir(parents=True)
    with ExitStack() as stack:
        workers = [stack.enter_context(RestartLoop(env, logs, python=PYTHON)) for _ in range(_WORKERS)]
        for worker in workers:
            worker.wait_until_healthy()
        yield [worker.port for worker in workers]


def _queue_row(lab: Lab, jobs: int, rate: float, env: dict[str, str]) -> Result:
    """Let `rate` callers come each second, whoever is still waiting, and see how long each one waits."""
    with _workers(env, lab.folder / "logs" / "queue") as ports:
        waits = asyncio.run(_queue(lab, jobs, rate, ports))
    waits.sort()
    lost = jobs - len(waits)
    return Result(
        what=f"wait for a worker at {_LOAD:.0%} load, 95th percentile",
        against="the median",
        unit="s",
        ours=Samples((waits[len(waits) * 95 // 100],)),
        theirs=Samples((waits[len(waits) // 2],)),
        limit=3.0,
        failed=f"{lost} lost" if lost else "",
    )


async def _queue(lab: Lab, jobs: int, rate: float, ports: Sequence[int]) -> list[float]:
    """Return the seconds from each call to its first event."""
    chance = random.Random(_SEED)

    async def call(worker: GitHubWorker, number: int) -> float:
        request = InitSession(
            session_id=f"crowd-queue-{number:08d}",
            repo_url=lab.url(lab.small),
            access_token=Secret(TOKEN),
            user_request="Add a dark mode toggle",
        )
        began = time.perf_counter()
        events = worker.stream(request)
        await anext(events)
        wait = time.perf_counter() - began
        async for _ in events:
            pass
        return wait

    async with Balancer(*ports) as balancer, GitHubWorker(balancer.base_url) as worker:
        calls = []
        for number in range(jobs):
            calls.append(asyncio.create_task(call(worker, number)))
            await asyncio.sleep(chance.expovariate(rate))
        waits = await asyncio.gather(*calls, return_exceptions=True)
        return [wait for wait in waits if not isinstance(wait, BaseException)]


def _row(lab: Lab, jobs: int, kind: str, env: dict[str, str]) -> Result:
    logs = lab.folder / "logs" / kind.partition(" ")[0]
    with _workers(env, logs) as ports:
        wall, done = asyncio.run(_run(lab, jobs, kind, ports))
        own = [seconds for log in logs.iterdir() for seconds in _own(log)]
    lost = jobs - done
    return Result(
        what=f"{jobs} small {kind}, {_WORKERS} restarting workers, {_CALLERS} callers",
        against=f"the jobs' own times, from admission to outcome, over {_WORKERS}",
        unit="s",
        ours=Samples((wall,)),
        theirs=Samples((sum(own) / _WORKERS,)),
        limit=1.5,
        failed=f"{lost} lost" if lost else "",
        note="none lost" if not lost else "",
    )


async def _run(lab: Lab, jobs: int, kind: str, ports: Sequence[int]) -> tuple[float, int]:
    """Do the jobs; return the seconds that it took, and how many succeeded."""
    waiting = iter(range(jobs))
    done = 0

    async def call(worker: GitHubWorker) -> None:
        nonlocal done
        for number in waiting:
            session = {
                "session_id": f"crowd-{kind[:5]}-{number:08d}",
                "repo_url": lab.url(lab.small),
                "access_token": TOKEN,
            }
            if kind == "clones":
                await worker.clone_repository(**session)
            else:
                await worker.init_session(user_request="Add a dark mode toggle", **session)
            done += 1

    async with Balancer(*ports) as balancer, GitHubWorker(balancer.base_url) as worker:
        began = time.perf_counter()
        await asyncio.gather(*(call(worker) for _ in range(_CALLERS)), return_exceptions=True)
        return time.perf_counter() - began, done


def _own(log: Path) -> Iterator[float]:
    """Yield the seconds of the job that a worker logged."""
    moments = {line.get("message"): line.get("timestamp") for line in log_lines(log)}
    if "job admitted" in moments and "job ended" in moments:
        admitted, ended = (datetime.fromisoformat(moments[name]) for name in ("job admitted", "job ended"))
        yield (ended - admitted).total_seconds()
