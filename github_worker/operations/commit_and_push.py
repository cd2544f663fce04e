"""POST /commit-and-push."""

from __future__ import annotations

import asyncio
from functools import partial

from github_worker.contract import CommitAndPush, Committed, NewTag, Tagged
from github_worker.git import commits
from github_worker.git.pathspec import Pathspec
from github_worker.git.repository import Person, Repository
from github_worker.naming import CommitContext
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.conflicts import carry_branch
from github_worker.workspace.push import PushOutcome, permit_push, push
from github_worker.workspace.repository import (
    Workspace,
    choose_lfs,
    forget_credentials,
    open_workspace,
    require_repository,
)
from github_worker.workspace.secrets import leave_out, refuse, request_secrets, screen, warn_of

_SHORT = 7  # characters of a commit's id, as people read it
_NOTHING = "There was nothing to commit, and everything is pushed"
_NOTHING_ELSE = "All that has changed was left out, as credentials are in it, and everything else is pushed"
_LISTED = 1000  # files of a dry run
_RECENT = 10  # subjects that show the model the repository's convention


async def commit_and_push(request: CommitAndPush, services: Services, report: Report) -> Committed:
    """Commit what changed in the session's repository, and push it."""
    async with services.sessions.transaction(request, report, Committed) as transaction:
        location = require_repository(transaction.session)
        report("analyzing", "Looking for changes")
        committer = await _choose_committer(request, services)
        token = services.token_for(request, location.url, report)
        workspace = await asyncio.to_thread(open_workspace, location, services, token, committer)
        choose_lfs(workspace, request, services, report)
        repository, branch = workspace.repository, workspace.repository.branch
        staged = summary = await asyncio.to_thread(_stage, request, workspace, services, report)
        if request.tag or _is_due(repository, branch, staged):
            summary = await asyncio.to_thread(_screen, request, services, repository, staged, report)
        is_commit_due = _is_commit_due(repository, summary)
        report("changes_detected", _count_changes(summary) if is_commit_due else "There is nothing to commit")
        tree = summary.tree if is_commit_due else None
        is_tag_due = request.tag is not None and await asyncio.to_thread(
            _is_tag_due, request.tag, repository, tree
        )
        if not (is_tag_due or _is_due(repository, branch, summary)):
            reason = _NOTHING if summary is staged else _NOTHING_ELSE
            transaction.complete(_describe_nothing(request, repository, branch, reason))
            return transaction.result
        if request.dry_run:
            message = await _message(request, summary, repository, services, report) if is_commit_due else ""
            transaction.complete(_describe_plan(repository, branch, summary, message))
            return transaction.result

        await permit_push(repository, commits.Draft(summary.tree, services.committer, ""))
        forget_credentials(location, report)
        transaction.start_upload(worktree_ready=True)
        if is_commit_due:
            await _commit(request, summary, repository, services, report)
        commit = repository.head
        outcome = await push(repository, branch, transaction, report)
        if outcome.error is None:
            location.set_upstream(branch)
        tagged = await _tag(request.tag, repository, outcome, report) if request.tag else None
        on_conflict = partial(carry_branch, workspace, services, commit, switch=False)
        transaction.complete(_describe(repository, branch, summary, outcome, tagged), on_conflict)
    return transaction.result


async def _choose_committer(request: CommitAndPush, services: Services) -> Person:
    if request.signing_key is None:
        return services.committer
    from github_worker.workspace.attribution import sign_with  # noqa: PLC0415 (few requests ask for it)

    return await sign_with(request.signing_key, request, _author(request, services), services)


def _stage(
    request: CommitAndPush, workspace: Workspace, services: Services, report: Report
) -> commits.Summary:
    """Stage what is asked for, warn of what must be left out, and compare with HEAD."""
    repository, folders = workspace.repository, workspace.location.folders
    paths = Pathspec(request.paths) if request.paths else None
    staged = commits.stage(repository, folders.nested, folders.misnamed, paths)
    for path, why in staged.left_out:
        report.warning("left_out", f"{path} was left out: {why}")
    if staged.submodules:
        from github_worker.workspace.gitlinks import record_submodules  # noqa: PLC0415 (few have any)

        record_submodules(workspace, staged.submodules, services, report)
    if paths is not None:
        commits.check_paths(repository, paths)
    summary = commits.summarise(repository, paths)
    if staged.resolved or repository.is_merging:
        _warn_of_markers(commits.find_markers(repository, summary.tree, staged.resolved), report)
    return summary


def _warn_of_markers(paths: list[str], report: Report) -> None:
    """Say which files are committed with the markers of a conflict in them, as git does without a word."""
    for path in paths:
        report.warning("conflict_markers", f"{path} is committed with a conflict's markers in it")


