"""POST /init-session."""

from __future__ import annotations

import msgspec

from github_worker.contract import InitSession, SessionInitialised
from github_worker.operations.alongside import alongside
from github_worker.operations.branching import Wanted, begin_branch, name_branch
from github_worker.operations.carrying import carry_clone
from github_worker.operations.obtaining import Obtained, check_out, obtain
from github_worker.operations.outcomes import outcome
from github_worker.operations.screening import own
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.saving import saving
from github_worker.sessions.sessions import Session


async def init_session(job: InitSession, services: Services, report: Report) -> SessionInitialised:
    """Clone a repository and start a branch in it, over one download and one upload."""
    async with alongside(services.namer.session(job.user_request, job.claude_credentials)) as naming:
        session = await services.sessions.open_or_new(job.session_id, report)
        if done := outcome(job, session, SessionInitialised):
            return done
        obtained = await obtain(job, session, services, report)
        carry = carry_clone(obtained, services)
        async with saving(services.sessions, session, job, report, carry) as save:
            await check_out(obtained, report)
            save.worktree_ready()
            cloned = obtained.result()
            named = await name_branch(naming, report)
            prefix = services.settings.branch_prefix
            wanted = Wanted(job.user_request, named, _base(obtained, session), prefix, own(job))
            branch = await begin_branch(wanted, obtained.workspace, save)
            result = msgspec.convert(
                msgspec.to_builtins(cloned) | msgspec.to_builtins(branch), SessionInitialised
            )
            save.keep(result)
        return outcome(job, save.session, SessionInitialised) or result


def _base(obtained: Obtained, session: Session) -> str:
    held = None if obtained.was_cloned else session.metadata.base_branch
    return held or obtained.branch
