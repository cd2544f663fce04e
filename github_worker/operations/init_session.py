"""POST /init-session."""

from __future__ import annotations

from functools import partial

import msgspec

from github_worker.contract import InitSession, SessionInitialised
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.transaction import Session
from github_worker.workspace.branch import BranchPlan, background_task, name_branch, start_branch
from github_worker.workspace.clone import CloneOutcome, check_out, clone_or_update
from github_worker.workspace.conflicts import carry_clone
from github_worker.workspace.repository import forget_credentials
from github_worker.workspace.secrets import request_secrets


async def init_session(request: InitSession, services: Services, report: Report) -> SessionInitialised:
    """Clone a repository and start a branch in it, over one download and one upload."""
    name = services.namer.name_session(request.user_request, request.claude_credentials)
    async with (
        background_task(name) as naming,
        services.sessions.transaction(request, report, SessionInitialised, may_be_new=True) as transaction,
    ):
        outcome = await clone_or_update(request, transaction.session, services, report)
        forget_credentials(outcome.workspace.location, report)
        transaction.start_upload()
        await check_out(outcome, report)
        carry, settle = partial(carry_clone, outcome, services), None
        if request.submodules:
            from github_worker.workspace import submodules  # noqa: PLC0415 (few ask for them)

            carry = partial(submodules.carry_with_submodules, outcome, request, services, report)
            settle = partial(submodules.bring_submodules, outcome.workspace, request, services, report)
        if request.base_commit is None and settle is None:
            transaction.release_worktree()
        cloned = outcome.result()
        plan = BranchPlan(
            user_request=request.user_request,
            named=await name_branch(naming, report),
            base=_base(outcome, transaction.session),
            prefix=services.settings.branch_prefix,
            secrets=request_secrets(request),
            commit=request.base_commit,
        )
        created = await start_branch(plan, outcome.workspace, transaction, report, settle)
        both = msgspec.to_builtins(cloned) | msgspec.to_builtins(created)
        transaction.complete(msgspec.convert(both, SessionInitialised), carry)
    return transaction.result


def _base(outcome: CloneOutcome, session: Session) -> str:
    recorded = None if outcome.was_cloned else session.metadata.base_branch
    return recorded or outcome.branch
