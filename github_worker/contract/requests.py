"""What the body of each `POST` is."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import Struct

from github_worker.contract.fields import (
    AnyRepositoryUrl,
    Branch,
    Depth,
    Directory,
    Line,
    ModelCredentials,
    RepositoryUrl,
    RequestId,
    SessionId,
    Text,
)
from github_worker.contract.results import BranchCreated, Cloned, Committed, Result, SessionInitialised
from github_worker.redaction import Secret


class Author(Struct, frozen=True, forbid_unknown_fields=True):
    """Who a commit is by."""

    name: Line
    email: Line


class Request(
    Struct, rename="camel", frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What the body of a `POST` is."""

    operation: ClassVar[str]
    result: ClassVar[type[Result]]
    request_id: RequestId | None = None


class CloneRepository(Request, frozen=True, kw_only=True):
    """Clone a repository into a session, or update the one that is there."""

    operation, result = "clone-repository", Cloned

    session_id: SessionId
    repo_url: AnyRepositoryUrl
    branch: Branch | None = None
    directory: Directory | None = None
    access_token: Secret | None = None
    depth: Depth | None = None
    all_branches: bool = False

    def __post_init__(self) -> None:
        _check_url(self.repo_url)


class CreateBranch(Request, frozen=True, kw_only=True):
    """Start a branch with a good name in the session, and push it."""

    operation, result = "create-branch", BranchCreated

    session_id: SessionId
    user_request: Text
    base_branch: Branch
    repo_url: AnyRepositoryUrl | None = None
    claude_credentials: ModelCredentials | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")

    def __post_init__(self) -> None:
        if self.repo_url is not None:
            _check_url(self.repo_url)


class CommitAndPush(Request, frozen=True, kw_only=True):
    """Commit everything that changed in the session's repository, and push it."""

    operation, result = "commit-and-push", Committed

    session_id: SessionId
    claude_credentials: ModelCredentials | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")
    user_id: Line | None = None
    author: Author | None = None
    message: Text | None = None
    allow_secrets: bool = False


class InitSession(Request, frozen=True, kw_only=True):
    """Clone a repository and start a branch in it, over one download and one upload."""

    operation, result = "init-session", SessionInitialised

    session_id: SessionId
    repo_url: AnyRepositoryUrl
    branch: Branch | None = None
    directory: Directory | None = None
    user_request: Text
    claude_credentials: ModelCredentials | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")
    depth: Depth | None = None
    all_branches: bool = False

    def __post_init__(self) -> None:
        _check_url(self.repo_url)


def _check_url(text: str) -> None:
    try:
        RepositoryUrl.parse(text)
    except ValueError as error:
        raise ValueError(f"`repoUrl` {error}") from None
