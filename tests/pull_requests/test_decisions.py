"""Decisions that need no request to GitHub: limits, refusals, checks."""

from __future__ import annotations

import pytest

from github_worker.errors import BranchNotFound, JobError, NoCommits, PermissionDenied, PullRequestExists
from github_worker.github import checks
from github_worker.github.checks import Check
from github_worker.github.errors import read_limit_pause, read_sentence, translate_refusal
from github_worker.github.responses import ApiResponse

_NOW = 1_000.0


@pytest.mark.parametrize(
    ("status", "headers", "message", "seconds"),
    [
        (429, {"retry-after": "7"}, "", 7),
        (403, {"retry-after": "7"}, "", 7),
        (429, {"retry-after": "0"}, "", 1),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, "", 31),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "970"}, "", 1),
        (403, {"x-ratelimit-remaining": "9"}, "You have exceeded a secondary rate limit.", 60),
        (429, {}, "", 60),
        (403, {"x-ratelimit-remaining": "9"}, "Resource not accessible by integration", None),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, "", None),
    ],
)
def test_a_limit_is_waited_for_as_github_says(
    status: int, headers: dict[str, str], message: str, seconds: float | None
) -> None:
    """Retry-After counts first, then the reset of a used-up limit, then a minute."""
    response = ApiResponse(status, headers, b'{"message": "%s"}' % message.encode())
    assert read_limit_pause(response, _NOW) == seconds


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ('[{"code": "custom", "message": "No commits between main and topic"}]', NoCommits),
        ('[{"code": "custom", "message": "A pull request already exists for o:topic."}]', PullRequestExists),
        ('[{"field": "base", "code": "invalid"}]', BranchNotFound),
        ('["No commits between main and topic"]', NoCommits),
        ('"head sha can\'t be blank"', PermissionDenied),
    ],
)
def test_the_details_of_a_validation_tell_what_is_wrong(errors: str, kind: type[JobError]) -> None:
    """GitHub gives its details as objects, as sentences, or as one sentence."""
    response = ApiResponse(422, {}, b'{"message": "Validation Failed", "errors": %s}' % errors.encode())
    assert type(translate_refusal(response, {}, "Opening it failed")) is kind


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"message": 5}', b"\xff"])
def test_an_answer_without_a_sentence_gives_its_status(content: bytes) -> None:
    """A proxy's page is not shown to a person."""
    assert read_sentence(ApiResponse(502, {}, content)) == "GitHub answered with status 502"


def test_a_required_check_that_is_not_there_yet_is_pending() -> None:
    """A check begins some time after the commit; others do not count then."""
    summary = checks.summarize([Check("lint", "failed"), Check("test", "passed")], {"build", "test"})
    assert (summary.pending, summary.failed) == (["build"], [])


def test_without_required_checks_all_count() -> None:
    """All that are there, whatever their kind."""
    summary = checks.summarize([Check("lint", "failed"), Check("build", "pending")], set())
    assert (summary.pending, summary.failed) == (["build"], ["lint"])
