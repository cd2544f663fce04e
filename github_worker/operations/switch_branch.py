"""POST /switch-branch."""

from __future__ import annotations

import asyncio
from functools import partial

from github_worker.contract import BranchSwitched, SwitchBranch
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.repository import (
    choose_lfs,
    forget_credentials,
    open_workspace,
    require_repository,
)
from github_worker.workspace.switch import carry_switch, find_target, switch


async def switch_branch(request: SwitchBranch, services: Services, report: Report) -> BranchSwitched:
    """Put the session on a branch that it or the remote has, and carry uncommitted work along."""
    async with services.sessions.transaction(request, report, BranchSwitched) as transaction:
        location = require_repository(transaction.session)
        report("switching_branch", f"Switching to {request.branch}")
        token = services.token_for(request, location.url, report)
        workspace = await asyncio.to_thread(open_workspace, location, services, token)
        choose_lfs(workspace, request, services, report)
        target = await asyncio.to_thread(find_target, request.branch, workspace)
        if not target.is_elsewhere:
            transaction.complete(target.result())
            return transaction.result

        forget_credentials(location, report)
        transaction.start_upload()
        await asyncio.to_thread(switch, target, workspace)
        transaction.release_worktree()
        report("branch_switched", f"Switched to {request.branch}")
        transaction.complete(target.result(), partial(carry_switch, target, workspace, services))
    return transaction.result
