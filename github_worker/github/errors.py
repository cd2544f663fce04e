"""GitHub's refusals as errors of the contract, by their statuses and sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from github_worker.errors import (
    BranchNotFound,
    JobError,
    MergeConflict,
    NoCommits,
    PermissionDenied,
    PullRequestExists,
    PullRequestNotMergeable,
    UnsupportedRepository,
)
from github_worker.forge import errors as forge_errors
from github_worker.forge.errors import (
    BY_STATUS,
    DEFAULT_PAUSE,
    BaseMoved,
    HeadMoved,
    MethodRefused,
    NotVisible,
    ReadyToMerge,
    clean_sentence,
    read_pause,
)
from github_worker.forge.requests import ApiResponse


class _Body(Struct, frozen=True):
    message: str | None = None
    errors: Any = None  # objects, sentences, one of either, or nothing
    documentation_url: str | None = None


# The first that is found counts: what says that a branch is missing goes on with "No commits between".
_BY_SENTENCE: tuple[tuple[str, type[JobError]], ...] = (
    (r"base branch was modified", BaseMoved),
    (r"head branch (?:was modified|is out of date)", HeadMoved),
    (r"merge(?: commit)?s are not allowed|merge method .*not allowed", MethodRefused),
    (r"must not contain merge commits|can(?:no|')t be rebased", MethodRefused),
    (r"(?:base|head) invalid|reference does not exist", BranchNotFound),
    (r"(?:base|head) sha can't be blank|ref must be a branch", BranchNotFound),
    (r"no commits between", NoCommits),
    (r"pull request already exists", PullRequestExists),
    (r"could not resolve to a node", NotVisible),
    (r"merge conflict", MergeConflict),
    (r"pull request is in (?:clean|unstable|has_hooks) status", ReadyToMerge),
    (r"no history in common|no common ancestor", PullRequestNotMergeable),
    (r"draft pull requests are not supported", UnsupportedRepository),
)


def translate_refusal(response: ApiResponse, errors: Mapping[int, type[JobError]], subject: str) -> JobError:
    """Return the error that a response stands for, in GitHub's own words; `subject` begins its message."""
    sentence = read_sentence(response)
    if kind := find_kind(sentence):
        return kind(f"{subject}: {sentence}")
    kind = errors.get(response.status) or BY_STATUS.get(response.status, PermissionDenied)
    return kind(f"{subject}: {sentence}{_name_missing_permission(response)}")


def find_kind(sentence: str) -> type[JobError] | None:
    """Return the class of error that GitHub's sentence names, None where it names none."""
    return forge_errors.find_kind(sentence, _BY_SENTENCE)


def read_sentence(response: ApiResponse) -> str:
    """Return GitHub's message, with its details, on one line and without secrets."""
    body = _read_body(response)
    sentence = ": ".join(filter(None, [body.message, "; ".join(_list_details(body.errors))]))
    return clean_sentence(sentence) or f"GitHub answered with status {response.status}"


def _read_body(response: ApiResponse) -> _Body:
    try:
        return msgspec.json.decode(response.content, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Body()


def _list_details(errors: Any) -> Iterator[str]:
    for detail in errors if isinstance(errors, list) else [errors]:
        if isinstance(detail, str):
            yield detail
        elif isinstance(detail, dict):
            named = [detail.get("field"), detail.get("code")]
            yield str(detail.get("message") or " ".join(str(name) for name in named if name))


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


# GitHub tells a secondary limit in words alone at times; these are what its clients know.
_LIMIT_SENTENCE = re.compile(
    r"rate limit|abuse detection|submitted too quickly"
    r"|please (?:retry your request again later|wait a few minutes before you try again)",
    re.IGNORECASE,
)
_LIMIT_PAGE = re.compile(r"#?(?:abuse|secondary)-rate-limits$")


def read_limit_pause(response: ApiResponse, now: float) -> float | None:
    """Return the seconds to wait before asking again, or None where the response is about no limit.

    `now` is in seconds since the epoch.
    """
    if response.status not in {403, 429} and not _is_limit_elsewhere(response):
        return None
    pause = read_pause(response.headers, now, "x-")
    if pause is not None:
        return pause
    if response.status == 429 or _tells_of_limit(response):
        return DEFAULT_PAUSE
    return None


def _tells_of_limit(response: ApiResponse) -> bool:
    page = _read_body(response).documentation_url or ""
    return bool(_LIMIT_SENTENCE.search(read_sentence(response)) or _LIMIT_PAGE.search(page))


def _is_limit_elsewhere(response: ApiResponse) -> bool:
    """Tell whether a response is a limit under another status: content made too fast, or GraphQL's 200."""
    if response.status == 200 and response.headers.get("x-ratelimit-remaining") == "0":
        errors = _read_body(response).errors
        return isinstance(errors, list) and any("RATE_LIMITED" in _read_type(error) for error in errors)
    return response.status == 422 and _tells_of_limit(response)


def _read_type(error: Any) -> str:
    return str(error.get("type")) if isinstance(error, dict) else ""
