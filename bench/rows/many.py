"""Many jobs on one port: what a supervisor and a process for each job cost."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import httpx

from bench import peers
from bench.lab import Lab
from bench.measure import Result, Samples, stopwatch
from bench.rows.health import percentile
from bench.service import PYTHON, Answer, Process, check
from tests.support.model import Model, Say

_WORKERS, _CALLERS, _JOBS = 5, 20, 200
_FURTHER = 10  # children that wait
_LONG = 8.0  # seconds of the job that they wait for
_TIMES = 15
_SECOND = 1.0
_IN_LINE = 50


def many(lab: Lab) -> Iterator[Result]:
    """Yield the rows of a service with `--workers`."""
    yield from _crowd(lab)
    yield _naming(lab)
    yield _health(lab)
    yield _first(lab)
    yield _memory(lab)


def _service(lab: Lab, workers: int, **env: str) -> Process:
    return Process([PYTHON, "-m", "github_worker", "serve", "--workers", str(workers)], lab.env | env)


def _crowd(lab: Lab) -> Iterator[Result]:
    jobs = _JOBS // 5 if lab.quick else _JOBS
    theirs = [_shell(lab, jobs)]
    with _service(lab, _WORKERS) as service:
        service.healthy()
        time.sleep(1)
        before, waits = service.cpu, list[float]()
        with stopwatch() as passed, _HealthProbe(service, waits), ThreadPoolExecutor(_CALLERS) as callers:
            answers = list(callers.map(lambda _: _clone(lab, service), range(jobs)))
            wall = passed()
        subprocess.run(["kill", f"-{signal.SIGTERM.value}", str(service.pid)], check=True)
        cpu = service.end() - before
    what = f"{jobs} small clones, --workers {_WORKERS}, {_CALLERS} callers"
    against = "git clone, tar c | gzip -1, curl -T, five at a time"
    for name, unit, ours, place in (("", "s", wall, 0), (", CPU", "CPU s", cpu, 1)):
        peer = Samples(tuple(each[place] for each in theirs))
        yield Result(
            what=what + name, against=against, unit=unit, ours=Samples((ours,)), theirs=peer, limit=1.3
        )
    gaps = Samples(tuple(_gaps(answers)))
    yield Result(what="end of a job to the next one's first stage, saturated", unit="ms", ours=gaps, limit=30)
    seconds = [answer.outcome for answer in answers]
    yield Result(
        what="submit to result, 95th percentile, saturated",
        against="its median",
        unit="s",
        ours=Samples((percentile(seconds, 0.95),)),
        theirs=Samples((Samples(tuple(seconds)).median,)),
        limit=1.5,
    )
    health = Samples((percentile(waits, 0.99) * 1000,))
    yield Result(what="/health meanwhile, 99th percentile", unit="ms", ours=health, limit=100)


def _shell(lab: Lab, jobs: int) -> tuple[float, float]:
    with stopwatch() as passed, ThreadPoolExecutor(_WORKERS) as pool:
        usages = list(pool.map(lambda _: peers.clone(lab, lab.small), range(jobs)))
        return passed(), sum(usage.cpu for usage in usages)


def _clone(lab: Lab, service: Process) -> Answer:
    answer = service.post("/clone-repository", lab.clone_body(lab.small))
    check(answer)
    return answer


class _HealthProbe:
    """Asks for `/health` again and again while the block runs."""

    def __init__(self, service: Process, answers: list[float]) -> None:
        self._service, self._answers = service, answers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.01):
            self._answers.append(self._service.get_health())


def _gaps(answers: list[Answer]) -> Iterator[float]:
    """Yield the milliseconds from the end of each job to the beginning of the one it made room for."""
    began, ended = list[float](), list[float]()
    for answer in answers:
        stages = [event for event in answer.events if event.get("stage") != "queued"]
        began.append(_moment(stages[0]["timestamp"]))
        ended.append(_moment(answer.events[-1]["timestamp"]))
    for begin, end in zip(sorted(began)[_WORKERS:], sorted(ended), strict=False):
        yield (begin - end) * 1000


def _moment(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def _naming(lab: Lab) -> Result:
    """Measure jobs that mostly wait for their model."""
    jobs = _JOBS // 5 if lab.quick else _JOBS
    with Model(Say.json(_SECOND, title="Dark Mode", slug="dark-mode")) as model, lab.rewound(lab.small):
        env = {"ANTHROPIC_BASE_URL": model.origin, "ANTHROPIC_API_KEY": "sk-ant-bench"}
        with _service(lab, _WORKERS, **env) as service, ThreadPoolExecutor(_CALLERS) as callers:
            service.healthy()
            time.sleep(1)
            with stopwatch() as passed:
                for answer in callers.map(lambda number: _init(lab, service, number), range(jobs)):
                    check(answer)
                wall = passed()
    return Result(
        what=f"{jobs} small init-sessions with a model's second, --workers {_WORKERS}, {_CALLERS} callers",
        against="five at a time, a second each",
        unit="s",
        ours=Samples((wall,)),
        theirs=Samples((jobs / _WORKERS * _SECOND,)),
        limit=1.1,
    )


def _init(lab: Lab, service: Process, number: int) -> Answer:
    body = {"sessionId": f"many-{number:08d}", "userRequest": "Dark mode"}
    return service.post("/init-session", lab.clone_body(lab.small) | body)


def _health(lab: Lab) -> Result:
    """Measure how soon /health answers until the first of the heavy jobs has ended."""
    waits = list[float]()
    with _service(lab, _WORKERS) as service, ThreadPoolExecutor(_WORKERS + _IN_LINE) as callers:
        service.warm()
        heavy = [
            callers.submit(service.post, "/clone-repository", lab.clone_body(lab.large))
            for _ in range(_WORKERS)
        ]
        _wait_for(service, busy=_WORKERS)
        in_line = [callers.submit(_clone, lab, service) for _ in range(_IN_LINE)]
        _wait_for(service, queued=_IN_LINE)
        with _HealthProbe(service, waits):
            wait(heavy, return_when=FIRST_COMPLETED)
        for job in (*heavy, *in_line):
            check(job.result())
    return Result(
        what=f"/health, {_WORKERS} clones of {lab.large.name} at work, {_IN_LINE} in line, 99th percentile",
        unit="ms",
        ours=Samples((percentile(waits, 0.99) * 1000,)),
        limit=100,
        note=f"(worst {max(waits) * 1000:.0f} ms of {len(waits)})",
    )


def _wait_for(service: Process, **counts: int) -> None:
    """Wait until so many jobs work or wait."""
    url = f"http://127.0.0.1:{service.port}/status"
    while not counts.items() <= httpx.get(url, trust_env=False).json()["workers"].items():
        time.sleep(0.01)


def _first(lab: Lab) -> Result:
    ours, theirs = list[float](), list[float]()
    with _service(lab, _WORKERS) as service:
        service.warm()
        for _ in range(_TIMES):
            with lab.worker() as worker:
                worker.warm()
                theirs.append(worker.post("/clone-repository", lab.clone_body(lab.small)).first * 1000)
                worker.end()
            ours.append(_clone(lab, service).first * 1000)
    return Result(
        what="POST to first event, --workers",
        against="one serve process, warm",
        unit="ms",
        ours=Samples(tuple(ours)),
        theirs=Samples(tuple(theirs)),
        limit=1.2,
    )


def _memory(lab: Lab) -> Result:
    with lab.worker() as worker:
        worker.warm()
        alone = worker.memory()["Pss"]
    body = {"sessionId": "wait-12345678", "repoUrl": lab.url(lab.small), "userRequest": "Dark mode"}
    with Model(Say.json(_LONG, title="Dark Mode", slug="dark-mode")) as model, lab.rewound(lab.small):
        env = {"ANTHROPIC_BASE_URL": model.origin, "ANTHROPIC_API_KEY": "sk-ant-bench"}
        with _service(lab, 1, **env) as service, ThreadPoolExecutor(1 + _FURTHER) as callers:
            service.healthy()
            callers.submit(service.post, "/init-session", lab.clone_body(lab.small) | body)
            time.sleep(2)
            before = _pss(service.pid)
            for _ in range(_FURTHER):
                callers.submit(_clone, lab, service)
            time.sleep(2)
            further = (_pss(service.pid) - before) / _FURTHER
    return Result(
        what="memory of each further child, idle in wait (PSS)",
        against="one serve process",
        unit="MB",
        ours=Samples((further,)),
        theirs=Samples((alone,)),
        limit=0.2,
    )


def _pss(supervisor: int) -> float:
    """Return the megabytes of a supervisor and its children."""
    total = 0.0
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for pid in [str(supervisor), *children]:
        with suppress(OSError):  # it has just ended
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
    return total
