"""Whether the second that a model takes is hidden behind a download or a clone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bench.lab import Lab
from bench.measure import Result, Samples, Usage
from bench.rows.jobs import branch_body
from tests.support.model import Model, Say

_SECOND = 1.0
_NAME = {"title": "Dark mode toggle", "branch": "dark-mode-toggle"}


def model(lab: Lab) -> Iterator[Result]:
    """Yield the rows of init-session and create-branch with a model that takes its time."""
    bodies: dict[str, Callable[[], dict[str, Any]]] = {
        "init-session": lambda: lab.clone_body(lab.large) | {"userRequest": "Add a dark mode toggle"},
        "create-branch": lambda: branch_body(lab, lab.large),
    }
    with Model() as stand_in:
        for operation, body in bodies.items():
            slow, fast = (partial(_job, lab, stand_in, operation, body, delay) for delay in (_SECOND, 0.0))
            pairs = lab.interleaved(lab.heavy_repeat, slow, fast)
            yield Result(
                what=f"{operation}, {lab.large.name}, the model answering after {_SECOND:g} s",
                against="the model answering at once",
                unit="s",
                ours=Samples(tuple(pair[0].wall for pair in pairs)),
                theirs=Samples(tuple(pair[1].wall for pair in pairs)),
                limit=1.1,
            )


def _job(
    lab: Lab, stand_in: Model, operation: str, body: Callable[[], dict[str, Any]], delay: float
) -> Usage:
    stand_in.script(Say.json(delay, **_NAME))
    stand_in.requests.clear()
    with lab.rewound(lab.large):
        usage = lab.job(
            f"/{operation}", body(), ANTHROPIC_BASE_URL=stand_in.origin, ANTHROPIC_API_KEY="sk-ant-bench"
        )
    if not stand_in.requests:
        raise RuntimeError("the model was not asked")
    return usage
