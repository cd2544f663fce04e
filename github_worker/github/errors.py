"""What GitHub's refusals mean: its statuses and sentences as errors of the contract."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from github_worker.errors import (
    AuthenticationFailed,
    BranchNotFound,
    JobError,
    MergeConflict,
    NoCommits,
    PermissionDenied,
    PullRequestExists,
    PullRequestNotMergeable,
    RepositoryNotFound,
)
from github_worker.github.responses import ApiResponse
from github_worker.redaction import scrub

_LONGEST = 500  # characters of GitHub's sentence that are passed on


class BaseMoved(PullRequestNotMergeable):
    """The base got commits while GitHub merged; it asks to try again."""


class MethodRefused(PullRequestNotMergeable):
    """The repository does not allow this way of merging."""


class HeadMoved(MergeConflict):
    """The branch got commits since it was looked at."""


class _Detail(Struct, frozen=True):
    message: str = ""
    field: str = ""
    code: str = ""


class _Body(Struct, frozen=True):
    message: str = ""
    errors: list[_Detail | str] | str = []


_BY_STATUS: Mapping[int, type[JobError]] = {401: AuthenticationFailed, 404: RepositoryNotFound}
_BY_SENTENCE: tuple[tuple[int, re.Pattern[str], type[JobError]], ...] = (
    (405, re.compile(r"Base branch was modified"), BaseMoved),
    (405, re.compile(r"not allowed on this repository"), MethodRefused),
    (409, re.compile(r"Head branch was modified"), HeadMoved),
    (422, re.compile(r"No commits between"), NoCommits),
    (422, re.compile(r"pull request already exists"), PullRequestExists),
    (422, re.compile(r"(?:base|head) invalid"), BranchNotFound),
    (422, re.compile(r"Reference does not exist"), BranchNotFound),
)


def refusal(answer: ApiResponse, errors: Mapping[int, type[JobError]], subject: str) -> JobError:
    """Return the error that `answer` is, in GitHub's own words; `subject` begins its message."""
    said = sentence(answer)
    for status, pattern, kind in _BY_SENTENCE:
        if status == answer.status and pattern.search(said):
            return kind(f"{subject}: {said}")
    kind = errors.get(answer.status) or _BY_STATUS.get(answer.status, PermissionDenied)
    return kind(f"{subject}: {said}{_needed(answer)}")


def sentence(answer: ApiResponse) -> str:
    """Return what GitHub says, with its details, on one line and without secrets."""
    try:
        body = msgspec.json.decode(answer.content, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = _Body()
    said = ": ".join(filter(None, [body.message, "; ".join(_details(body))]))
    return scrub(" ".join(said.split()))[:_LONGEST] or f"GitHub answered with status {answer.status}"


def _details(body: _Body) -> Iterator[str]:
    for detail in [body.errors] if isinstance(body.errors, str) else body.errors:
        yield detail if isinstance(detail, str) else detail.message or f"{detail.field} {detail.code}"


def _needed(answer: ApiResponse) -> str:
    """Say what the token lacks: X-Accepted-GitHub-Permissions, or the scopes of a classic token."""
    if answer.status != 403:
        return ""
    if permissions := answer.headers.get("x-accepted-github-permissions"):
        return f" (the token needs {permissions})"
    if scopes := answer.headers.get("x-accepted-oauth-scopes"):
        held = answer.headers.get("x-oauth-scopes") or "none"
        return f" (the token needs one of the scopes {scopes}; it has {held})"
    return ""


_UNSAID = 60.0  # seconds: "wait for at least one minute"
_LEAST = 1.0  # seconds: all of GitHub's times are in whole ones


def limit_pause(answer: ApiResponse, now: float) -> float | None:
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
