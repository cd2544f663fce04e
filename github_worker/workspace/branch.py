"""The session's branch: its name, where it starts, its first push."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, TypeVar

from msgspec import Struct, structs

from github_worker.contract import BranchCreated, BranchStarted, PushError, RepositoryUrl, SessionNamed
from github_worker.errors import (
    BranchNotFound,
    CommitNotFound,
    JobError,
    PushConflict,
    UnsupportedRepository,
)
from github_worker.git.checkout import check_out
from github_worker.git.lfs import push_large
from github_worker.git.native import RemoteFaltered
from github_worker.git.remote import RemoteMoved
from github_worker.git.repository import Repository
from github_worker.naming import SessionName
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.sessions.transaction import AnyResult, Transaction
from github_worker.workspace.push import permit_push, report_failure
from github_worker.workspace.repository import Workspace
from github_worker.workspace.secrets import refuse, screen

Value = TypeVar("Value")
_SUFFIX_LENGTH = 8


class BranchPlan(Struct, frozen=True):
    """The branch that a job asks for: what it is named after, where it starts, and what it must not push.

    It starts at the tip of `base`, or at the `commit` if there is one.
    """

    user_request: str
    named: SessionName
    base: str
    prefix: str
    secrets: tuple[Secret, ...]
    commit: str | None = None


class Start(Struct, frozen=True):
    """Where a branch starts, and what is known of the remote; `trouble` is why nothing is."""

    base: str
    at: str | None
    heads: Mapping[str, str]
    trouble: JobError | None


@asynccontextmanager
async def background_task(step: Coroutine[Any, Any, Value]) -> AsyncIterator[asyncio.Task[Value]]:
    """Run `step` beside the block, which awaits it where it needs its value."""
    task = asyncio.create_task(step)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def name_branch(naming: asyncio.Task[SessionName], report: Report) -> SessionName:
    """Await the name that was asked for in the background."""
    report("generating_name", "Naming the branch")
    named = await naming
    if named.fallback:
        report("fallback", f"Named without the model: {named.fallback}")
    report("name_generated", named.title)
    return named


async def start_branch(
    plan: BranchPlan,
    workspace: Workspace,
    transaction: Transaction[AnyResult],
    report: Report,
    settle: Callable[[], Awaitable[object]] | None = None,
) -> BranchCreated:
    """Put the session on a branch of its own and push it; where it is on that branch already, push alone.

    `settle` is awaited before the files are saved: they are those of the branch then.
    """
    repository, metadata = workspace.repository, workspace.session.metadata
    report("creating_branch", f"Starting a branch at {plan.base}")
    start = await asyncio.to_thread(_find_start, repository, plan.base)
    name = branch_name(plan.prefix, plan.named.slug, workspace.session.id)
    if metadata.is_for(plan.user_request) or is_numbered(repository.branch, name):
        start = structs.replace(start, at=repository.head)
    else:
        if plan.commit is not None:
            start = await asyncio.to_thread(_start_at, repository, start, plan.commit)
        branch = _choose(name, start, workspace, plan.prefix)
        await asyncio.to_thread(_switch, repository, branch, start)
        workspace.location.track(branch)
        path = session_path(workspace.location.url, branch)
        metadata.record_branch(branch, plan.base, plan.named.title, path, plan.user_request)
    if settle is not None:
        await settle()
    transaction.release_worktree()
    created = _describe(workspace, plan)
    _announce(created, report)
    error = await _publish(repository, created.branch_name, start, plan.secrets, report)
    return structs.replace(created, pushed=error is None and created.commit is not None, push_error=error)


def _describe(workspace: Workspace, plan: BranchPlan) -> BranchCreated:
    metadata, branch = workspace.session.metadata, workspace.repository.branch
    return BranchCreated(
        branch_name=branch,
        session_title=metadata.session_title or plan.named.title,
        session_path=metadata.session_path or session_path(workspace.location.url, branch),
        base_branch=metadata.base_branch or plan.base,
        commit=workspace.repository.head,
        pushed=False,
    )


def _announce(created: BranchCreated, report: Report) -> None:
    branch, title = created.branch_name, created.session_title
    report.event(
        BranchStarted(
            branch_name=branch,
            base_branch=created.base_branch,
            session_path=created.session_path,
            message=f"Started {branch}",
        )
    )
    report.event(SessionNamed(session_name=title, branch_name=branch, message=f"Named the session {title}"))


def _find_start(repository: Repository, base: str) -> Start:
    try:
        heads, trouble = repository.remote.heads().branches, None
    except JobError as error:
        heads, trouble = {}, error
    if repository.branch == base:
        return Start(base, repository.head, heads, trouble)
    at = repository.tip(base) or repository.remote_tip(base)
    if at is None:
        if trouble:
            raise trouble
        if base not in heads:
            raise BranchNotFound(f"Neither the session nor the remote has a branch {base}")
        repository.remote.fetch(base)
        at = repository.remote_tip(base)
    return Start(base, at, heads, trouble)


def _start_at(repository: Repository, start: Start, commit: str) -> Start:
    """Start at a commit that the session has, or that the remote gives out."""
    if not repository.has_commit(commit) and start.base in start.heads:
        repository.remote.fetch(start.base)
    if not repository.has_commit(commit):
        if start.trouble:
            raise start.trouble
        _fetch_commit(repository, commit)
    return structs.replace(start, at=commit)


def _fetch_commit(repository: Repository, commit: str) -> None:
    why = "it is none"
    try:
        repository.remote.fetch_commit(commit)
    except (RemoteFaltered, UnsupportedRepository) as error:  # a server breaks off where it has none
        why = str(error)
    if not repository.has_commit(commit):
        raise CommitNotFound(f"The session has no commit {commit}, and the remote gives none out: {why}")


def _choose(name: str, start: Start, workspace: Workspace, prefix: str) -> str:
    repository, session_id = workspace.repository, workspace.session.id
    for other, oid in start.heads.items():
        # An earlier try pushed it and was lost: it is at our start, and the session does not know it.
        if is_branch_of(other, prefix, session_id) and oid == start.at and repository.tip(other) is None:
            return other
    return free_name(name, {*start.heads, *repository.branches})


def _switch(repository: Repository, branch: str, start: Start) -> None:
    if start.at is not None and start.at != repository.head:
        repository.require_finished()
        check_out(repository, start.at)
    repository.start(branch, start.at)


async def _publish(
    repository: Repository, branch: str, start: Start, secrets: tuple[Secret, ...], report: Report
) -> PushError | None:
    if start.at is None:
        return None
    report("pushing", f"Pushing {branch}")
    try:
        if start.trouble:
            raise start.trouble
        refuse(await asyncio.to_thread(screen, repository, secrets))
        await permit_push(repository)
        if repository.lfs is not None:
            await asyncio.to_thread(push_large, repository, branch)
        await asyncio.to_thread(repository.remote.push, branch, new=branch not in start.heads)
    except RemoteMoved as error:
        return report_failure(PushConflict(str(error)), report)
    except JobError as error:
        return report_failure(error, report)
    report.achieved.update(commitHash=start.at, branch=branch, pushed=True)
    repository.set_tracking(branch, start.at)
    return None


def session_suffix(session_id: str) -> str:
    """Return the last eight characters of a session's id, as a branch name may end."""
    return re.sub(r"[^A-Za-z0-9]+", "-", session_id[-_SUFFIX_LENGTH:]).strip("-")


