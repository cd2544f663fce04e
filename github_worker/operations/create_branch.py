"""POST /create-branch."""

from __future__ import annotations

import asyncio

from github_worker.contract import BranchCreated, CreateBranch
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.transaction import outcome, saving
from github_worker.workspace.branch import BranchPlan, background_task, begin_branch, name_branch
from github_worker.workspace.conflicts import carry_branch
from github_worker.workspace.repository import open_workspace, require
from github_worker.workspace.secrets import request_secrets


async def create_branch(request: CreateBranch, services: Services, report: Report) -> BranchCreated:
    """Start a named branch in the session and push it."""
    async with background_task(
        services.namer.session(request.user_request, request.claude_credentials)
    ) as naming:
        session = await services.sessions.open(request.session_id, report)
        if done := outcome(request, session, BranchCreated):
            return done
        location = require(session, request.repo_url)
        workspace = await asyncio.to_thread(open_workspace, session, location, services, request.access_token)
        named = await name_branch(naming, report)
        carry = carry_branch(workspace, services, switch=True)
        prefix = services.settings.branch_prefix
        wanted = BranchPlan(
            request.user_request, named, request.base_branch, prefix, request_secrets(request)
        )
        async with saving(services.sessions, session, request, report, carry) as save:
            result = await begin_branch(wanted, workspace, save)
            save.keep(result)
        return outcome(request, save.session, BranchCreated) or result
