"""What each job achieved: the fields of its `completed` event."""

from __future__ import annotations

from msgspec import Struct


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
