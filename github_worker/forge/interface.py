"""What is asked of a forge about pull requests: GitHub's, GitLab's and Gitea's classes have these methods.

Each raises a JobError where the forge refuses; UnsupportedRepository where it has no such thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from github_worker.contract import BaseMerged, MergeMethod
from github_worker.forge.checks import Check
from github_worker.forge.client import Client
from github_worker.forge.pull_request import (
    Comparison,
    FullName,
    Merge,
    MergeOptions,
    PullRequest,
    PullRequestTexts,
)


class PullRequests(Protocol):
    """The pull requests of a repository."""

    async def find_open(self, head: str, base: str) -> PullRequest | None:
        """Return the open pull request from `head`, a fork's as `owner:branch`, into `base`."""

    async def find_merged(self, head: str, base: str) -> PullRequest | None:
        """Return the newest merged pull request from `head` into `base`."""

    async def list_recent_titles(self, base: str, count: int) -> list[str]:
        """Return the titles of the newest pull requests into `base`."""
        ...

    async def get(self, number: int) -> PullRequest:
        """Return one pull request; raise PullRequestNotMergeable where there is none of this number."""
        ...

    async def open(self, texts: PullRequestTexts, *, head: str, base: str, **options: bool) -> PullRequest:
        """Open a pull request, one even if a response is lost; raise PullRequestExists if there was one.

        `options` are `draft` and `maintainer_can_modify`.
        """
        ...

    async def update(self, number: int, texts: PullRequestTexts) -> PullRequest:
        """Change the title and the body of a pull request, as far as they are given."""
        ...

    async def request_reviews(self, number: int, people: Sequence[str], teams: Sequence[str]) -> None:
        """Ask people and teams to review a pull request."""

    async def merge(self, pull_request: PullRequest, sha: str, options: MergeOptions) -> Merge:
        """Merge a pull request whose head is `sha`; raise PullRequestNotMergeable or MergeConflict."""
        ...

    async def rebase_branch(self, pull_request: PullRequest) -> None:
        """Rebase the branch of a pull request onto its base; it may move only after this returns."""

    async def enable_auto_merge(self, pull_request: PullRequest, head: str, options: MergeOptions) -> None:
        """Let the forge merge a pull request when its rules are met; raise ReadyToMerge where they are."""


class Issues(Protocol):
    """What a forge keeps of a pull request as of an issue."""

    async def add_labels(self, number: int, labels: Sequence[str]) -> None:
        """Add labels."""

    async def add_assignees(self, number: int, logins: Sequence[str]) -> None:
        """Assign people; raise PermissionDenied for those whom the forge passes over."""

    async def set_milestone(self, number: int, milestone: int) -> None:
        """Set the milestone."""


class Repository(Protocol):
    """A repository on a forge, and the client that sends what is asked of it."""

    name: FullName

    @property
    def client(self) -> Client:
        """What sends the requests; `client.forge` is the forge's name."""
        ...

    @property
    def pull_requests(self) -> PullRequests:
        """The repository's pull requests."""
        ...

    @property
    def issues(self) -> Issues:
        """The same as issues."""
        ...

    async def list_merge_methods(self, base: str) -> list[MergeMethod]:
        """Return the ways of merging into `base` that are allowed, a plain merge first."""
        ...

    async def merge_base(self, pull_request: PullRequest) -> BaseMerged | None:
        """Merge a pull request's base into its branch, None where there is nothing to merge.

        Raise MergeConflict, and MethodRefused where the branch is to be rebased instead.
        """

    async def compare(self, base: str, head: str) -> Comparison:
        """Return the commits and files of `head` that `base` has not."""
        ...

    async def get_message(self, sha: str) -> str:
        """Return the message of a commit."""
        ...

    async def find_tip(self, branch: str) -> str | None:
        """Return the commit that a branch is at, None where it does not exist."""

    async def delete_branch(self, branch: str) -> None:
        """Delete a branch; raise BranchNotFound if it is gone."""

    async def list_checks(self, pull_request: PullRequest) -> list[Check]:
        """Return the checks of a pull request's head."""
        ...

    async def list_upcoming_checks(self, pull_request: PullRequest, age: float) -> list[Check]:
        """Return what will bring checks to a head, which was seen so many settling times ago."""
        ...

    async def list_required_checks(self, branch: str) -> set[str]:
        """Return the names of the checks without which nothing is merged into `branch`."""
        ...
