"""GitLab's responses: the fields of its API that this service reads, and what they are on every forge."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from github_worker.contract import MergeMethod
from github_worker.forge.checks import Check, CheckState
from github_worker.forge.pull_request import (
    AutoMerge,
    ChangedFile,
    Commit,
    CommitMessage,
    Comparison,
    PullRequest,
    RepositoryRef,
    Tip,
)

# Each says that GitLab is still finding out.
_CHECKING = {
    "approvals_syncing",
    "cannot_be_merged_recheck",
    "checking",
    "preparing",
    "unchecked",
}
_CONFLICTS = {"cannot_be_merged", "conflict"}
_READY = {"can_be_merged", "mergeable"}
# A pipeline is waited for, or not: the merge itself is what is refused without one.
_MERGEABLE = _READY | {"ci_must_pass", "ci_still_running"}
_PASSED = {"skipped", "success"}
_FAILED = {"canceled", "canceling", "failed"}
PIPELINE = "pipeline"


class User(Struct, frozen=True):
    """A person."""

    id: int
    username: str


class _Shas(Struct, frozen=True):
    start_sha: str | None = None


class Pipeline(Struct, frozen=True):
    """What the checks of a commit are; that of a merge request may be of its merge into the base."""

    status: str
    sha: str = ""
    ref: str = ""

    def read(self, head: str) -> Check | None:
        """Read the check that it is of a head, None where it is an earlier one's."""
        if self.sha != head and not self.ref.endswith("/merge"):
            return None
        state: CheckState = "failed" if self.status in _FAILED else "pending"
        return Check(PIPELINE, "passed" if self.status in _PASSED else state)


class MergeRequest(Struct, frozen=True):
    """A merge request; a list of them leaves out what follows `squash_commit_sha`."""

    iid: int
    title: str
    state: str
    web_url: str
    source_branch: str
    target_branch: str
    source_project_id: int | None = None
    target_project_id: int | None = None
    sha: str | None = None
    draft: bool = False
    assignees: list[User] | None = None
    reviewers: list[User] | None = None
    merged_at: str | None = None
    merge_status: str | None = None
    detailed_merge_status: str | None = None
    merge_when_pipeline_succeeds: bool = False
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    diff_refs: _Shas | None = None
    head_pipeline: Pipeline | None = None
    rebase_in_progress: bool = False
    merge_error: str | None = None

    @property
    def status(self) -> str:
        """Why it can or cannot be merged; before GitLab 15.6 there is only whether."""
        return self.detailed_merge_status or self.merge_status or "unchecked"

    @property
    def is_checking(self) -> bool:
        """Whether GitLab is still finding out whether it can be merged."""
        return self.status in _CHECKING

    @property
    def is_ready(self) -> bool:
        """Whether nothing is in the way of merging it."""
        return self.status in _READY

    @property
    def has_conflicts(self) -> bool:
        """Whether it conflicts with its base."""
        return self.status in _CONFLICTS

    @property
    def result(self) -> str | None:
        """The commit that the base is at since it was merged; a fast-forward makes none."""
        return self.merge_commit_sha or self.squash_commit_sha or self.sha

    def read(self) -> PullRequest:
        """Read it as any forge's; its states are told in the words of the others."""
        is_merged = self.state == "merged"
        is_open = self.state in {"opened", "locked"}
        mergeable = None if self.is_checking or not is_open else self.status in _MERGEABLE
        return PullRequest(
            number=self.iid,
            title=self.title,
            state="open" if is_open else "closed",
            html_url=self.web_url,
            head=Tip(self.source_branch, self.sha or "", _ref(self.source_project_id)),
            base=Tip(self.target_branch, self._base_sha, _ref(self.target_project_id)),
            auto_merge=AutoMerge() if self.merge_when_pipeline_succeeds else None,
            merged_at=(self.merged_at or self.state) if is_merged else None,
            merge_commit_sha=self.result if is_merged else None,
            mergeable=mergeable,
            mergeable_state="dirty" if self.has_conflicts else self.status,
        )

    @property
    def _base_sha(self) -> str:
        return (self.diff_refs.start_sha if self.diff_refs else None) or ""


def _ref(project_id: int | None) -> RepositoryRef | None:
    # by its number: a fork's path is not told
    return None if project_id is None else RepositoryRef(str(project_id))


class Project(Struct, frozen=True):
    """How merge requests are merged in a project; left out for a token that may not see it."""

    merge_method: Literal["merge", "rebase_merge", "ff"] = "merge"
    squash_option: Literal["never", "always", "default_on", "default_off"] = "default_off"
    only_allow_merge_if_pipeline_succeeds: bool | None = None

    @property
    def needs_rebase(self) -> bool:
        """Whether a branch must be up to date with its base."""
        return self.merge_method != "merge"

    @property
    def methods(self) -> list[MergeMethod]:
        """The ways of merging, a plain merge first; a project has one beside squashing."""
        plain: MergeMethod = "rebase" if self.merge_method == "ff" else "merge"
        allowed: dict[MergeMethod, bool] = {
            plain: self.squash_option != "always",
            "squash": self.squash_option != "never",
        }
        return [method for method, is_allowed in allowed.items() if is_allowed]


class _Commit(Struct, frozen=True):
    id: str
    message: str = ""


class Branch(Struct, frozen=True):
    """A branch and its newest commit."""

    commit: _Commit


class _Diff(Struct, frozen=True):
    new_path: str
    old_path: str
    new_file: bool = False
    renamed_file: bool = False
    deleted_file: bool = False
    diff: str = ""

    def read(self) -> ChangedFile:
        """Read it as any forge's; its lines are counted, which GitLab does not."""
        kinds = {"added": self.new_file, "removed": self.deleted_file, "renamed": self.renamed_file}
        lines = self.diff.splitlines()
        return ChangedFile(
            filename=self.new_path,
            status=next((kind for kind, is_it in kinds.items() if is_it), "modified"),
            additions=sum(line.startswith("+") for line in lines),
            deletions=sum(line.startswith("-") for line in lines),
            patch=self.diff or None,
            previous_filename=self.old_path if self.renamed_file else None,
        )


class Compared(Struct, frozen=True):
    """The commits and files of a branch that another has not."""

    commits: list[_Commit] = field(default_factory=list)
    diffs: list[_Diff] = field(default_factory=list)

    def read(self) -> Comparison:
        """Read it as any forge's."""
        return Comparison(
            ahead_by=len(self.commits),
            commits=[Commit(commit.id, CommitMessage(commit.message)) for commit in self.commits],
            files=[diff.read() for diff in self.diffs],
        )
