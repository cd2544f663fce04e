"""POST /sync-branch."""

from __future__ import annotations

import asyncio
from functools import partial

from github_worker.contract import BranchSynced, SyncBranch
from github_worker.git.lfs import push_large
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace import sync
from github_worker.workspace.push import permit_push
from github_worker.workspace.repository import (
    Workspace,
    choose_lfs,
    forget_credentials,
    open_workspace,
    require_repository,
)
from github_worker.workspace.secrets import refuse, screen


async def sync_branch(request: SyncBranch, services: Services, report: Report) -> BranchSynced:
    """Bring the newer commits of a base branch into the session's branch."""
    async with services.sessions.transaction(request, report, BranchSynced) as transaction:
        location = require_repository(transaction.session)
        report("fetching_base", "Fetching the base branch")
        token = services.token_for(request, location.url, report)
        workspace = await asyncio.to_thread(open_workspace, location, services, token)
        choose_lfs(workspace, request, services, report)
        base = await asyncio.to_thread(sync.find_base, request, workspace)
        report("syncing", f"Bringing {base.name} into {base.branch}: {_count(base.news)}")
        _warn(workspace, request, report)
        plan = await asyncio.to_thread(sync.plan_sync, request, base, workspace, services)
        if plan.outcome == "up-to-date":
            transaction.complete(plan.result())
            return transaction.result

        forget_credentials(location, report)
        transaction.start_upload()
        await asyncio.to_thread(sync.apply, plan, workspace)
        transaction.release_worktree()
        _tell(plan, report)
        if plan.needs_push:
            await _push(plan, workspace, request, report)
        on_conflict = partial(sync.carry_sync, plan, workspace, services)
        transaction.complete(plan.result(pushed=plan.needs_push), on_conflict)
    return transaction.result


def _warn(workspace: Workspace, request: SyncBranch, report: Report) -> None:
    for name in sync.list_unfollowed(workspace) if request.method == "merge" else []:
        report.warning(
            "config_not_followed", f"The session's config sets {name}, which this merge does not heed"
        )


def _tell(plan: sync.Sync, report: Report) -> None:
    if plan.merged is not None:
        count = len(plan.merged.paths)
        files = "1 file" if count == 1 else f"{count} files"
        report("conflicts_left", f"A merge of {plan.base.name} is in progress: {files} to resolve")
    else:
        report("synced", f"{plan.base.branch} has all of {plan.base.name}: {plan.outcome}")


async def _push(plan: sync.Sync, workspace: Workspace, request: SyncBranch, report: Report) -> None:
    """Push a branch that was rebased, before anything is saved: a refusal leaves the session as it was."""
    branch = plan.base.branch
    report("pushing", f"Pushing {branch}, over what the session knows of it")
    secrets = (request.access_token,) if request.access_token else ()
    refuse(await asyncio.to_thread(screen, workspace.repository, secrets))
    await permit_push(workspace.repository)
    if workspace.repository.lfs is not None:
        await asyncio.to_thread(push_large, workspace.repository, branch)
    await asyncio.to_thread(sync.push, plan, workspace.repository)
    report.achieved.update(commitHash=plan.tip, branch=branch, pushed=True)
    report("pushed", f"Pushed {branch}")


def _count(commits: int) -> str:
    return "1 new commit" if commits == 1 else f"{commits} new commits"
