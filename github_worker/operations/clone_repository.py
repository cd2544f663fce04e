"""POST /clone-repository."""

from __future__ import annotations

from functools import partial

from github_worker.contract import Cloned, CloneRepository
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.clone import check_out, clone_or_update
from github_worker.workspace.conflicts import carry_clone
from github_worker.workspace.repository import forget_credentials


async def clone_repository(request: CloneRepository, services: Services, report: Report) -> Cloned:
    """Clone a repository into the session, or bring the one that is there up to date."""
    async with services.sessions.transaction(request, report, Cloned, may_be_new=True) as transaction:
        outcome = await clone_or_update(request, transaction.session, services, report)
        if outcome.has_changed:
            forget_credentials(outcome.workspace.location, report)
            transaction.start_upload()
            await check_out(outcome, report)
        carry = partial(carry_clone, outcome, services)
        if request.submodules:
            from github_worker.workspace import submodules  # noqa: PLC0415 (few ask for them)

            carry = partial(submodules.carry_with_submodules, outcome, request, services, report)
            has_changed = await submodules.bring_submodules(outcome.workspace, request, services, report)
            if has_changed and not outcome.has_changed:
                forget_credentials(outcome.workspace.location, report)
                transaction.start_upload()
        transaction.release_worktree()
        transaction.complete(outcome.result(), carry)
    return transaction.result
