"""One container that does as many jobs at once as the stack has replicas, and its figures beside theirs."""

from __future__ import annotations

from collections.abc import Callable

from swarm.conftest import Hundred
from swarm.engine import ADDRESS, Engine
from swarm.figures import Figures, spread
from swarm.load import Call, answers
from swarm.stack import MANY, REPLICAS, Stack

_PORT = 5004


def test_a_hundred_jobs_in_one_container(
    swarm: Engine,
    image: str,
    settings: dict[str, str],
    hundred: Hundred,
    call: Callable[..., list[Call]],
    figures: Figures,
) -> None:
    """All complete, no caller is refused, and the container is the same at the end."""
    wanted = settings | {"WORKERS": str(REPLICAS), "PUBLISHED_PORT": str(_PORT)}
    many = Stack([swarm], wanted, name="many", more=[MANY], replicas=1)
    many.deploy(image)
    try:
        many.wait_until_ready()
        (container,) = many.pids()
        idle = many.memory(container)
        calls = call(f"http://{ADDRESS}:{_PORT}", "--name", "many", "--jobs", "100", "--callers", "10")
        assert list(many.pids()) == [container]
    finally:
        many.remove()

    assert [each.error for each in calls] == [None] * 100
    assert answers(calls) == {"200": 100}
    name = f"--workers {REPLICAS}"
    figures.add(f"100 jobs, 10 callers, {name}", spread([each.seconds for each in calls]))
    figures.add(f"jobs a minute, {name}", f"{_a_minute(calls):.0f}, beside {_a_minute(hundred.calls):.0f}")
    figures.add(f"memory of the container, {name}", f"{idle >> 20} MiB with no job")


def _a_minute(calls: list[Call]) -> float:
    return 60 * len(calls) / (max(each.ended for each in calls) - min(each.submitted for each in calls))
