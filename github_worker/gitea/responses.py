"""Gitea's responses: the fields of its API that this service reads, and what they are on every forge."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct, field

from github_worker.contract import MergeMethod
from github_worker.forge.checks import Check, CheckState
from github_worker.forge.pull_request import ChangedFile, Commit, Comparison, PullRequest, RepositoryRef, Tip

_GONE = "refs/pull/"  # where the head of a branch is kept that is gone


class _Branch(Struct, frozen=True):
    ref: str
    sha: str = ""
    label: str = ""
    repo: RepositoryRef | None = None
    repo_id: int = 0

    def read(self) -> Tip:
        """Read it as any forge's: a branch that is gone by its label, a fork that is gone by its number."""
        ref = self.label.rpartition(":")[2] if self.ref.startswith(_GONE) else self.ref
        return Tip(ref, self.sha, self.repo or RepositoryRef(str(self.repo_id)))


class GiteaPullRequest(Struct, frozen=True):
    """A pull request as Gitea has it."""

    number: int
    title: str
    state: str
    html_url: str
    head: _Branch
    base: _Branch
    draft: bool = False
    mergeable: bool = False
    merged_at: str | None = None
    merge_commit_sha: str | None = None

    def read(self) -> PullRequest:
        """Read it as any forge's: Gitea says of a conflict what it says while it is finding out."""
        return PullRequest(
            number=self.number,
            title=self.title,
            state=self.state,
            html_url=self.html_url,
            head=self.head.read(),
            base=self.base.read(),
            merged_at=self.merged_at,
            merge_commit_sha=self.merge_commit_sha if self.merged_at else None,
            mergeable=True if self.mergeable else False if self.draft else None,
            mergeable_state="a draft" if self.draft else None,
        )


class MergeSettings(Struct, frozen=True):
    """The ways of merging that a repository allows, and the one that it prefers."""

    allow_merge_commits: bool = True
    allow_squash_merge: bool = True
    allow_rebase: bool = True
    default_merge_style: str = "merge"

    @property
    def methods(self) -> list[MergeMethod]:
        """The ways of merging, a plain merge first."""
        allowed: dict[MergeMethod, bool] = {
            "merge": self.allow_merge_commits,
            "squash": self.allow_squash_merge,
            "rebase": self.allow_rebase,
        }
        return [method for method, is_allowed in allowed.items() if is_allowed]


class _User(Struct, frozen=True):
    login: str


class _Milestone(Struct, frozen=True):
    id: int


class Label(Struct, frozen=True):
    """A label of an issue."""

    name: str


class Issue(Struct, frozen=True):
    """An issue, or a pull request as one."""

    assignees: list[_User] | None = None
    milestone: _Milestone | None = None

    @property
    def logins(self) -> list[str]:
        """The people that it is assigned to."""
        return [user.login for user in self.assignees or ()]


class _TipCommit(Struct, frozen=True):
    id: str


class Branch(Struct, frozen=True):
    """A branch, its newest commit, and the checks that its protection requires: patterns of their names."""

    commit: _TipCommit
    enable_status_check: bool = False
    status_check_contexts: list[str] | None = None

    @property
    def required(self) -> set[str]:
        """The patterns without which nothing is merged."""
        return set(self.status_check_contexts or ()) if self.enable_status_check else set()


class Compared(Struct, frozen=True):
    """The commits and files of a branch that another has not; Forgejo and newer Gitea have the files."""

    total_commits: int = 0
    commits: list[Commit] | None = None
    files: list[ChangedFile] | None = None

    def read(self) -> Comparison:
        """Read it as any forge's, whose commits begin with the oldest."""
        return Comparison(self.total_commits, (self.commits or [])[::-1], self.files)


class _Status(Struct, frozen=True):
    context: str
    status: str


class CombinedStatus(Struct, frozen=True):
    """The newest status of each check of a commit; Gitea's own Actions have theirs here too."""

    statuses: list[_Status] | None = field(default=None)

    def read(self, required: set[str]) -> list[Check]:
        """Read the checks; one that a required pattern fits goes by the pattern."""
        states: dict[str, CheckState] = {"success": "passed", "warning": "passed", "pending": "pending"}
        return [
            Check(name, states.get(status.status, "failed"))
            for status in self.statuses or ()
            for name in _name(status.context, required)
        ]


def _name(context: str, patterns: set[str]) -> list[str]:
    return [pattern for pattern in patterns if fnmatchcase(context, pattern)] or [context]
