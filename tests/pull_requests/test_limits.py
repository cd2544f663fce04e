"""The wait that GitHub asks for, by its headers."""

from __future__ import annotations

import json

import pytest

from github_worker.github.errors import read_limit_pause
from github_worker.github.responses import ApiResponse

NOW = 1_700_000_000.25
SPENT = {"x-ratelimit-remaining": "0"}


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (403, {"retry-after": "7"}, 7.0),
        (429, {"retry-after": "0"}, 1.0),
        (403, {"retry-after": "9" * 5000}, 31_536_000.0),
        (403, {**SPENT, "x-ratelimit-reset": "9" * 30}, 31_536_000.0),
        (403, {**SPENT, "x-ratelimit-reset": "9" * 5000}, 31_536_000.0),
        (403, {"retry-after": "7", **SPENT, "x-ratelimit-reset": "1700000100"}, 7.0),
        (403, {**SPENT, "x-ratelimit-reset": "1700000100"}, 100.75),
        (403, {**SPENT, "x-ratelimit-reset": "1699999999"}, 1.0),
        (403, {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1700000100"}, None),
        (403, SPENT, None),
        (429, {}, 60.0),
        (429, {"retry-after": "soon"}, 60.0),
        (403, {}, None),
        (200, {"retry-after": "7"}, None),
        (404, {**SPENT, "x-ratelimit-reset": "1700000100"}, None),
    ],
)
def test_a_limit_says_when_it_is_over(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After comes first, then the reset and its second, then a minute; the rest is no limit."""
    assert read_limit_pause(ApiResponse(status, headers, b"{}"), NOW) == seconds


def test_a_limit_that_is_told_in_words_is_one() -> None:
    """A secondary limit may come without a header."""
    said = json.dumps({"message": "You have exceeded a secondary rate limit"}).encode()
    assert read_limit_pause(ApiResponse(403, {}, said), NOW) == 60.0
