"""GitHub's responses: the fields of its REST API that this service reads."""

from __future__ import annotations

from msgspec import Struct

from github_worker.contract import MergeMethod


class _User(Struct, frozen=True):
    login: str


class _Milestone(Struct, frozen=True):
    number: int


class Issue(Struct, frozen=True):
    """An issue, or a pull request as one."""

    assignees: list[_User] | None = None
    milestone: _Milestone | None = None


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
