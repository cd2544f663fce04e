"""The lines of a stream."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

SOURCE = "github-worker"
Stage = Literal[
    # A session's repository
    "downloading_session",
    "session_found",
    "new_session",
    "cloning",
    "branch_fallback",
    "repo_exists",
    "cloned",
    # Its branch
    "generating_name",
    "fallback",
    "name_generated",
    "creating_branch",
    # Its commits
    "analyzing",
    "changes_detected",
    "generating_message",
    "committing",
    "committed",
    "pushing",
    "rebasing",
    "pushed",
    "push_failed",
    "uploading",
    # Pull requests
    "creating_pr",
    "pr_created",
    "pr_found",
    "merging_base",
    "base_merged",
    "waiting_mergeable",
    "merging_pr",
    "pr_merged",
    "deleting_branch",
]
# Shown, not enforced: a client also reads the stages of a worker that is newer than it.
AnyStage = Annotated[str, Meta(extra_json_schema={"enum": get_args(Stage)})]


class Event(Struct, rename="camel", tag_field="type", frozen=True, kw_only=True, omit_defaults=True):
    """One line of a stream; `timestamp` is RFC 3339, UTC, in milliseconds."""

    source: str = msgspec.field(default_factory=lambda: SOURCE)
    timestamp: str = msgspec.field(default_factory=lambda: rfc3339(datetime.now(UTC)))


class Progress(Event, tag="progress", frozen=True, kw_only=True):
    """A step begins or advances; `percent` is 0 to 100, the others are counts."""

    stage: AnyStage
    message: str
    percent: int | None = None
    received: int | None = None
    total: int | None = None
    bytes: int | None = None


class Warned(Event, tag="warning", frozen=True, kw_only=True):
    """Something was left out or done otherwise; the job goes on."""

    code: str
    message: str


class BranchStarted(Event, tag="branch_created", frozen=True, kw_only=True):
    """The session's branch exists."""

    branch_name: str
    base_branch: str
    session_path: str
    message: str


class SessionNamed(Event, tag="session_name", frozen=True, kw_only=True):
    """The session has a title."""

    session_name: str
    branch_name: str
    message: str


class Completed(Event, tag="completed", frozen=True, kw_only=True):
    """The job is done: `data` is its result, `timings` milliseconds by step."""

    data: dict[str, Any]
    timings: dict[str, int]


class Failed(Event, tag="error", frozen=True, kw_only=True):
    """The job failed: `error` is for a person, `data` what was achieved before."""

    error: str
    code: str
    stage: AnyStage | None = None
    retryable: bool = msgspec.field(default_factory=bool)
    data: dict[str, Any] | None = None


AnyEvent = Progress | Warned | BranchStarted | SessionNamed | Completed | Failed


def rfc3339(moment: datetime) -> str:
    """Write a UTC moment as the contract's timestamps are: `2026-01-31T09:00:00.000Z`."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def encode_event(event: AnyEvent) -> bytes:
    """Encode an event as one line of JSON; a result's fields stand at the top level too."""
    if not isinstance(event, Completed):
        return msgspec.json.encode(event)
    return msgspec.json.encode(event.data | msgspec.to_builtins(event))


def decode_event(data: str | bytes) -> AnyEvent:
    """Decode one event; raise ValueError when it is none."""
    try:
        event: AnyEvent = msgspec.json.decode(data, type=AnyEvent)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    return event
