"""The errors that a call can raise, as one tree.

    GitHubWorkerError
    ├── JobFailed           the stream ended with `error`: the outcome is known
    │   └── PullRequestExists  NoCommits  PullRequestNotMergeable  MergeConflict  PullRequestTimeout
    ├── Refused             the request was turned down before a job started
    │   └── InvalidRequest  Unauthorized  NotFound  PayloadTooLarge
    ├── NoWorker            no replica took the job for as long as `busy_timeout`
    │   ├── WorkerBusy          the last one asked had a job
    │   └── WorkerUnavailable   the last one asked did not answer, or was shutting down
    ├── StreamBroken        the stream was lost and asking again did not bring it back: the outcome is unknown
    ├── UnexpectedAnswer    what answered is no GitHub Worker, or one of another version
    └── NotCommitted        an AutoCommit was flushed or closed, and some sessions could not be committed

A message never holds a secret: each goes through `scrub`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from github_worker.redaction import scrub


class GitHubWorkerError(Exception):
    """The base of all errors.

    `code` says what went wrong, in the contract's words if the worker said it; `stage` is the stage in which
    it did, None outside of a job; `retryable` says whether trying again may help; `data` is what was achieved
    before, by its names on the wire.
    """

    code = "client_error"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        stage: str | None = None,
        retryable: bool | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(scrub(message))
        self.code = code or self.code
        self.stage = stage
        self.retryable = self.retryable if retryable is None else retryable
        self.data = dict(data or {})


class JobFailed(GitHubWorkerError):
    """The job failed; `code`, `stage`, `retryable` and `data` are the worker's."""


class PullRequestExists(JobFailed):
    """An open pull request for this head and base exists."""

    code = "PR_EXISTS"


class NoCommits(JobFailed):
    """There are no commits between the two branches."""

    code = "NO_COMMITS"


class PullRequestNotMergeable(JobFailed):
    """The pull request cannot be merged."""

    code = "PR_NOT_MERGEABLE"


class MergeConflict(JobFailed):
    """The branches have changes that conflict."""

    code = "MERGE_CONFLICT"


class PullRequestTimeout(JobFailed):
    """The forge did not settle in time whether the pull request can be merged; `data` is what was done."""

    code = "TIMEOUT"
    retryable = True


class Refused(GitHubWorkerError):
    """The request was turned down, and no job was started."""

    code = "refused"


class InvalidRequest(Refused):
    """A field is wrong or missing; the message names it."""

    code = "invalid_request"


class Unauthorized(Refused):
    """The worker wants another bearer token."""

    code = "unauthorized"


class NotFound(Refused):
    """The worker has no such endpoint; is `base_url` right?"""

    code = "not_found"


class PayloadTooLarge(Refused):
    """The request is over the worker's limit of 10 MiB."""

    code = "payload_too_large"


class NoWorker(GitHubWorkerError):
    """No replica took the job; `retry_after` is the wait that the last one proposed, in seconds, or None."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WorkerBusy(NoWorker):
    """Every replica has a job."""

    code = "busy"


class WorkerUnavailable(NoWorker):
    """No replica could be reached, or it went away before it answered."""

    code = "unavailable"


class StreamBroken(GitHubWorkerError):
    """The stream was lost; ask again with `request_id` to learn the outcome without doing anything twice."""

    code = "stream_broken"
    retryable = True

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id


class UnexpectedAnswer(GitHubWorkerError):
    """The answer cannot be read."""

    code = "unexpected_answer"


class NotCommitted(GitHubWorkerError):
    """Edits are still pending; `errors` has the error of each session, by its id."""

    code = "not_committed"
    retryable = True

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        reasons = (f"{session_id}: {error}" for session_id, error in errors.items())
        super().__init__("; ".join(reasons))
        self.errors = dict(errors)