def branch_name(prefix: str, slug: str, session_id: str) -> str:
    """Return `webedt/add-dark-mode-abc12345`."""
    return f"{prefix}{slug}-{session_suffix(session_id)}"


def is_branch_of(name: str, prefix: str, session_id: str) -> bool:
    """Tell whether a branch was named for this session."""
    return (
        re.fullmatch(rf"{re.escape(prefix)}.+-{re.escape(session_suffix(session_id))}(-[0-9]+)?", name)
        is not None
    )


def is_numbered(name: str, wanted: str) -> bool:
    """Tell whether `name` is the one that is wanted, or what `free_name` made of it."""
    return re.fullmatch(rf"{re.escape(wanted)}(-[0-9]+)?", name) is not None


def free_name(name: str, taken: Container[str]) -> str:
    """Return `name`, or the first of `name-2`, `name-3`, … that is not taken.

    Where one of its folders is a branch, git could not have it: then it has no folders.
    """
    if any(name[: slash.start()] in taken for slash in re.finditer("/", name)):
        name = name.replace("/", "-")
    if name not in taken:
        return name
    return next(other for number in count(2) if (other := f"{name}-{number}") not in taken)


def session_path(url: RepositoryUrl, branch: str) -> str:
    """Return `owner__repo__webedt-add-dark-mode-abc12345`."""
    return f"{url.groups.replace('/', '__')}__{url.name}__{branch.replace('/', '-')}"
