"""GitHub's refusals as errors of the contract, by their statuses and sentences."""

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

_MAX_SENTENCE = 500  # characters of GitHub's sentence that are passed on


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


def translate_refusal(response: ApiResponse, errors: Mapping[int, type[JobError]], subject: str) -> JobError:
    """Return the error that a response stands for, in GitHub's own words; `subject` begins its message."""
    sentence = read_sentence(response)
    for status, pattern, kind in _BY_SENTENCE:
        if status == response.status and pattern.search(sentence):
            return kind(f"{subject}: {sentence}")
    kind = errors.get(response.status) or _BY_STATUS.get(response.status, PermissionDenied)
    return kind(f"{subject}: {sentence}{_name_missing_permission(response)}")


def read_sentence(response: ApiResponse) -> str:
    """Return GitHub's message, with its details, on one line and without secrets."""
    try:
        body = msgspec.json.decode(response.content, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = _Body()
    sentence = ": ".join(filter(None, [body.message, "; ".join(_list_details(body))]))
    sentence = scrub(" ".join(sentence.split()))[:_MAX_SENTENCE]
    return sentence or f"GitHub answered with status {response.status}"


def _list_details(body: _Body) -> Iterator[str]:
    for detail in [body.errors] if isinstance(body.errors, str) else body.errors:
        yield detail if isinstance(detail, str) else detail.message or f"{detail.field} {detail.code}"


def _name_missing_permission(response: ApiResponse) -> str:
    """Name the permission that the token lacks, or the scopes where it is a classic one."""
    if response.status != 403:
        return ""
    if permissions := response.headers.get("x-accepted-github-permissions"):
        return f" (the token needs {permissions})"
    if accepted := response.headers.get("x-accepted-oauth-scopes"):
        scopes_of_token = response.headers.get("x-oauth-scopes") or "none"
        return f" (the token needs one of the scopes {accepted}; it has {scopes_of_token})"
    return ""


_DEFAULT_PAUSE = 60.0  # seconds: "wait for at least one minute"
_MIN_PAUSE = 1.0  # seconds: all of GitHub's times are in whole ones
_MAX_PAUSE = 365 * 24 * 3600.0  # seconds: a time that can be told


def read_limit_pause(response: ApiResponse, now: float) -> float | None:
    """Return the seconds to wait before asking again, or None where the response is about no limit.

    `now` is in seconds since the epoch.
    """
    if response.status not in {403, 429}:
        return None
    retry_after = response.headers.get("retry-after", "")
    if retry_after.isdecimal():
        return min(max(float(retry_after), _MIN_PAUSE), _MAX_PAUSE)
    reset = response.headers.get("x-ratelimit-reset", "")
    if response.headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return min(max(float(reset) - now, 0.0) + _MIN_PAUSE, _MAX_PAUSE)
    if response.status == 429 or "rate limit" in read_sentence(response):
        return _DEFAULT_PAUSE
    return None
