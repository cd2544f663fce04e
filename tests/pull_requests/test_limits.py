"""The wait that GitHub asks for, by its headers."""

from __future__ import annotations

import json

import pytest

from github_worker.forge.requests import ApiResponse
from github_worker.github.errors import read_limit_pause

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


_DOCS = "https://docs.github.com/rest/overview"


@pytest.mark.parametrize(
    ("status", "message", "documentation"),
    [
        (403, "You have exceeded a secondary rate limit", ""),
        (403, "API rate limit exceeded for user ID 1.", ""),
        (403, "api RATE LIMIT exceeded for 1.2.3.4", ""),
        (403, "You have triggered an abuse detection mechanism. Please retry your request again later.", ""),
        (403, "You have been blocked from content creation. Please retry your request again later.", ""),
        (403, "Slow down. Please wait a few minutes before you try again.", ""),
        (403, "Forbidden", f"{_DOCS}/resources-in-the-rest-api#abuse-rate-limits"),
        (403, "Forbidden", f"{_DOCS}/rate-limits-for-the-rest-api#about-secondary-rate-limits"),
        (422, "Validation Failed: was submitted too quickly", ""),
    ],
)
@pytest.mark.parametrize("retry_after", [None, ""])
def test_a_limit_that_is_told_in_words_is_one(
    status: int, message: str, documentation: str, retry_after: str | None
) -> None:
    """A secondary limit may come without a header, or an empty one; these are what GitHub's clients know."""
    said = json.dumps({"message": message, "documentation_url": documentation}).encode()
    headers = {} if retry_after is None else {"retry-after": retry_after}
    assert read_limit_pause(ApiResponse(status, headers, said), NOW) == 60.0


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "Resource not accessible by integration"),
        (403, "Must have admin rights to Repository."),
        (422, "Validation Failed"),
        (404, "Not Found"),
    ],
)
def test_a_refusal_that_is_no_limit_is_not_waited_for(status: int, message: str) -> None:
    """To ask again would not help."""
    said = json.dumps({"message": message}).encode()
    assert read_limit_pause(ApiResponse(status, {**SPENT}, said), NOW) is None
