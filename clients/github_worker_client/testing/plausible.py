"""Plausible answers: an operation's stages, and a result made from the request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from github_worker.contract import (
    AnyEvent,
    AutoPullRequest,
    BaseMerged,
    BranchCreated,
    BranchMerged,
    BranchStarted,
    BranchSwitched,
    BranchSynced,
    BranchTip,
    Change,
    Cloned,
    CloneRepository,
    CommitAndPush,
    Committed,
    CreateBranch,
    CreatePullRequest,
    InitSession,
    InspectSession,
    MergePullRequest,
    Progress,
    PullRequestFinished,
    PullRequestLink,
    PullRequestMerged,
    PullRequestOpened,
    RepositoryUrl,
    Request,
    Result,
    SessionInitialised,
    SessionInspected,
    SessionNamed,
    Stage,
    SwitchBranch,
    SyncBranch,
    Tagged,
)
from github_worker_client.testing.script import Stream, completed, queued, transferred

_CLONING: tuple[Stage, ...] = ("downloading_session", "new_session", "cloning", "cloned")
_TRANSFERS: frozenset[Stage] = frozenset({"downloading_session", "cloning", "uploading"})
_NAMING: tuple[Stage, ...] = ("generating_name", "name_generated")
_BRANCHING: tuple[Stage, ...] = ("creating_branch", "pushing")
_DOING: tuple[Stage, ...] = ("committing", "committed", "pushing", "pushed", "tagging", "uploading")
STAGES: Mapping[str, tuple[Stage, ...]] = {
    "clone-repository": (*_CLONING, "uploading"),
    "create-branch": ("downloading_session", *_NAMING, *_BRANCHING, "uploading"),
    "commit-and-push": (
        "downloading_session",
        "analyzing",
        "changes_detected",
        "generating_message",
        "committing",
        "committed",
        "pushing",
        "pushed",
        "tagging",
        "uploading",
    ),
    "init-session": (*_CLONING, *_NAMING, *_BRANCHING, "uploading"),
    "create-pull-request": ("creating_pr", "pr_created"),
    "merge-pull-request": ("merging_pr", "pr_merged"),
    "auto-pull-request": (
        "creating_pr",
        "pr_created",
        "merging_base",
        "base_merged",
        "waiting_mergeable",
        "merging_pr",
        "pr_merged",
        "deleting_branch",
    ),
    "sync-branch": ("downloading_session", "fetching_base", "syncing", "synced", "uploading"),
    "switch-branch": ("downloading_session", "switching_branch", "branch_switched", "uploading"),
    "inspect-session": ("downloading_session", "analyzing", "inspected"),
}


def plausible(request: Request, line: int = 0) -> Stream:
    """Answer with the stages and the result of an operation that goes well, behind `line` others."""
    stages = _list_stages(request)
    result = _result(request)
    done = completed(result, dict.fromkeys(stages, 1))
    told = [event for stage in stages for event in _tell(stage, result)]
    waited = [queued(position) for position in range(line, 0, -1)]
    return Stream((*waited, *told, *_announcements(result), done))


def _tell(stage: Stage, result: Result) -> list[AnyEvent]:
    commit = result.commit_hash if isinstance(result, Committed) and stage == "committed" else None
    counts = [transferred(stage)] if stage in _TRANSFERS else []
    return [Progress(stage=stage, message=stage, commit_hash=commit), *counts]


def _list_stages(request: Request) -> tuple[Stage, ...]:
    stages = STAGES[request.operation]
    if isinstance(request, SyncBranch) and request.force_with_lease:
        return (*stages[:-1], "pushing", "pushed", stages[-1])
    if isinstance(request, AutoPullRequest):
        passed = {"waiting_mergeable", "pr_merged", "deleting_branch"} if request.auto_merge else set()
        passed |= set() if request.delete_branch else {"deleting_branch"}
        return tuple(stage for stage in stages if stage not in passed)
    if isinstance(request, CommitAndPush):
        passed = set(_DOING) if request.dry_run else set() if request.tag else {"tagging"}
        return tuple(stage for stage in stages if stage not in passed)
    return stages


def _result(request: Request) -> Result:
    match request:
        case CloneRepository():
            return _clone(request)
        case CreateBranch():
            return _start_branch(request)
        case CommitAndPush():
            return _commit(request)
        case InitSession():
            return _initialise(request)
        case CreatePullRequest():
            return _open(request)
        case MergePullRequest():
            return PullRequestMerged(merged=True, sha=_hash(request), message="Merged")
        case AutoPullRequest():
            return _finish(request)
        case SyncBranch():
            return _sync(request)
        case SwitchBranch():
            return _switch(request)
        case InspectSession():
            return _inspect(request)
    raise NotImplementedError(request.operation)


def _clone(request: CloneRepository) -> Cloned:
    return Cloned(
        cloned_path=request.directory or RepositoryUrl.parse(request.repo_url).name,
        branch=request.branch or "main",
        was_cloned=True,
        commit=_hash(request),
        pulled=False,
    )


def _start_branch(request: CreateBranch) -> BranchCreated:
    url = RepositoryUrl.parse(request.repo_url or "https://github.com/owner/repo")
    branch = _branch(request.session_id, request.user_request)
    return BranchCreated(
        branch_name=branch,
        session_title=_title(request.user_request),
        session_path=_path(url, branch),
        base_branch=request.base_branch,
        commit=_hash(request),
        pushed=True,
    )


def _commit(request: CommitAndPush) -> Committed:
    target = _hash(request)
    tag = Tagged(name=request.tag.name, target=target, pushed=True) if request.tag else None
    changed = Change(status="M", path=request.paths[0] if request.paths else "README.md", insertions=1)
    return Committed(
        commit_hash=target,
        commit_message=request.message or "Update README.md",
        branch=_branch(request.session_id, "work"),
        pushed=not request.dry_run,
        files_changed=1,
        insertions=1,
        deletions=0,
        tag=None if request.dry_run else tag,
        dry_run=request.dry_run,
        files=(changed,) if request.dry_run else (),
    )


def _initialise(request: InitSession) -> SessionInitialised:
    url = RepositoryUrl.parse(request.repo_url)
    branch = _branch(request.session_id, request.user_request)
    return SessionInitialised(
        cloned_path=request.directory or url.name,
        branch=branch,
        was_cloned=True,
        commit=_hash(request),
        pulled=False,
        branch_name=branch,
        session_title=_title(request.user_request),
        session_path=_path(url, branch),
        base_branch=request.branch or "main",
        pushed=True,
    )


def _open(request: CreatePullRequest) -> PullRequestOpened:
    return PullRequestOpened(
        number=1,
        title=request.title or "Update README.md",
        state="open",
        html_url=_pull(request),
        head=BranchTip(ref=request.head or "webedt/work", sha=_hash(request)),
        base=BranchTip(ref=request.base, sha=_hash(request)),
        mergeable=None,
        merged=False,
    )


def _finish(request: AutoPullRequest) -> PullRequestFinished:
    merged = not request.auto_merge
    return PullRequestFinished(
        step=("branch_deleted" if request.delete_branch else "pr_merged") if merged else "auto_merge_enabled",
        pr=PullRequestLink(number=1, html_url=_pull(request)),
        merge_base=BaseMerged(sha=_hash(request), message="Already up to date"),
        merge_pr=BranchMerged(merged=merged, sha=_hash(request) if merged else None),
    )


def _sync(request: SyncBranch) -> BranchSynced:
    return BranchSynced(
        branch=_branch(request.session_id, "work"),
        base_branch=request.base or "main",
        commit=_hash(request),
        base_commit=_hash(request),
        outcome=request.method,
        commits=1,
        force_pushed=request.force_with_lease,
    )


def _switch(request: SwitchBranch) -> BranchSwitched:
    return BranchSwitched(
        branch=request.branch,
        previous_branch=_branch(request.session_id, "work"),
        commit=_hash(request),
        switched=True,
        created=False,
    )


def _inspect(request: InspectSession) -> SessionInspected:
    branch = _branch(request.session_id, "work")
    return SessionInspected(
        cloned_path="repo",
        branch=branch,
        commit=_hash(request),
        upstream=f"origin/{branch}",
        ahead=0,
        behind=0,
        merging=False,
        files_changed=0,
        insertions=0,
        deletions=0,
        changes=(),
        unpushed_commits=0,
        unpushed=(),
        patch=None if request.patch_bytes is None else "",
    )


def _pull(request: CreatePullRequest | AutoPullRequest) -> str:
    if request.repo_url is not None:
        return f"{str(RepositoryUrl.parse(request.repo_url)).removesuffix('.git')}/pull/1"
    return f"https://github.com/{request.owner or 'owner'}/{request.repo or 'repo'}/pull/1"


def _announcements(result: Result) -> tuple[AnyEvent, ...]:
    if not isinstance(result, BranchCreated | SessionInitialised):
        return ()
    branch = result.branch_name
    started = BranchStarted(
        branch_name=branch,
        base_branch=result.base_branch,
        session_path=result.session_path,
        message=f"Branch {branch} created",
    )
    title = result.session_title
    return started, SessionNamed(session_name=title, branch_name=branch, message=f"Session named {title}")


def _hash(request: Request) -> str:
    session_id = getattr(request, "session_id", None)
    return hashlib.sha256(f"{request.operation} {session_id} {request.request_id}".encode()).hexdigest()[:40]


def _branch(session_id: str, words: str) -> str:
    slug = "-".join(re.findall(r"[a-z0-9]+", words.lower())[:4])[:40].rstrip("-") or "work"
    return f"webedt/{slug}-{session_id[-8:]}"


def _title(words: str) -> str:
    return " ".join(words.split()[:6]).capitalize()


def _path(url: RepositoryUrl, branch: str) -> str:
    return f"{url.groups.replace('/', '__')}__{url.name}__{branch.replace('/', '-')}"
