"""The answers: what each job achieved, which its `completed` event carries, health, status, refusals."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Struct

from github_worker.contract.events import SOURCE, Source, Timestamp
from github_worker.contract.fields import describe

WorkerStatus = Annotated[
    Literal["idle", "busy"], describe("Whether the worker waits for its job or works at it.", "idle")
]
_HealthStatus = Annotated[
    Literal["idle", "busy", "draining"],
    describe("Whether the worker waits, works, or was told to stop and takes no job any more.", "idle"),
]
ChangeStatus = Literal["A", "M", "D", "R", "C", "T"]  # git-diff(1), --name-status
_SHA = "5716ca5987cbf97d6bb54920bea6adde242d87e6"
_BRANCH = "webedt/dark-mode-7c1e2d90"
_BranchName = Annotated[str, describe("The session's new branch.", _BRANCH)]
_SessionTitle = Annotated[str, describe("A short title for the session.", "Dark mode")]
_SessionPath = Annotated[
    str, describe("Owner, repository and branch in one word.", "acme__shop__webedt-dark-mode-7c1e2d90")
]
_BaseBranch = Annotated[str, describe("The branch that it was started at.", "main")]
_Pushed = Annotated[bool, describe("Whether the branch is on the remote as it is in the session.", True)]
_Number = Annotated[int, describe("The pull request's number.", 42)]
_Link = Annotated[
    str, describe("The pull request's page on the forge.", "https://github.com/acme/shop/pull/42")
]
_Merged = Annotated[bool, describe("Whether the pull request is merged.", True)]
_MergeCommit = Annotated[
    str | None, describe("The commit that the base is at since; null where the forge does not say.", _SHA)
]
_ContainerId = Annotated[
    str, describe("The worker that answers: the name of its host or container.", "3f2a9c61d5e7")
]


class Result(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a job that went well."""


class PushError(Result, frozen=True, kw_only=True):
    """The reason of a push that failed; the commit or branch is in the session all the same."""

    code: Annotated[str, describe("One of the error codes.", "push_conflict")]
    message: Annotated[str, describe("The reason, for a person.", "The remote refused the push.")]


_PushFailure = Annotated[
    PushError | None,
    describe(
        "Why it is not pushed; absent if it is.",
        PushError(code="push_rejected", message="The remote refused the push."),
    ),
]


class Cloned(Result, frozen=True, kw_only=True):
    """The session holds the repository; `pulled` says whether an existing one was fast-forwarded."""

    cloned_path: Annotated[str, describe("The repository's folder in the session's workspace.", "shop")]
    branch: Annotated[str, describe("The branch that is checked out.", "main")]
    was_cloned: Annotated[bool, describe("Whether it was cloned, false if it was there already.", True)]
    commit: Annotated[str | None, describe("The branch's tip; null before its first commit.", _SHA)]
    pulled: Annotated[bool, describe("Whether a repository that was there was fast-forwarded.", False)]


class BranchCreated(Result, frozen=True, kw_only=True):
    """The session is on its own branch."""

    branch_name: _BranchName
    session_title: _SessionTitle
    session_path: _SessionPath
    base_branch: _BaseBranch
    commit: Annotated[str | None, describe("The branch's tip; null before its first commit.", _SHA)]
    pushed: _Pushed
    push_error: _PushFailure = None