def _is_due(repository: Repository, branch: str, summary: commits.Summary) -> bool:
    is_pushed = repository.head is None or repository.head == repository.remote_tip(branch)
    return _is_commit_due(repository, summary) or not is_pushed


def _is_commit_due(repository: Repository, summary: commits.Summary) -> bool:
    return bool(summary.changes) or repository.is_merging


def _count_changes(summary: commits.Summary) -> str:
    files = len(summary.changes)
    return "1 file changed" if files == 1 else f"{files} files changed"


def _screen(
    request: CommitAndPush,
    services: Services,
    repository: Repository,
    summary: commits.Summary,
    report: Report,
) -> commits.Summary:
    """Find credentials in what would be pushed, do with them as the request says, and return what remains."""
    message = _add_trailers(request.message or repository.merge_message, request, repository)
    tag = f"{request.tag.name}\n{request.tag.message or ''}" if request.tag else ""
    draft = commits.Draft(summary.tree, _author(request, services), message, tag)
    key = (request.signing_key,) if request.signing_key else ()
    findings = screen(repository, (*request_secrets(request), *key), draft)
    match request.on_secret or services.settings.on_secret:
        case "refuse":
            refuse(findings)
        case "allow":
            warn_of(findings, report)
        case "leave-out" if findings:
            leave_out(repository, findings, report)
            return commits.summarise(repository, Pathspec(request.paths) if request.paths else None)
    return summary


async def _commit(
    request: CommitAndPush,
    summary: commits.Summary,
    repository: Repository,
    services: Services,
    report: Report,
) -> None:
    message = await _message(request, summary, repository, services, report)
    report("committing", "Committing the changes")
    author = _author(request, services)
    commit = await asyncio.to_thread(commits.create, repository, summary.tree, message, author)
    subject = message.partition("\n")[0]
    report("committed", f"Committed {commit[:_SHORT]}: {subject}", commit_hash=commit)


async def _message(
    request: CommitAndPush,
    summary: commits.Summary,
    repository: Repository,
    services: Services,
    report: Report,
) -> str:
    report("generating_message", "Describing the changes")
    text = request.message.strip() if request.message else repository.merge_message
    if not text:
        context = CommitContext(
            changes=summary.changes,
            patches=summary.patches,
            recent_subjects=repository.recent_subjects(_RECENT),
        )
        named = await services.namer.describe_commit(context, request.claude_credentials)
        if named.fallback:
            report("fallback", f"Described without the model: {named.fallback}")
        text = named.text
    return _add_trailers(text, request, repository)


def _add_trailers(text: str, request: CommitAndPush, repository: Repository) -> str:
    text = f"{text}\n\nCommitted-by: {request.user_id}\n" if request.user_id else f"{text}\n"
    if not (request.sign_off or request.co_authors):
        return text
    from github_worker.workspace.attribution import add_people  # noqa: PLC0415 (few requests ask for it)

    return add_people(text, request, repository.committer)


def _author(request: CommitAndPush, services: Services) -> Person:
    person = request.author
    return Person(person.name, person.email, person.offset) if person else services.committer


def _is_tag_due(tag: NewTag, repository: Repository, tree: str | None) -> bool:
    from github_worker.workspace.tag import is_tag_due  # noqa: PLC0415 (few requests ask for it)

    return is_tag_due(repository, tag, tree)


async def _tag(tag: NewTag, repository: Repository, outcome: PushOutcome, report: Report) -> Tagged | None:
    from github_worker.workspace.tag import make_tag  # noqa: PLC0415 (few requests ask for it)

    return await make_tag(repository, tag, outcome, report)


def _describe_nothing(request: CommitAndPush, repository: Repository, branch: str, reason: str) -> Committed:
    return Committed(
        commit_hash=repository.head,
        commit_message=repository.message(repository.head) if repository.head else "",
        branch=branch,
        pushed=False,
        files_changed=0,
        insertions=0,
        deletions=0,
        skipped=True,
        reason=reason,
        dry_run=request.dry_run,
    )


def _describe_plan(repository: Repository, branch: str, summary: commits.Summary, message: str) -> Committed:
    return Committed(
        commit_hash=repository.head,
        commit_message=message,
        branch=branch,
        pushed=False,
        files_changed=len(summary.changes),
        insertions=summary.insertions,
        deletions=summary.deletions,
        dry_run=True,
        files=summary.changes[:_LISTED],
    )


def _describe(
    repository: Repository,
    branch: str,
    summary: commits.Summary,
    outcome: PushOutcome,
    tagged: Tagged | None,
) -> Committed:
    return Committed(
        commit_hash=outcome.tip,
        commit_message=repository.message(outcome.tip),
        branch=branch,
        pushed=outcome.error is None,
        push_error=outcome.error,
        files_changed=len(summary.changes),
        insertions=summary.insertions,
        deletions=summary.deletions,
        tag=tagged,
    )
