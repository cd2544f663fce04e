"""How long to wait before the next try. Pure: the caller brings the count, the jitter and the hint."""

from __future__ import annotations

import math

from msgspec import Struct

_MOST_DOUBLINGS = 62


class Backoff(Struct, frozen=True, kw_only=True):
    """No wait for `at_once` failures, then waits that double from `first` to `longest` seconds."""

    at_once: int = 0
    first: float
    longest: float

    def wait(self, failures: int, jitter: float, hint: float | None = None) -> float:
        """Return the seconds to wait after `failures` in a row.

        `jitter` (0 to 1) spreads callers over the upper half of the wait; `hint` caps it.
        """
        doublings = failures - self.at_once - 1
        if doublings < 0:
            return 0.0
        doubled = math.ldexp(self.first, min(doublings, _MOST_DOUBLINGS))
        ceiling = min(doubled, self.longest, math.inf if hint is None else hint)
        return ceiling * (1 + jitter) / 2
