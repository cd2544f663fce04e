"""POST /init-session."""

from __future__ import annotations

import msgspec

from github_worker.contract import InitSession, SessionInitialised
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.session import Session
from github_worker.sessions.transaction import outcome, saving
from github_worker.workspace.branch import BranchPlan, background_task, begin_branch, name_branch
from github_worker.workspace.clone import CloneOutcome, check_out, clone_or_update
from github_worker.workspace.conflicts import carry_clone
from github_worker.workspace.secrets import request_secrets


async def init_session(request: InitSession, services: Services, report: Report) -> SessionInitialised:
    """Clone a repository and start a branch in it, over one download and one upload."""
    async with background_task(
        services.namer.session(request.user_request, request.claude_credentials)
    ) as naming:
        session = await services.sessions.open_or_new(request.session_id, report)
        if done := outcome(request, session, SessionInitialised):
            return done
        obtained = await clone_or_update(request, session, services, report)
        carry = carry_clone(obtained, services)
        async with saving(services.sessions, session, request, report, carry) as save:
            await check_out(obtained, report)
            save.worktree_ready()
            cloned = obtained.result()
            named = await name_branch(naming, report)
            prefix = services.settings.branch_prefix
            wanted = BranchPlan(
                request.user_request, named, _base(obtained, session), prefix, request_secrets(request)
            )
            branch = await begin_branch(wanted, obtained.workspace, save)
            result = msgspec.convert(
                msgspec.to_builtins(cloned) | msgspec.to_builtins(branch), SessionInitialised
            )
            save.keep(result)
        return outcome(request, save.session, SessionInitialised) or result


def _base(obtained: CloneOutcome, session: Session) -> str:
    base = None if obtained.was_cloned else session.metadata.base_branch
    return base or obtained.branch
