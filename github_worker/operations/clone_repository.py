"""POST /clone-repository."""

from __future__ import annotations

from github_worker.contract import Cloned, CloneRepository
from github_worker.operations.carrying import carry_clone
from github_worker.operations.obtaining import check_out, obtain
from github_worker.operations.outcomes import outcome
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.saving import saving


async def clone_repository(job: CloneRepository, services: Services, report: Report) -> Cloned:
    """Clone a repository into the session, or bring the one that is there up to date."""
    session = await services.sessions.open_or_new(job.session_id, report)
    if done := outcome(job, session, Cloned):
        return done
    obtained = await obtain(job, session, services, report)
    if not (obtained.was_cloned or obtained.pulled):
        return obtained.result()
    carry = carry_clone(obtained, services)
    async with saving(services.sessions, session, job, report, carry) as save:
        await check_out(obtained, report)
        save.worktree_ready()
        result = obtained.result()
        save.keep(result)
    return outcome(job, save.session, Cloned) or result
