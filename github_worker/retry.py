"""Trying again what failed for a moment: how often, and after which pauses."""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct

Value = TypeVar("Value")

_MOST_DOUBLINGS = 62
jitter = random.SystemRandom().random  # from 0 to 1


class Backoff(Struct, frozen=True, kw_only=True):
    """Pauses in seconds: none for `at_once` failures, then from `first` on each twice the last, to `longest`.

    `tries` are all of them, the first one too. In a queue nobody is served in turn: who waits there is the
    likelier to be served the more often it asks, so `longest` halves with every `half_life` that it has
    waited, down to `first`.
    """

    first: float
    longest: float
    at_once: int = 0
    tries: int = sys.maxsize
    half_life: float = math.inf

    def pause(
        self, failures: int, jitter: float = 1.0, retry_after: float | None = None, *, waited: float = 0.0
    ) -> float:
        """Return the seconds to wait after so many failures in a row, and `waited` seconds.

        `jitter` (0 to 1) spreads callers over the upper half of the pause, so that they do not come back in
        step; what a server said in its `retry_after` is the most to wait.
        """
        doublings = failures - self.at_once - 1
        if doublings < 0:
            return 0.0
        doubled = math.ldexp(self.first, min(doublings, _MOST_DOUBLINGS))
        longest = max(self.first, self.longest * math.exp2(-waited / self.half_life))
        return min(doubled, longest, math.inf if retry_after is None else retry_after) * (1 + jitter) / 2


BACKOFF = Backoff(first=0.5, longest=2.0, tries=4)


def retry(step: Callable[[], Value], transient: type[Exception], backoff: Backoff = BACKOFF) -> Value:
    """Take a blocking step, and take it again, as often as `backoff` says, where it raises `transient`."""
    for failures in range(1, backoff.tries):
        with suppress(transient):
            return step()
        time.sleep(backoff.pause(failures, jitter()))
    return step()
