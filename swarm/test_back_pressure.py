"""How callers find an idle worker: by the ingress, or by the addresses of `tasks.<service>`.

Both are measured at once, so that what else the machine does is the same for both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from swarm.conftest import INGRESS
from swarm.figures import Figures, spread
from swarm.load import Call, answers
from swarm.stack import NAME, Stack
from tests.support.faults import Delay
from tests.support.git_server import GitServer

_SECONDS = 30.0
_PAUSE = 2.0  # seconds that the remote takes for a job: a worker that waits costs the machine nothing
_ROUTES = {"ingress": (INGRESS, "host"), "tasks DNS": ("http://tasks.worker:5002", f"{NAME}_default")}


@pytest.fixture(scope="module")
def capacity(
    stack: Stack, git_server: GitServer, call: Callable[..., list[Call]], figures: Figures
) -> Iterator[float]:
    """Return how many jobs a second five workers do whose jobs take two seconds longer than they need."""
    git_server.faults.add(Delay(_PAUSE), "POST /owner/small.git/git-upload-pack", times=sys.maxsize)
    calls = call(INGRESS, "--name", "capacity", "--jobs", "50", "--callers", "10")
    capacity = len(calls) / (max(each.ended for each in calls) - min(each.submitted for each in calls))
    figures.add("capacity with jobs of two seconds more", f"{60 * capacity:.0f} jobs a minute")
    yield capacity
    git_server.faults.clear()


@pytest.mark.parametrize("percent", [50, 90, 120])
def test_every_job_finds_a_worker(
    stack: Stack, capacity: float, call: Callable[..., list[Call]], figures: Figures, percent: int
) -> None:
    """All complete, also when more come than the workers can do; half of them come each way."""
    rate = capacity * percent / 100 / len(_ROUTES)
    load = ("--jobs", str(round(rate * _SECONDS)), "--rate", f"{rate:.3f}")
    stack.wait_until_ready()
    with ThreadPoolExecutor() as aside:
        calling = {
            route: aside.submit(call, url, "--name", f"{network}-{percent}", *load, network=network)
            for route, (url, network) in _ROUTES.items()
        }
    for route, load_of_route in calling.items():
        calls = load_of_route.result()
        assert {each.error for each in calls} == {None}
        figures.add(f"{percent} % of capacity, by {route}", _described(calls))


def _described(calls: list[Call]) -> str:
    met, jobs = answers(calls), len(calls)
    refused = f"{met['429'] / jobs:.2f} busy and {met['unreachable'] / jobs:.2f} unreachable a job"
    return f"{refused}, submit to result {spread([each.seconds for each in calls])} ({jobs} jobs)"
