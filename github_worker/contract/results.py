"""The answers: what each job achieved, which its `completed` event carries, health, status, refusals."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from github_worker.contract.events import SOURCE

WorkerStatus = Literal["idle", "busy"]


class Result(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """What a job achieved."""


class PushError(Result, frozen=True, kw_only=True):
    """Why a push failed; the commit or branch is in the session all the same."""

    code: str
    message: str


class Cloned(Result, frozen=True, kw_only=True):
    """The session holds the repository; `pulled` says whether an existing one was fast-forwarded."""

    cloned_path: str
    branch: str
    was_cloned: bool
    commit: str | None
    pulled: bool


class BranchCreated(Result, frozen=True, kw_only=True):
    """The session is on its own branch."""

    branch_name: str
    session_title: str
    session_path: str
    base_branch: str
    commit: str | None
    pushed: bool
    push_error: PushError | None = None


class Committed(Result, frozen=True, kw_only=True):
    """The branch's tip after the job, and what the new commit changed."""

    commit_hash: str | None
    commit_message: str
    branch: str
    pushed: bool
    files_changed: int
    insertions: int
    deletions: int
    push_error: PushError | None = None
    skipped: bool = False
    reason: str | None = None


class SessionInitialised(Cloned, frozen=True, kw_only=True):
    """A cloned repository, on its own branch."""

    branch_name: str
    session_title: str
    session_path: str
    base_branch: str
    pushed: bool
    push_error: PushError | None = None


class BranchTip(Result, frozen=True, kw_only=True):
    """A branch and the commit it is at."""

    ref: str
    sha: str


class PullRequestOpened(Result, frozen=True, kw_only=True):
    """The pull request as it was opened; `mergeable` is null until GitHub knows."""

    number: int
    title: str
    state: str
    html_url: str
    head: BranchTip
    base: BranchTip
    mergeable: bool | None
    merged: bool


class PullRequestMerged(Result, frozen=True, kw_only=True):
    """The pull request is merged, by this job or before it; `sha` is the merge commit."""

    merged: bool
    sha: str | None
    message: str


class PullRequestLink(Result, frozen=True, kw_only=True):
    """Which pull request it is."""

    number: int
    html_url: str


class BaseMerged(Result, frozen=True, kw_only=True):
    """The branch contains its base; `sha` is the branch's tip."""

    sha: str
    message: str


class BranchMerged(Result, frozen=True, kw_only=True):
    """The base contains the branch; `sha` is the merge commit."""

    merged: bool
    sha: str | None


class PullRequestFinished(Result, frozen=True, kw_only=True):
    """The pull request is merged; `step` is the last one that was achieved.

    `mergeBase` is null if it was merged before this job.
    """

    step: Literal["pr_merged", "branch_deleted"]
    pr: PullRequestLink
    merge_base: BaseMerged | None
    merge_pr: BranchMerged


class Build(Struct, rename="camel", frozen=True):
    """What image this worker runs."""

    commit_sha: str
    timestamp: str
    image_tag: str


class Health(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """The answer of `GET /health`; `warning` says what an operator should know."""

    status: Literal["ok"] = msgspec.field(default_factory=lambda: "ok")
    service: str = msgspec.field(default_factory=lambda: SOURCE)
    worker_status: WorkerStatus
    container_id: str
    version: str
    build: Build
    timestamp: str
    warning: str | None = None


class Status(Struct, rename="camel", frozen=True, kw_only=True):
    """The answer of `GET /status`."""

    status: WorkerStatus
    active_operation: str | None
    container_id: str
    timestamp: str


class RefusalBody(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Why no job was started; `retry_after` is in seconds."""

    error: str
    message: str
    container_id: str
    retry_after: int | None = None
