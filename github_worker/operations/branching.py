"""Starting the session's branch: a name, a place to start, a push."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import Struct, structs

from github_worker.contract import (
    BranchCreated,
    BranchStarted,
    PushError,
    SessionNamed,
)
from github_worker.errors import BranchNotFound, JobError, PushConflict
from github_worker.git.checkout import check_out
from github_worker.git.remote import RemoteMoved
from github_worker.git.repository import Repository
from github_worker.naming import Named
from github_worker.operations import names
from github_worker.operations.pushing import push_failed
from github_worker.operations.screening import refuse, screen
from github_worker.operations.workspace import Workspace
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.sessions.saving import Saving


class Wanted(Struct, frozen=True):
    """The branch that a job asks for: what it is named after, where it starts, and what it must not push."""

    user_request: str
    named: Named
    base: str
    prefix: str
    held: tuple[Secret, ...]


class Start(Struct, frozen=True):
    """Where a branch starts, and what is known of the remote; `trouble` is why nothing is."""

    base: str
    at: str | None
    heads: Mapping[str, str]
    trouble: JobError | None


async def name_branch(naming: asyncio.Task[Named], report: Report) -> Named:
    """Await the name that was asked for alongside."""
    report("generating_name", "Naming the branch")
    named = await naming
    if named.fallback:
        report("fallback", f"Named without the model: {named.fallback}")
    report("name_generated", named.title)
    return named


async def begin_branch(wanted: Wanted, workspace: Workspace, save: Saving) -> BranchCreated:
    """Put the session on a branch of its own and push it; where it is on that branch already, push alone."""
    repository, metadata = workspace.repository, workspace.session.metadata
    save.report("creating_branch", f"Starting a branch at {wanted.base}")
    start = await asyncio.to_thread(_start, repository, wanted.base)
    name = names.branch_name(wanted.prefix, wanted.named.slug, workspace.session.id)
    if metadata.is_for(wanted.user_request) or names.is_numbered(repository.branch, name):
        start = structs.replace(start, at=repository.head)
    else:
        branch = _choose(name, start, workspace, wanted.prefix)
        await asyncio.to_thread(_switch, repository, branch, start)
        workspace.track(branch)
        path = names.session_path(workspace.place.url, branch)
        metadata.starts(branch, wanted.base, wanted.named.title, path, wanted.user_request)
    save.worktree_ready()
    begun = _begun(workspace, wanted)
    _announce(begun, save.report)
    error = await _publish(repository, begun.branch_name, start, wanted.held, save.report)
    return structs.replace(begun, pushed=error is None and begun.commit is not None, push_error=error)


def _begun(workspace: Workspace, wanted: Wanted) -> BranchCreated:
    metadata, branch = workspace.session.metadata, workspace.repository.branch
    return BranchCreated(
        branch_name=branch,
        session_title=metadata.session_title or wanted.named.title,
        session_path=metadata.session_path or names.session_path(workspace.place.url, branch),
        base_branch=metadata.base_branch or wanted.base,
        commit=workspace.repository.head,
        pushed=False,
    )


def _announce(begun: BranchCreated, report: Report) -> None:
    branch, title = begun.branch_name, begun.session_title
    report.event(
        BranchStarted(
            branch_name=branch,
            base_branch=begun.base_branch,
            session_path=begun.session_path,
            message=f"Started {branch}",
        )
    )
    report.event(SessionNamed(session_name=title, branch_name=branch, message=f"Named the session {title}"))


def _start(repository: Repository, base: str) -> Start:
    try:
        heads, trouble = repository.remote.heads().branches, None
    except JobError as error:
        heads, trouble = {}, error
    if repository.branch == base:
        return Start(base, repository.head, heads, trouble)
    at = repository.tip(base) or repository.tracked(base)
    if at is None:
        if trouble:
            raise trouble
        if base not in heads:
            raise BranchNotFound(f"Neither the session nor the remote has a branch {base}")
        repository.remote.fetch(base)
        at = repository.tracked(base)
    return Start(base, at, heads, trouble)


def _choose(wanted: str, start: Start, workspace: Workspace, prefix: str) -> str:
    repository, session_id = workspace.repository, workspace.session.id
    for name, oid in start.heads.items():
        # An earlier try pushed it and was lost: it is at our start, and the session does not know it.
        if names.is_branch_of(name, prefix, session_id) and oid == start.at and repository.tip(name) is None:
            return name
    return names.free(wanted, {*start.heads, *repository.branches})


def _switch(repository: Repository, branch: str, start: Start) -> None:
    if start.at is not None and start.at != repository.head:
        check_out(repository, start.at)
    repository.start(branch, start.at)


async def _publish(
    repository: Repository, branch: str, start: Start, held: tuple[Secret, ...], report: Report
) -> PushError | None:
    if start.at is None:
        return None
    report("pushing", f"Pushing {branch}")
    try:
        if start.trouble:
            raise start.trouble
        refuse(await asyncio.to_thread(screen, repository, held))
        await asyncio.to_thread(repository.remote.push, branch, new=branch not in start.heads)
    except RemoteMoved as error:
        return push_failed(PushConflict(str(error)), report)
    except JobError as error:
        return push_failed(error, report)
    report.achieved.update(commitHash=start.at, branch=branch, pushed=True)
    repository.saw(branch, start.at)
    return None
