"""A job's result as the few lines that a person wants of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from github_worker.contract import (
    BranchCreated,
    BranchSwitched,
    BranchSynced,
    Change,
    Cloned,
    Committed,
    FileChange,
    PullRequestFinished,
    PullRequestMerged,
    PullRequestOpened,
    PushError,
    Result,
    SessionInitialised,
    SessionInspected,
)

Row = tuple[str, str]
PUSHED = "Pushed"
_SHOWN_OF_SHA = 12
_STEPS = {
    "auto_merge_enabled": "the forge merges it when its rules are met",
    "pr_merged": "merged",
    "branch_deleted": "merged, and its branch is deleted",
}


def is_pushed(result: Result) -> bool:
    """Tell whether a result's branch and tag are on the remote, where they were to be."""
    if (tag := getattr(result, "tag", None)) is not None and not tag.pushed:
        return False
    return any(getattr(result, name, name == "pushed") for name in ("pushed", "skipped", "dry_run"))


def list_rows(result: Result) -> list[Row]:
    """Return what is to be shown of a result, as labels and texts; those without a text are left out."""
    return [(label, text) for label, text in _choose_rows(result) if text]


def _choose_rows(result: Result) -> Iterator[Row]:
    match result:
        case SessionInitialised():
            yield from _list_branch(result)
            yield "Folder", result.cloned_path
        case BranchCreated():
            yield from _list_branch(result)
        case Cloned():
            yield "Branch", result.branch
            yield "Commit", _shorten(result.commit)
            yield "Folder", f"{result.cloned_path}, {_describe_clone(result)}"
        case Committed():
            yield from _list_commit(result)
        case PullRequestOpened():
            yield "Pull request", f"#{result.number} {result.title}"
            yield "State", result.state
            yield "Branch", f"{result.head.ref} into {result.base.ref}"
            yield "Commit", _shorten(result.head.sha)
            yield "Page", result.html_url
        case PullRequestMerged():
            yield "Merged", result.message
            yield "Commit", _shorten(result.sha)
        case PullRequestFinished():
            yield "Pull request", f"#{result.pr.number}, {_STEPS.get(result.step, result.step)}"
            yield "Commit", _shorten(result.merge_pr.sha)
            yield "Page", result.pr.html_url
        case BranchSynced():
            yield from _list_sync(result)
        case BranchSwitched():
            yield "Branch", result.branch
            yield "Commit", _shorten(result.commit)
        case SessionInspected():
            yield from _list_inspection(result)


def _list_branch(result: SessionInitialised | BranchCreated) -> Iterator[Row]:
    yield "Title", result.session_title
    yield "Branch", f"{result.branch_name}, from {result.base_branch}"
    yield "Commit", _shorten(result.commit)
    yield PUSHED, _describe_push(pushed=result.pushed, error=result.push_error)


def _list_commit(result: Committed) -> Iterator[Row]:
    yield "Skipped", result.reason or ""
    yield "Dry run", "nothing was committed or pushed" if result.dry_run else ""
    yield "Branch", result.branch
    yield "Commit", _shorten(None if result.dry_run else result.commit_hash)
    if not result.skipped:
        yield "Message", result.commit_message.partition("\n")[0]
        files = "1 file" if result.files_changed == 1 else f"{result.files_changed} files"
        yield "Changes", f"{files}, +{result.insertions} -{result.deletions}"
    yield from _list_changes(result.files)
    if not (result.skipped or result.dry_run):
        yield PUSHED, _describe_push(pushed=result.pushed, error=result.push_error)
    if (tag := result.tag) is not None:
        yield "Tag", f"{tag.name} at {_shorten(tag.target)}"
        yield PUSHED, _describe_push(pushed=tag.pushed, error=tag.push_error)


def _list_changes(changes: Iterable[Change | FileChange]) -> Iterator[Row]:
    for change in changes:
        yield "Change", f"{change.status} {change.path}, +{change.insertions} -{change.deletions}"


def _list_sync(result: BranchSynced) -> Iterator[Row]:
    yield "Branch", f"{result.branch}, with {result.base_branch}: {result.outcome}"
    yield "Commit", _shorten(result.commit)
    yield "Conflicts", ", ".join(result.conflicts)
    yield "Forced", "yes, with a lease" if result.force_pushed else ""


def _list_inspection(result: SessionInspected) -> Iterator[Row]:
    yield "Branch", result.branch or "none: HEAD is detached"
    yield "Commit", _shorten(result.commit)
    if result.ahead is not None:
        yield "Upstream", f"{result.upstream}, ahead {result.ahead}, behind {result.behind}"
    yield "Merge", "in progress" if result.merging else ""
    yield from _list_changes(result.changes)
    for commit in result.unpushed:
        yield "Unpushed", f"{_shorten(commit.commit)} {commit.subject}"
    yield "Patch", result.patch or ""


def _describe_clone(result: Cloned) -> str:
    if result.was_cloned:
        return "cloned"
    return "brought up to date" if result.pulled else "left as it is"


def _describe_push(*, pushed: bool, error: PushError | None) -> str:
    if pushed:
        return "yes"
    return f"no: {error.message} ({error.code})" if error else "no"


def _shorten(commit: str | None) -> str:
    return (commit or "")[:_SHOWN_OF_SHA]
