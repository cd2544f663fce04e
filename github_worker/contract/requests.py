"""What the body of each `POST` is."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from github_worker.contract.fields import (
    AnyRepositoryUrl,
    Branch,
    Depth,
    Directory,
    Line,
    ModelCredentials,
    Owner,
    RepositoryName,
    RepositoryUrl,
    RequestId,
    SessionId,
    Text,
    Title,
)
from github_worker.contract.results import (
    BranchCreated,
    Cloned,
    Committed,
    PullRequestFinished,
    PullRequestMerged,
    PullRequestOpened,
    Result,
    SessionInitialised,
)
from github_worker.redaction import Secret

Body = Annotated[str, Meta(max_length=65_536)]  # what GitHub keeps of one
PullNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]
WaitForChecks = Annotated[
    bool, Meta(description="for those that the base requires, or if it requires none, those on the branch")
]
MergeMethod = Literal["merge", "squash", "rebase"]


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


class CreatePullRequest(Request, frozen=True, kw_only=True):
    """Open a pull request; `sessionId` stands for owner, repo and head."""

    operation, result = "create-pull-request", PullRequestOpened

    session_id: SessionId | None = None
    owner: Owner | None = None
    repo: RepositoryName | None = None
    head: Branch | None = None
    base: Branch
    title: Title | None = None
    body: Body | None = None
    draft: bool = False
    claude_credentials: ModelCredentials | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")

    def __post_init__(self) -> None:
        _check_place(self.session_id, owner=self.owner, repo=self.repo, head=self.head)


class MergePullRequest(Request, frozen=True, kw_only=True):
    """Merge a pull request; without `mergeMethod`, by one that the repository allows."""

    operation, result = "merge-pull-request", PullRequestMerged

    owner: Owner
    repo: RepositoryName
    pull_number: PullNumber
    merge_method: MergeMethod | None = None
    commit_title: Title | None = None
    commit_message: Text | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")


class AutoPullRequest(Request, frozen=True, kw_only=True):
    """Take a branch through a pull request into its base; `sessionId` stands for owner, repo and branch."""

    operation, result = "auto-pull-request", PullRequestFinished

    session_id: SessionId | None = None
    owner: Owner | None = None
    repo: RepositoryName | None = None
    branch: Branch | None = None
    base: Branch
    title: Title | None = None
    body: Body | None = None
    wait_for_checks: WaitForChecks = False
    claude_credentials: ModelCredentials | None = None
    access_token: Secret = msgspec.field(name="githubAccessToken")

    def __post_init__(self) -> None:
        _check_place(self.session_id, owner=self.owner, repo=self.repo, branch=self.branch)


def _check_url(text: str) -> None:
    try:
        RepositoryUrl.parse(text)
    except ValueError as error:
        raise ValueError(f"`repoUrl` {error}") from None


def _check_place(session_id: str | None, **named: str | None) -> None:
    given = [name for name, value in named.items() if value is not None]
    missing = [name for name in named if name not in given]
    if session_id is None and missing:
        raise ValueError(f"Object missing required field `{missing[0]}` (or `sessionId` in its place)")
    if session_id is not None and given:
        raise ValueError(f"`{given[0]}` and `sessionId` are two ways to say one thing: give one of them")
