"""Everything that goes wrong, as one tree.

GitHubWorkerError
├── ConfigurationError          the start is stopped, naming the variable
├── Refusal                     answered as JSON before a job starts
│   ├── InvalidRequest  Unauthorized  NotFound  MethodNotAllowed
│   └── PayloadTooLarge  RequestTimeout  Busy  ShuttingDown
└── JobError                    ends a stream: one class for each code of the contract
    ├── SessionNotFound  NoRepository  OtherRepository  SessionCorrupt  …
    ├── AuthenticationFailed  RemoteUnavailable  PushRejected  PushConflict  …
    └── PullRequestExists  NoCommits  MergeConflict  RateLimited  Internal
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class GitHubWorkerError(Exception):
    """The base of all errors of this package."""


class ConfigurationError(GitHubWorkerError):
    """An environment variable has a wrong value; the message names it."""


class Refusal(GitHubWorkerError):
    """A request that is answered with a status and a code, and uses no worker up."""

    code: ClassVar[str]
    status: ClassVar[int]


class InvalidRequest(Refusal):
    """The body is not what the endpoint takes; the message names the field."""

    code, status = "invalid_request", 400


class Unauthorized(Refusal):
    """The bearer token is missing or wrong."""

    code, status = "unauthorized", 401


class NotFound(Refusal):
    """No endpoint has this path."""

    code, status = "not_found", 404


class MethodNotAllowed(Refusal):
    """The endpoint has another method."""

    code, status = "method_not_allowed", 405


class RequestTimeout(Refusal):
    """The body did not arrive in time."""

    code, status = "request_timeout", 408


class PayloadTooLarge(Refusal):
    """The body is larger than 10 MiB."""

    code, status = "payload_too_large", 413


class Busy(Refusal):
    """This worker has its job; another replica is probably idle."""

    code, status = "busy", 429


class ShuttingDown(Refusal):
    """This worker was told to stop."""

    code, status = "shutting_down", 503


class JobError(GitHubWorkerError):
    """What ends a stream: a code, a sentence for a person, and whether to try again."""

    code: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.data = dict(data or {})


class SessionNotFound(JobError):
    """There is no session with this id."""

    code = "session_not_found"


class NoRepository(JobError):
    """The session holds no repository."""

    code = "no_repository"


class OtherRepository(JobError):
    """The session holds another repository."""

    code = "other_repository"


class SessionCorrupt(JobError):
    """The session's archive cannot be read."""

    code = "session_corrupt"


class SessionTooLarge(JobError):
    """The session is over the limits of this worker."""

    code = "session_too_large"


class SessionConflict(JobError):
    """Another writer kept saving the session while this worker worked."""

    code, retryable = "session_conflict", True


class StorageUnavailable(JobError):
    """The session store does not answer."""

    code, retryable = "storage_unavailable", True


class AuthenticationFailed(JobError):
    """The git server refused the token."""

    code = "authentication_failed"


class PermissionDenied(JobError):
    """The token may not do this."""

    code = "permission_denied"


class RepositoryNotFound(JobError):
    """The repository does not exist, or the token may not see it."""

    code = "repository_not_found"


class BranchNotFound(JobError):
    """The remote has no such branch."""

    code = "branch_not_found"


class CommitNotFound(JobError):
    """Neither the session nor the remote has such a commit."""

    code = "commit_not_found"


class PathNotFound(JobError):
    """There is no such file or folder to commit."""

    code = "path_not_found"


class TagExists(JobError):
    """There is another tag of this name."""

    code = "tag_exists"


class HostNotAllowed(JobError):
    """The token may not be sent to this host."""

    code = "host_not_allowed"


class RemoteUnavailable(JobError):
    """The git server does not answer."""

    code, retryable = "remote_unavailable", True


class PushRejected(JobError):
    """The remote refused the push."""

    code = "push_rejected"


class PushConflict(JobError):
    """The remote has changes that conflict with the new commit."""

    code = "push_conflict"


class UncommittedChanges(JobError):
    """Uncommitted changes are in the way."""

    code = "uncommitted_changes"


class FileTooLarge(JobError):
    """A changed file is over the size that the forge takes."""

    code = "file_too_large"


class FileLocked(JobError):
    """Somebody else has locked a file that would be pushed."""

    code, retryable = "file_locked", True


class SecretDetected(JobError):
    """What would be pushed contains a credential."""

    code = "secret_detected"


class UnsupportedRepository(JobError):
    """The repository uses something that this worker does not do."""

    code = "unsupported_repository"


class JobTimeout(JobError):
    """The job did not end in time."""

    code, retryable = "timeout", True


class RateLimited(JobError):
    """The forge's rate limit is used up."""

    code, retryable = "rate_limited", True


class Internal(JobError):
    """Something went wrong inside the worker."""

    code, retryable = "internal", True


# The codes of the pull requests are spelled as their existing callers compare them.
class PullRequestExists(JobError):
    """An open pull request for this head and base exists."""

    code = "PR_EXISTS"


class NoCommits(JobError):
    """There are no commits between the two branches."""

    code = "NO_COMMITS"


class PullRequestNotMergeable(JobError):
    """The pull request cannot be merged."""

    code = "PR_NOT_MERGEABLE"


class MergeConflict(JobError):
    """The branches have changes that conflict."""

    code = "MERGE_CONFLICT"


class PullRequestTimeout(JobError):
    """The forge did not settle in time whether the pull request can be merged."""

    code, retryable = "TIMEOUT", True


def job_errors() -> dict[str, type[JobError]]:
    """Every error of a stream by its code, in the contract's order."""
    return {error.code: error for error in JobError.__subclasses__()}