class Change(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """One file of a commit; `oldPath` is where it was renamed or copied from, the rest counts lines."""

    status: Annotated[
        ChangeStatus,
        describe("What became of it: added, modified, deleted, renamed, copied, another type.", "M"),
    ]
    path: Annotated[str, describe("The file's path.", "src/login.ts")]
    old_path: Annotated[str | None, describe("Where it was.", "src/form.ts")] = None
    insertions: Annotated[int, describe("How many lines are new.", 40)] = 0
    deletions: Annotated[int, describe("How many lines are gone.", 2)] = 0
    binary: Annotated[bool, describe("Whether it is no text, whose lines would count.", False)] = False

    @property
    def lines(self) -> int:
        """The number of lines that were added or removed."""
        return self.insertions + self.deletions


class Tagged(Result, frozen=True, kw_only=True):
    """The tag that was asked for."""

    name: Annotated[str, describe("The tag's name.", "v1.2.0")]
    target: Annotated[str, describe("The commit that it is on.", _SHA)]
    pushed: Annotated[bool, describe("Whether the tag is on the remote.", True)]
    push_error: _PushFailure = None


class Committed(Result, frozen=True, kw_only=True):
    """The branch's tip after the job, and what the new commit changed."""

    commit_hash: Annotated[str | None, describe("The branch's tip; null before its first commit.", _SHA)]
    commit_message: Annotated[str, describe("The whole message of that commit.", "Fix the login form\n")]
    branch: Annotated[str, describe("The branch that is checked out.", _BRANCH)]
    pushed: _Pushed
    files_changed: Annotated[int, describe("How many files the new commit changes.", 3)]
    insertions: Annotated[int, describe("How many lines it adds.", 40)]
    deletions: Annotated[int, describe("How many lines it removes.", 2)]
    push_error: _PushFailure = None
    skipped: Annotated[bool, describe("Whether there was nothing to commit and nothing to push.", False)] = (
        False
    )
    reason: Annotated[
        str | None, describe("Why it was skipped.", "There was nothing to commit, and everything is pushed")
    ] = None
    tag: Annotated[
        Tagged | None,
        describe(
            "The tag that was asked for, if it was made.", Tagged(name="v1.2.0", target=_SHA, pushed=True)
        ),
    ] = None
    dry_run: Annotated[bool, describe("Whether this is what would be, and nothing was done.", False)] = False
    files: Annotated[
        tuple[Change, ...],
        describe(
            "Of a `dryRun` that has something to commit, the files, of which the first 1,000 are there.",
            [Change(status="M", path="src/login.ts", insertions=40, deletions=2)],
        ),
    ] = ()


class SessionInitialised(Cloned, frozen=True, kw_only=True):
    """A cloned repository, on its own branch."""

    branch_name: _BranchName
    session_title: _SessionTitle
    session_path: _SessionPath
    base_branch: _BaseBranch
    pushed: _Pushed
    push_error: _PushFailure = None


class BranchSynced(Result, frozen=True, kw_only=True):
    """The session's branch has the commits of its base, or a merge of them that waits for a commit."""

    branch: Annotated[str, describe("The branch that is checked out.", _BRANCH)]
    base_branch: Annotated[str, describe("The branch whose commits were brought in.", "main")]
    commit: Annotated[str, describe("The branch's tip.", _SHA)]
    base_commit: Annotated[str, describe("The tip of the base branch on the remote.", _SHA)]
    outcome: Annotated[
        Literal["up-to-date", "fast-forward", "merge", "rebase", "conflicts"],
        describe("What it took; `conflicts` if a merge is in progress in the session.", "merge"),
    ]
    commits: Annotated[int, describe("How many commits of the base branch are new to the session's.", 4)]
    conflicts: Annotated[
        tuple[str, ...],
        describe("The paths whose conflicts are in the session, for somebody to resolve.", ["src/app.py"]),
    ] = ()
    force_pushed: Annotated[
        bool, describe("Whether this job pushed the branch over what was on the remote.", False)
    ] = False


class BranchSwitched(Result, frozen=True, kw_only=True):
    """The session is on another branch."""

    branch: Annotated[str, describe("The branch that is checked out.", "feature/dark-mode")]
    previous_branch: Annotated[str, describe("The one that was.", "main")]
    commit: Annotated[str | None, describe("The branch's tip; null before its first commit.", _SHA)]
    switched: Annotated[bool, describe("False if the session was on the branch already.", True)]
    created: Annotated[
        bool, describe("Whether the session had no such branch, and follows the remote's now.", True)
    ]


class FileChange(Result, frozen=True, kw_only=True):
    """A file that is not as the branch's tip has it."""

    status: Annotated[
        str,
        describe("Two letters, as `git status --porcelain` has them: of the index and of the file.", " M"),
    ]
    path: Annotated[str, describe("The file, from the repository's top.", "src/app.py")]
    insertions: Annotated[int, describe("How many lines are new.", 3)] = 0
    deletions: Annotated[int, describe("How many lines are gone.", 1)] = 0
    binary: Annotated[bool, describe("Whether it is no text, and no lines are counted.", False)] = False


class UnpushedCommit(Result, frozen=True, kw_only=True):
    """A commit that no branch of the remote has."""

    commit: Annotated[str, describe("Its id.", _SHA)]
    subject: Annotated[str, describe("The first line of its message.", "Fix the login form")]
    author: Annotated[str, describe("The name of its author.", "Ada")]
    date: Annotated[str, describe("When it was written, RFC 3339 in UTC.", "2026-01-31T09:00:00.000Z")]


class SessionInspected(Result, frozen=True, kw_only=True):
    """What the session's repository holds; the remote is as the session last saw it."""

    cloned_path: Annotated[str, describe("The repository's folder in the session's workspace.", "shop")]
    branch: Annotated[
        str | None, describe("The branch that is checked out; null where HEAD is detached.", _BRANCH)
    ]
    commit: Annotated[str | None, describe("The branch's tip; null before its first commit.", _SHA)]
    upstream: Annotated[
        str | None,
        describe("The remote's branch that it follows; null if it follows none.", f"origin/{_BRANCH}"),
    ]
    ahead: Annotated[int | None, describe("How many commits the upstream lacks; null if it is not known.", 2)]
    behind: Annotated[
        int | None, describe("How many commits of the upstream are not here; null if it is not known.", 0)
    ]
    merging: Annotated[bool, describe("Whether a merge waits to be concluded by a commit.", False)]
    files_changed: Annotated[int, describe("How many files are not as in the branch's tip.", 3)]
    insertions: Annotated[int, describe("How many lines are new.", 40)]
    deletions: Annotated[int, describe("How many lines are gone.", 2)]
    changes: Annotated[
        tuple[FileChange, ...],
        describe(
            "These files by name, the first 1,000 of them; a rename is a deletion and an addition.",
            [{"status": " M", "path": "src/app.py", "insertions": 3, "deletions": 1}],
        ),
    ]
    unpushed_commits: Annotated[
        int, describe("How many commits of the branch no branch of the remote has.", 2)
    ]
    unpushed: Annotated[
        tuple[UnpushedCommit, ...],
        describe(
            "These commits, the newest 100 of them first.",
            [
                {
                    "commit": _SHA,
                    "subject": "Fix the login form",
                    "author": "Ada",
                    "date": "2026-01-31T09:00:00.000Z",
                }
            ],
        ),
    ]
    patch: Annotated[
        str | None,
        describe(
            "The changes against the branch's tip, if asked for.", "diff --git a/src/app.py b/src/app.py\n"
        ),
    ] = None
    patch_truncated: Annotated[
        bool, describe("Whether the patch ends before the last change, since it would be too large.", False)
    ] = False


class BranchTip(Result, frozen=True, kw_only=True):
    """A branch and the commit it is at."""

    ref: Annotated[str, describe("The branch's name.", "main")]
    sha: Annotated[str, describe("The commit that it is at.", _SHA)]


class PullRequestOpened(Result, frozen=True, kw_only=True):
    """The pull request as it was opened; `mergeable` is null until GitHub knows."""

    number: _Number
    title: Annotated[str, describe("The pull request's title.", "Add a dark mode toggle")]
    state: Annotated[str, describe("The forge's word for its state.", "open")]
    html_url: _Link
    head: Annotated[BranchTip, describe("The branch that is to be merged.", BranchTip(ref=_BRANCH, sha=_SHA))]
    base: Annotated[BranchTip, describe("The branch to merge into.", BranchTip(ref="main", sha=_SHA))]
    mergeable: Annotated[
        bool | None, describe("Whether the branches merge without a conflict; null until it is known.", True)
    ]
    merged: _Merged


class PullRequestMerged(Result, frozen=True, kw_only=True):
    """The pull request is merged, by this job or before it; `sha` is the merge commit."""

    merged: _Merged
    sha: _MergeCommit
    message: Annotated[str, describe("What the forge says of it.", "Pull Request successfully merged")]


class PullRequestLink(Result, frozen=True, kw_only=True):
    """The number and the page of a pull request."""

    number: _Number
    html_url: _Link


class BaseMerged(Result, frozen=True, kw_only=True):
    """The branch contains its base; `sha` is the branch's tip."""

    sha: Annotated[str, describe("The branch's tip.", _SHA)]
    message: Annotated[str, describe("How it came to contain its base.", "Already up to date")]


class BranchMerged(Result, frozen=True, kw_only=True):
    """The base contains the branch, or will by the forge's auto-merge; `sha` is the merge commit."""

    merged: _Merged
    sha: _MergeCommit


class PullRequestFinished(Result, frozen=True, kw_only=True):
    """The pull request is merged, or will be by the forge; `step` is the last one that was achieved.

    `mergeBase` is null if it was merged before this job.
    """

    step: Annotated[
        Literal["auto_merge_enabled", "pr_merged", "branch_deleted"],
        describe("The last step that was achieved.", "branch_deleted"),
    ]
    pr: Annotated[
        PullRequestLink,
        describe(
            "The pull request.", PullRequestLink(number=42, html_url="https://github.com/acme/shop/pull/42")
        ),
    ]
    merge_base: Annotated[
        BaseMerged | None,
        describe(
            "The base in the branch; null if the pull request was merged before this job.",
            BaseMerged(sha=_SHA, message="Already up to date"),
        ),
    ]
    merge_pr: Annotated[
        BranchMerged, describe("The branch in its base.", BranchMerged(merged=True, sha=_SHA))
    ]


class Build(Struct, rename="camel", frozen=True):
    """The image that this worker runs."""

    commit_sha: Annotated[str, describe("The commit that it was built from.", _SHA)]
    timestamp: Annotated[str, describe("When it was built, as the build says.", "2026-01-31T09:00:00Z")]
    image_tag: Annotated[str, describe("The image's tag.", "0.2.0")]


class Workers(Struct, rename="camel", frozen=True, kw_only=True):
    """How many jobs work and how many wait, where many share a machine."""

    limit: Annotated[int, describe("How many jobs may work at once.", 4)]
    busy: Annotated[int, describe("How many do.", 4)]
    queued: Annotated[int, describe("How many wait for their turn.", 2)]


class Health(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """The answer of `GET /health`; `warning` says what an operator should know."""

    status: Annotated[
        Literal["ok", "failing"],
        describe("`failing`, with 503, while no process can be started that would do a job.", "ok"),
    ] = msgspec.field(default_factory=lambda: "ok")
    service: Source = msgspec.field(default_factory=lambda: SOURCE)
    worker_status: _HealthStatus
    sandbox: Annotated[
        str,
        describe(
            "What the kernel confines the process by: Landlock's version, `none` and why, or `off`.",
            "landlock 7, no-new-privs",
        ),
    ]
    container_id: _ContainerId
    version: Annotated[str, describe("The service's version.", "0.2.0")]
    build: Annotated[
        Build,
        describe(
            "The image; each is `unknown` outside of one.", Build(_SHA, "2026-01-31T09:00:00Z", "0.2.0")
        ),
    ]
    tmp_dir: Annotated[str, describe("The folder of its scratch space.", "/tmp")]  # noqa: S108 (an example)
    timestamp: Timestamp
    warning: Annotated[
        str | None,
        describe("What an operator should know, absent if nothing.", "no session store is configured"),
    ] = None


class Status(Struct, rename="camel", frozen=True, kw_only=True):
    """The answer of `GET /status`: `workers` where many jobs share a machine, else `activeOperation`."""

    status: WorkerStatus
    active_operation: Annotated[
        str | msgspec.UnsetType | None,
        describe("The operation of the job at work; null when idle.", "commit-and-push"),
    ] = msgspec.UNSET
    workers: Annotated[
        Workers | msgspec.UnsetType,
        describe("The jobs that work and that wait.", Workers(limit=4, busy=4, queued=2)),
    ] = msgspec.UNSET
    container_id: _ContainerId
    timestamp: Timestamp


class RefusalBody(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """The reason why no job was started; `retry_after` is in seconds."""

    error: Annotated[str, describe("The refusal's code.", "busy")]
    message: Annotated[str, describe("The reason, for a person.", "this worker has a job")]
    container_id: _ContainerId
    retry_after: Annotated[
        int | None, describe("Seconds until it is worth asking again, absent if it never is.", 1)
    ] = None
    available_endpoints: Annotated[
        tuple[str, ...] | None,
        describe(
            "With `not_found`, the endpoints that there are.", ["POST /clone-repository", "GET /health"]
        ),
    ] = None
