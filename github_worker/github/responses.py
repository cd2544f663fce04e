"""GitHub's responses: the fields of its REST API that this service reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from github_worker.contract import MergeMethod
from github_worker.errors import RemoteUnavailable

Kind = TypeVar("Kind")


class ApiResponse(Struct, frozen=True):
    """A response as it came; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def decode(self, kind: type[Kind]) -> Kind:
        """Read the body as a `kind`; raise RemoteUnavailable when it is none, as a proxy's page is."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RemoteUnavailable("GitHub's answer cannot be read: it is not what its API gives") from None

    @property
    def next_query(self) -> dict[str, str] | None:
        """The query of the next page, None at the last one; its host and path are not of interest."""
        link = re.search(r'<([^<>]*)>\s*;[^,<]*\brel="?next\b', self.headers.get("link", ""))
        return dict(parse_qsl(link[1].partition("#")[0].partition("?")[2])) if link else None


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
    """What is said of a pull request that GitHub merges when its rules are met."""


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


class _User(Struct, frozen=True):
    login: str


class _Milestone(Struct, frozen=True):
    number: int


class Issue(Struct, frozen=True):
    """An issue, or a pull request as one."""

    assignees: list[_User] | None = None
    milestone: _Milestone | None = None


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


class _Object(Struct, frozen=True):
    sha: str


class Ref(Struct, frozen=True):
    """A git reference."""

    object: _Object


class MergeSettings(Struct, frozen=True):
    """The ways of merging that a repository allows; left out for a token that may not write."""

    allow_merge_commit: bool | None = None
    allow_squash_merge: bool | None = None
    allow_rebase_merge: bool | None = None


class CheckRun(Struct, frozen=True):
    """A check of a commit; it has a conclusion once its status is `completed`."""

    name: str
    status: str
    conclusion: str | None = None


class CheckRuns(Struct, frozen=True):
    """A page of checks."""

    check_runs: list[CheckRun]


class _App(Struct, frozen=True):
    name: str | None = None
    slug: str | None = None


class CheckSuite(Struct, frozen=True):
    """The checks that one app has for a commit, or may come to have."""

    status: str | None = None
    app: _App | None = None
    latest_check_runs_count: int | None = None


class CheckSuites(Struct, frozen=True):
    """A page of check suites."""

    check_suites: list[CheckSuite]


class WorkflowRun(Struct, frozen=True):
    """A run of a workflow of GitHub Actions; it has a conclusion once its status is `completed`."""

    name: str | None = None
    status: str | None = None
    conclusion: str | None = None


class WorkflowRuns(Struct, frozen=True):
    """A page of workflow runs."""

    workflow_runs: list[WorkflowRun]


class CommitStatus(Struct, frozen=True):
    """The older kind of check."""

    context: str
    state: str


class CombinedStatus(Struct, frozen=True):
    """A page of the latest status of each context."""

    statuses: list[CommitStatus]


class _RequiredChecks(Struct, frozen=True):
    contexts: list[str] | None = None


class _Protection(Struct, frozen=True):
    required_status_checks: _RequiredChecks | None = None


class Branch(Struct, frozen=True):
    """A branch and the checks that its protection requires."""

    protection: _Protection | None = None


class _RequiredContext(Struct, frozen=True):
    context: str


class RuleParameters(Struct, frozen=True):
    """The parameters of a rule, of which each kind of rule has its own."""

    required_status_checks: list[_RequiredContext] | None = None
    allowed_merge_methods: list[MergeMethod] | None = None


class Rule(Struct, frozen=True):
    """A rule of a branch."""

    type: str
    parameters: RuleParameters | None = None
