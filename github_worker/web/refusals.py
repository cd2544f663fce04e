"""Takes note of what is refused: all of it is counted, and some of it is logged."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable

from github_worker.errors import InvalidRequest, Refusal, Unauthorized
from github_worker.measurements import tally

logger = logging.getLogger(__name__)

_BURST = 5  # lines of one code, one after the other
_PAUSE = 10.0  # seconds, after which there may be one more
_LONGEST_PATH = 100  # characters
_FIELD = re.compile(r"`([^`]{1,64})`")


class Refusals:
    """Counts refusals by code, and logs of each code a few at once, then one every ten seconds at most.

    A line says how many of its code were not logged since the last one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts: Counter[str] = Counter()
        self._clock = clock
        self._unlogged: Counter[str] = Counter()
        self._full_at: dict[str, float] = {}

    def note(self, refusal: Refusal, endpoint: str, address: str) -> None:
        """Take note that `address` was refused at an endpoint."""
        self.count(refusal.code)
        if not self._may_log(refusal.code):
            self._unlogged[refusal.code] += 1
            return
        fields = {
            "code": refusal.code,
            "status": refusal.status,
            "endpoint": endpoint[:_LONGEST_PATH],
            "address": address,
            "field": _find_field(refusal),
            "unlogged": self._unlogged.pop(refusal.code, None),
        }
        level = logging.WARNING if isinstance(refusal, Unauthorized) else logging.INFO
        logger.log(level, "refused", extra={"fields": fields})

    def count(self, code: str) -> None:
        """Count what is in the log already."""
        self._counts[code] += 1
        tally.count(code)

    def take(self) -> dict[str, int]:
        """Return the counts, and begin to count anew."""
        counts, self._counts = dict(self._counts), Counter()
        return counts

    def _may_log(self, code: str) -> bool:
        """Take a line of a code's allowance, which is full again at a time that each line puts off."""
        now = self._clock()
        full_at = max(self._full_at.get(code, now), now) + _PAUSE
        if full_at - now > _BURST * _PAUSE:
            return False
        self._full_at[code] = full_at
        return True


def _find_field(refusal: Refusal) -> str | None:
    """Return the field that a refusal names; its value and the rest of what is said may be the caller's."""
    match = _FIELD.search(str(refusal)) if isinstance(refusal, InvalidRequest) else None
    return match[1] if match else None
