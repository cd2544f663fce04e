"""POST /clone-repository."""

from __future__ import annotations

from github_worker.contract import Cloned, CloneRepository
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.transaction import outcome, saving
from github_worker.workspace.clone import check_out, clone_or_update
from github_worker.workspace.conflicts import carry_clone


async def clone_repository(request: CloneRepository, services: Services, report: Report) -> Cloned:
    """Clone a repository into the session, or bring the one that is there up to date."""
    session = await services.sessions.open_or_new(request.session_id, report)
    if done := outcome(request, session, Cloned):
        return done
    obtained = await clone_or_update(request, session, services, report)
    if not (obtained.was_cloned or obtained.pulled):
        return obtained.result()
    carry = carry_clone(obtained, services)
    async with saving(services.sessions, session, request, report, carry) as save:
        await check_out(obtained, report)
        save.worktree_ready()
        result = obtained.result()
        save.keep(result)
    return outcome(request, save.session, Cloned) or result
