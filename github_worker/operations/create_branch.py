"""POST /create-branch."""

from __future__ import annotations

import asyncio
from functools import partial

from github_worker.contract import BranchCreated, CreateBranch
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.branch import BranchPlan, background_task, name_branch, start_branch
from github_worker.workspace.conflicts import carry_branch
from github_worker.workspace.repository import (
    choose_lfs,
    forget_credentials,
    open_workspace,
    require_repository,
)
from github_worker.workspace.secrets import request_secrets


async def create_branch(request: CreateBranch, services: Services, report: Report) -> BranchCreated:
    """Start a named branch in the session and push it."""
    name = services.namer.name_session(request.user_request, request.claude_credentials)
    async with (
        background_task(name) as naming,
        services.sessions.transaction(request, report, BranchCreated) as transaction,
    ):
        location = require_repository(transaction.session, request.repo_url)
        token = await services.ready_token_for(request, location.url, report)
        workspace = await asyncio.to_thread(open_workspace, location, services, token)
        choose_lfs(workspace, request, services, report)
        plan = BranchPlan(
            user_request=request.user_request,
            named=await name_branch(naming, report),
            base=request.base_branch,
            prefix=services.settings.branch_prefix,
            secrets=request_secrets(request),
            commit=request.base_commit,
        )
        forget_credentials(location, report)
        transaction.start_upload()
        created = await start_branch(plan, workspace, transaction, report)
        on_conflict = partial(carry_branch, workspace, services, workspace.start, switch=True)
        transaction.complete(created, on_conflict)
    return transaction.result
