"""Trying again what failed for a moment: how often, and after which pauses."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

TRIES = 4
_FIRST_PAUSE = 0.5  # seconds
Value = TypeVar("Value")


def pause(failures: int) -> float:
    """Return the seconds to wait after so many failures, spread so that replicas do not retry in step."""
    return _FIRST_PAUSE * 2.0 ** (failures - 1) * random.uniform(0.5, 1)  # noqa: S311 (no secret)


def retried(step: Callable[[], Value], transient: type[Exception]) -> Value:
    """Take a blocking step, and take it again, three times at most, where it raises `transient`."""
    for failures in range(1, TRIES):
        with suppress(transient):
            return step()
        time.sleep(pause(failures))
    return step()
