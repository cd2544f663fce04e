"""How long GitHub asks to wait.

Source: docs.github.com, "Rate limits for the REST API", "Exceeding the rate limit".
"""

from __future__ import annotations

from github_worker.github.answers import Answer
from github_worker.github.refusals import sentence

_UNSAID = 60.0  # seconds: "wait for at least one minute"
_LEAST = 1.0  # seconds: all of GitHub's times are in whole ones


def pause(answer: Answer, now: float) -> float | None:
    """Return the seconds to wait before asking again, or None where `answer` is about no limit.

    `now` is in seconds since the epoch.
    """
    if answer.status not in {403, 429}:
        return None
    retry_after = answer.headers.get("retry-after", "")
    if retry_after.isdecimal():
        return max(float(retry_after), _LEAST)
    reset = answer.headers.get("x-ratelimit-reset", "")
    if answer.headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(float(reset) - now, 0.0) + _LEAST
    if answer.status == 429 or "rate limit" in sentence(answer):
        return _UNSAID
    return None
