"""What a forge refuses for the moment, or in one way of several; and its sentences, made fit to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from github_worker.errors import (
    AuthenticationFailed,
    JobError,
    PullRequestNotMergeable,
    PullRequestTimeout,
    RemoteUnavailable,
    RepositoryNotFound,
)
from github_worker.forge.requests import ApiResponse
from github_worker.redaction import scrub

Sentences = Iterable[tuple[str, type[JobError]]]  # patterns of a forge's sentences; the first found counts

BY_STATUS: Mapping[int, type[JobError]] = {401: AuthenticationFailed, 404: RepositoryNotFound}
DEFAULT_PAUSE = 60.0  # seconds: "wait for at least one minute"
_MIN_PAUSE = 1.0  # seconds: all of the forges' times are in whole ones
_MAX_PAUSE = 365 * 24 * 3600.0  # seconds: a time that can be told
_MAX_SENTENCE = 500  # characters of a forge's sentence that are passed on


class _Body(Struct, frozen=True):
    message: Any = None
    error: Any = None
    error_description: Any = None


class BaseMoved(PullRequestTimeout):
    """The base got commits while the forge merged; it asks to try again."""


class HeadMoved(PullRequestTimeout):
    """The branch got commits since it was looked at; the forge asks to try again."""


class NotVisible(RemoteUnavailable):
    """What was made just before is not seen by all of the forge yet."""


class MethodRefused(PullRequestNotMergeable):
    """The repository or the base's rules do not allow this way of merging."""


class StillChecking(PullRequestTimeout):
    """The forge is still finding out whether the pull request can be merged; asked again, it may know."""


class ReadyToMerge(PullRequestNotMergeable):
    """The pull request can be merged at once, so it is not merged later."""


def read_sentence(response: ApiResponse) -> str:
    """Return a forge's message on one line: a sentence, a list of them, or lists of them by field."""
    try:
        body = msgspec.json.decode(response.content, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = _Body()
    sentence = "; ".join(_list_sentences(body.message or body.error_description or body.error))
    return clean_sentence(sentence) or f"{response.forge} answered with status {response.status}"


def _list_sentences(message: Any) -> Iterator[str]:
    if isinstance(message, str):
        yield message
    elif isinstance(message, list):
        yield from filter(None, map(str, message))
    elif isinstance(message, dict):
        for field, sentences in message.items():
            yield f"{field} {'; '.join(_list_sentences(sentences))}"


def find_kind(sentence: str, sentences: Sentences) -> type[JobError] | None:
    """Return the class of error that a forge's sentence names, None where it names none."""
    kinds = (kind for pattern, kind in sentences if re.search(pattern, sentence, re.IGNORECASE))
    return next(kinds, None)


def clean_sentence(sentence: str) -> str:
    """Return what a forge says on one line, without secrets, and not too long to be shown."""
    return scrub(" ".join(sentence.split()))[:_MAX_SENTENCE]


def read_pause(headers: Mapping[str, str], now: float, prefix: str = "") -> float | None:
    """Return the seconds until a forge's limit is over, None where its headers tell no time.

    `now` is in seconds since the epoch, `prefix` what the names of its headers begin with.
    """
    retry_after = headers.get("retry-after", "")
    if retry_after.isdecimal():
        return min(max(float(retry_after), _MIN_PAUSE), _MAX_PAUSE)
    reset = headers.get(f"{prefix}ratelimit-reset", "")
    if headers.get(f"{prefix}ratelimit-remaining") == "0" and reset.isdecimal():
        return min(max(float(reset) - now, 0.0) + _MIN_PAUSE, _MAX_PAUSE)
    return None
