"""Pull requests: what the three endpoints take, and what they answer."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from github_worker.contract.fields import (
    Branch,
    ModelCredentials,
    Owner,
    RepositoryName,
    SessionId,
    Text,
    Title,
)
from github_worker.contract.requests import Request
from github_worker.contract.results import Result
from github_worker.redaction import Secret

Body = Annotated[str, Meta(max_length=65_536)]  # what GitHub keeps of one
PullNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]
WaitForChecks = Annotated[
    bool, Meta(description="for those that the base requires, or if it requires none, those on the branch")
]
MergeMethod = Literal["merge", "squash", "rebase"]


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


def _check_place(session_id: str | None, **named: str | None) -> None:
    given = [name for name, value in named.items() if value is not None]
    missing = [name for name in named if name not in given]
    if session_id is None and missing:
        raise ValueError(f"Object missing required field `{missing[0]}` (or `sessionId` in its place)")
    if session_id is not None and given:
        raise ValueError(f"`{given[0]}` and `sessionId` are two ways to say one thing: give one of them")
