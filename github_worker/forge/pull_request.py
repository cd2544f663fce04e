"""A pull request and what belongs to it, in the words of GitHub's API."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from msgspec import Struct

from github_worker.contract import MergeMethod
from github_worker.errors import PullRequestExists, PullRequestNotMergeable

_MAX_TITLE = 255  # characters, on GitLab, Gitea and Forgejo


class FullName(NamedTuple):
    """A repository by its owner and name."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def path(self) -> str:
        """The repository's path in the APIs of GitHub and Gitea."""
        return f"/repos/{quote(self.owner, safe='')}/{quote(self.name, safe='')}"


class RepositoryRef(Struct, frozen=True):
    """The repository that a branch is in."""

    full_name: str

    @property
    def owner(self) -> str:
        """The repository's owner."""
        return self.full_name.partition("/")[0]


class Tip(Struct, frozen=True):
    """A branch of a pull request, and its commit; `repo` is null when the fork is gone."""

    ref: str
    sha: str
    repo: RepositoryRef | None = None


class AutoMerge(Struct, frozen=True):
    """What is said of a pull request that the forge merges when its rules are met."""


class PullRequest(Struct, frozen=True, kw_only=True):
    """A pull request; a list of them leaves out `mergeable` and what follows.

    `merge_commit_sha` goes with version 2026-03-10 of the API.
    """

    number: int
    title: str
    state: str
    html_url: str
    head: Tip
    base: Tip
    node_id: str = ""
    auto_merge: AutoMerge | None = None
    merged_at: str | None = None
    merge_commit_sha: str | None = None
    mergeable: bool | None = None
    mergeable_state: str | None = None

    @property
    def is_merged(self) -> bool:
        """Whether it is merged."""
        return self.merged_at is not None

    def is_from(self, head: str) -> bool:
        """Tell whether it is from the branch `head`: the repository's own, or a fork's as `owner:branch`."""
        owner, _, branch = head.rpartition(":")
        if owner:
            is_same = self.head.repo is not None and self.head.repo.owner.lower() == owner.lower()
        else:
            is_same = self.head.repo is None or self.base.repo is None or self.head.repo == self.base.repo
        return self.head.ref == branch and is_same


class PullRequestTexts(Struct, frozen=True):
    """The title and the body of a pull request; None where one is not to be changed."""

    title: str | None
    body: str | None


class MergeOptions(Struct, frozen=True, kw_only=True):
    """The way to merge a pull request; the forge decides what is not given.

    `delete_branch` is for a merge that is left to the forge, as far as it can.
    """

    method: MergeMethod | None = None
    title: str | None = None
    text: str | None = None
    delete_branch: bool = False


class Merge(Struct, frozen=True):
    """The commit that merging a pull request made."""

    sha: str | None = None
    message: str = "Merged"


class CommitMessage(Struct, frozen=True):
    """A commit's message, as git has it."""

    message: str = ""


class Commit(Struct, frozen=True):
    """A commit and its message."""

    sha: str
    commit: CommitMessage = CommitMessage()


class ChangedFile(Struct, frozen=True):
    """A file that differs; `status` is GitHub's word: added, removed, modified, renamed, …"""

    filename: str
    status: str = "modified"
    additions: int = 0
    deletions: int = 0
    patch: str | None = None
    previous_filename: str | None = None


class Comparison(Struct, frozen=True):
    """The commits and files of a branch that another has not."""

    ahead_by: int
    commits: list[Commit]
    files: list[ChangedFile] | None = None


def no_pull_request(repository: FullName, number: int) -> PullRequestNotMergeable:
    """Return the error that says that there is no pull request of a number."""
    return PullRequestNotMergeable(f"{repository} has no pull request #{number}")


def draft_title(title: str, prefix: str, *, draft: bool) -> str:
    """Return a title as it is on a forge where drafts are those whose title begins with a prefix."""
    marked = f"{prefix}{title}" if draft and not title.startswith(prefix) else title
    return marked[:_MAX_TITLE]


def exists_error(pull_request: PullRequest) -> PullRequestExists:
    """Return the error that says which pull request there is already."""
    return PullRequestExists(
        f"There is an open pull request already: #{pull_request.number} ({pull_request.html_url})",
        data={"number": pull_request.number, "htmlUrl": pull_request.html_url},
    )
