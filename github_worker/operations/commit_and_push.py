"""POST /commit-and-push."""

from __future__ import annotations

import asyncio

from github_worker.contract import CommitAndPush, Committed
from github_worker.git import commits
from github_worker.git.repository import Person, Repository
from github_worker.git.worktree import stage
from github_worker.naming import CommitContext
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.services import Services
from github_worker.sessions.transaction import outcome, saving
from github_worker.workspace.conflicts import carry_branch
from github_worker.workspace.push import Pushed, push
from github_worker.workspace.repository import open_workspace, require
from github_worker.workspace.secrets import refuse, request_secrets, screen, warn_of

_RECENT = 10  # subjects that show the model the repository's convention


async def commit_and_push(request: CommitAndPush, services: Services, report: Report) -> Committed:
    """Commit everything that changed in the session's repository, and push it."""
    secrets = request_secrets(request)  # as long as the job runs, so that each is masked
    session = await services.sessions.open(request.session_id, report)
    if done := outcome(request, session, Committed):
        return done
    location = require(session)
    report("analyzing", "Looking for changes")
    workspace = await asyncio.to_thread(open_workspace, session, location, services, request.access_token)
    repository = workspace.repository
    branch = repository.branch
    staged = await asyncio.to_thread(stage, repository, workspace.nested, workspace.misnamed)
    for path, why in staged.left_out:
        report.warning("left_out", f"{path} was left out: {why}")
    summary = await asyncio.to_thread(commits.summarise, repository)
    is_commit_due = bool(summary.changes) or repository.is_merging
    if not is_commit_due and _is_pushed(repository, branch):
        return _skipped(repository, branch)
    await _screen(request, secrets, repository, summary.tree, report)
    carry = carry_branch(workspace, services, switch=False)
    async with saving(services.sessions, session, request, report, carry) as save:
        save.worktree_ready()
        if is_commit_due:
            report("changes_detected", _counted(len(summary.changes)))
            message = await _message(request, summary, repository, services, report)
            report("committing", message.partition("\n")[0])
            author = (
                Person(request.author.name, request.author.email) if request.author else services.committer
            )
            commit = await asyncio.to_thread(commits.create, repository, summary.tree, message, author)
            report("committed", commit)
        pushed = await push(repository, branch, save)
        if pushed.error is None:
            workspace.set_upstream(branch)
        result = _committed(repository, branch, summary, pushed)
        save.keep(result)
    return outcome(request, save.session, Committed) or result


async def _screen(
    request: CommitAndPush, secrets: tuple[Secret, ...], repository: Repository, tree: str, report: Report
) -> None:
    findings = await asyncio.to_thread(screen, repository, secrets, tree, (request.message or "").encode())
    if request.allow_secrets:
        warn_of(findings, report)
    else:
        refuse(findings)


async def _message(
    request: CommitAndPush,
    summary: commits.Summary,
    repository: Repository,
    services: Services,
    report: Report,
) -> str:
    report("generating_message", "Describing the changes")
    text = request.message.strip() if request.message else ""
    if not text:
        context = CommitContext(
            changes=summary.changes,
            patches=summary.patches,
            recent_subjects=repository.recent_subjects(_RECENT),
        )
        named = await services.namer.commit(context, request.claude_credentials)
        if named.fallback:
            report("fallback", f"Described without the model: {named.fallback}")
        text = named.text
    return f"{text}\n\nCommitted-by: {request.user_id}\n" if request.user_id else f"{text}\n"


def _counted(files: int) -> str:
    return "1 file changed" if files == 1 else f"{files} files changed"


def _is_pushed(repository: Repository, branch: str) -> bool:
    return repository.head is None or repository.head == repository.tracked(branch)


def _skipped(repository: Repository, branch: str) -> Committed:
    return Committed(
        commit_hash=repository.head,
        commit_message=repository.message(repository.head) if repository.head else "",
        branch=branch,
        pushed=False,
        files_changed=0,
        insertions=0,
        deletions=0,
        skipped=True,
        reason="Nothing has changed, and everything is pushed",
    )


def _committed(repository: Repository, branch: str, summary: commits.Summary, pushed: Pushed) -> Committed:
    return Committed(
        commit_hash=pushed.tip,
        commit_message=repository.message(pushed.tip),
        branch=branch,
        pushed=pushed.error is None,
        push_error=pushed.error,
        files_changed=len(summary.changes),
        insertions=summary.insertions,
        deletions=summary.deletions,
    )
