"""POST /create-branch."""

from __future__ import annotations

import asyncio

from github_worker.contract import BranchCreated, CreateBranch
from github_worker.operations.alongside import alongside
from github_worker.operations.branching import Wanted, begin_branch, name_branch
from github_worker.operations.carrying import carry_branch
from github_worker.operations.outcomes import outcome
from github_worker.operations.screening import own
from github_worker.operations.workspace import open_workspace, require
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.saving import saving


async def create_branch(job: CreateBranch, services: Services, report: Report) -> BranchCreated:
    """Start a named branch in the session and push it."""
    async with alongside(services.namer.session(job.user_request, job.claude_credentials)) as naming:
        session = await services.sessions.open(job.session_id, report)
        if done := outcome(job, session, BranchCreated):
            return done
        place = require(session, job.repo_url)
        workspace = await asyncio.to_thread(open_workspace, session, place, services, job.access_token)
        named = await name_branch(naming, report)
        carry = carry_branch(workspace, services, switch=True)
        prefix = services.settings.branch_prefix
        wanted = Wanted(job.user_request, named, job.base_branch, prefix, own(job))
        async with saving(services.sessions, session, job, report, carry) as save:
            result = await begin_branch(wanted, workspace, save)
            save.keep(result)
        return outcome(job, save.session, BranchCreated) or result
