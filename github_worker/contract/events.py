"""The lines of a stream."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from github_worker.contract.fields import describe

SOURCE = "github-worker"
Stage = Literal[
    # Before any other, where many jobs share a machine
    "queued",
    # A session's repository
    "downloading_session",
    "session_found",
    "new_session",
    "cloning",
    "branch_fallback",
    "repo_exists",
    "fetching_lfs",
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
    "uploading_lfs",
    "pushing",
    "rebasing",
    "pushed",
    "push_failed",
    "tagging",
    "uploading",
    # What else is done to a session's branch
    "fetching_base",
    "syncing",
    "synced",
    "conflicts_left",
    "switching_branch",
    "branch_switched",
    "inspected",
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
Source = Annotated[str, describe("The service that says it.", SOURCE)]
Timestamp = Annotated[
    str, describe("The moment, RFC 3339 in UTC and milliseconds.", "2026-01-31T09:00:00.000Z")
]
# Shown, not enforced: a client also reads the stages of a worker that is newer than it.
_AnyStage = Annotated[str, Meta(extra_json_schema={"enum": get_args(Stage)})]
_Message = Annotated[str, describe("What happens, for a person.", "Pushing webedt/dark-mode-7c1e2d90")]
_BranchName = Annotated[str, describe("The session's new branch.", "webedt/dark-mode-7c1e2d90")]


class Event(Struct, rename="camel", tag_field="type", frozen=True, kw_only=True, omit_defaults=True):
    """One line of a stream; `timestamp` is RFC 3339, UTC, in milliseconds."""

    source: Source = msgspec.field(default_factory=lambda: SOURCE)
    timestamp: Timestamp = msgspec.field(default_factory=lambda: rfc3339(datetime.now(UTC)))
    request_id: Annotated[
        str | None,
        describe(
            "The id of the request, the caller's own or one that was made, with the first event of a stream: "
            "asked again with it, nothing is done twice.",
            "r-2041",
        ),
    ] = None


class Progress(Event, tag="progress", frozen=True, kw_only=True):
    """A stage begins, which each does once in a job, `queued` aside: that is told again with each position.

    `commitHash` is there when there is a new commit.
    """

    stage: Annotated[_AnyStage, describe("The stage that begins.", "pushing")]
    message: _Message
    commit_hash: Annotated[
        str | None,
        describe("The commit that was made; with `committed`.", "5716ca5987cbf97d6bb54920bea6adde242d87e6"),
    ] = None
    position: Annotated[
        int | None, describe("The place in line of a job that waits, with `queued`; 1 is next.", 3)
    ] = None


class Transferred(Event, tag="transfer", frozen=True, kw_only=True):
    """How far a stage has come that moves bytes; the last one of a stage says 100 percent."""

    stage: Annotated[_AnyStage, describe("The stage that advances.", "cloning")]
    received: Annotated[int, describe("How many of what it counts are done: objects, or bytes.", 420)]
    total: Annotated[int | None, describe("How many there are in all; absent if unknown.", 1000)] = None
    percent: Annotated[int | None, describe("How far the stage is, 0 to 100; absent if unknown.", 42)] = None
    bytes: Annotated[int, describe("How many bytes came with them.", 65536)]


class Warned(Event, tag="warning", frozen=True, kw_only=True):
    """Something was left out or done otherwise; the job goes on."""

    code: Annotated[str, describe("The kind of warning.", "left_out")]
    message: _Message


class BranchStarted(Event, tag="branch_created", frozen=True, kw_only=True):
    """The session's branch exists."""

    branch_name: _BranchName
    base_branch: Annotated[str, describe("The branch that it was started at.", "main")]
    session_path: Annotated[
        str, describe("Owner, repository and branch in one word.", "acme__shop__webedt-dark-mode-7c1e2d90")
    ]
    message: _Message


class SessionNamed(Event, tag="session_name", frozen=True, kw_only=True):
    """The session has a title."""

    session_name: Annotated[str, describe("A short title for the session.", "Dark mode")]
    branch_name: _BranchName
    message: _Message


class Completed(Event, tag="completed", frozen=True, kw_only=True):
    """The job is done: `data` is its result, `timings` milliseconds by step."""

    data: Annotated[dict[str, Any], describe("The job's result.", {"merged": True, "sha": None})]
    timings: Annotated[dict[str, int], describe("Milliseconds by stage.", {"cloning": 420, "uploading": 95})]


class Failed(Event, tag="error", frozen=True, kw_only=True):
    """The job failed: `error` is for a person, `data` what was achieved before."""

    error: Annotated[str, describe("What went wrong, for a person.", "The git server does not answer.")]
    code: Annotated[str, describe("What went wrong, as one of the error codes.", "remote_unavailable")]
    stage: Annotated[_AnyStage | None, describe("The stage in which it did.", "pushing")] = None
    retryable: Annotated[bool, describe("Whether to ask again may help.", True)] = msgspec.field(
        default_factory=bool
    )
    data: Annotated[
        dict[str, Any] | None,
        describe("What was achieved before, by its names in a result.", {"branch": "main"}),
    ] = None


AnyEvent = Progress | Transferred | Warned | BranchStarted | SessionNamed | Completed | Failed


def rfc3339(moment: datetime) -> str:
    """Write a UTC moment as the contract's timestamps are: `2026-01-31T09:00:00.000Z`."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
