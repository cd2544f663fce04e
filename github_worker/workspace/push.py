"""Pushing a branch, and what to do when the remote has moved on."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from github_worker.contract import PushError
from github_worker.errors import JobError, MergeConflict, PushConflict
from github_worker.git.commits import Draft, list_unpushed
from github_worker.git.lfs import push_large
from github_worker.git.rebase import list_lost_signatures, replay
from github_worker.git.remote import RemoteMoved
from github_worker.git.repository import Repository
from github_worker.github.app import AppToken
from github_worker.progress import Report
from github_worker.redaction import scrub
from github_worker.sessions.transaction import AnyResult, Transaction

_TRIES = 3
_SHORT = 7  # characters of a commit's id
_SHOWN = 10
_WORKFLOWS = ".github/workflows"


class PushOutcome(Struct, frozen=True):
    """The branch's tip after a push, and why the push failed, if it did."""

    tip: str
    error: PushError | None = None


async def permit_push(repository: Repository, draft: Draft | None = None) -> None:
    """Let the token of an app push what is not pushed yet, and the draft: with workflows if those change."""
    token = repository.remote.token
    if isinstance(token, AppToken):
        changes_workflows = await asyncio.to_thread(_changes_workflows, repository, draft)
        await token.grant(**({"workflows": "write"} if changes_workflows else {}))


async def push(
    repository: Repository, branch: str, transaction: Transaction[AnyResult], report: Report
) -> PushOutcome:
    """Push a branch, rebasing its new commits when the remote moved on; a failure is an answer."""
    try:
        await _push(repository, branch, transaction, report)
    except JobError as error:
        return PushOutcome(_tip(repository, branch), report_failure(error, report))
    tip = _tip(repository, branch)
    report.achieved.update(commitHash=tip, branch=branch, pushed=True)
    repository.set_tracking(branch, tip)
    report("pushed", f"Pushed {branch}")
    return PushOutcome(tip)


def report_failure(error: JobError, report: Report) -> PushError:
    """Report a push that failed, and return what the result says of it."""
    report("push_failed", str(error))
    return PushError(code=error.code, message=scrub(str(error)))


async def _push(
    repository: Repository, branch: str, transaction: Transaction[AnyResult], report: Report
) -> None:
    if repository.lfs is not None:
        await asyncio.to_thread(push_large, repository, branch)
    for _ in range(_TRIES):
        report("pushing", f"Pushing {branch}")
        try:
            return await asyncio.to_thread(repository.remote.push, branch)
        except RemoteMoved:
            report("rebasing", f"{branch} has moved on: putting the new commit on top")
            with transaction.upload_restarted():
                await asyncio.to_thread(_rebase, repository, branch, report)
    try:
        await asyncio.to_thread(repository.remote.push, branch)
    except RemoteMoved as error:
        raise PushConflict(f"{branch} keeps moving on the remote") from error


def _rebase(repository: Repository, branch: str, report: Report) -> None:
    before = _tip(repository, branch)
    repository.remote.fetch(branch)
    onto = repository.remote_tip(branch)
    if onto is None:
        raise PushConflict(f"{branch} is gone from the remote")
    if not repository.share_history(before, onto):
        repository.remote.unshallow(branch)
    try:
        replay(repository, branch, onto)
    except MergeConflict as error:
        raise PushConflict(str(error)) from error
    _warn_of_signatures(
        repository, list_lost_signatures(repository, before, _tip(repository, branch)), report
    )


def _warn_of_signatures(repository: Repository, lost: list[str], report: Report) -> None:
    if lost:
        named = ", ".join(oid[:_SHORT] for oid in lost[:_SHOWN]) + (" …" if len(lost) > _SHOWN else "")
        now = "signed by another key now" if repository.committer.signer else "not signed any more"
        report.warning(
            "signature_lost", f"The rebase made commits anew that were signed, which are {now}: {named}"
        )


def _changes_workflows(repository: Repository, draft: Draft | None) -> bool:
    revisions = list_unpushed(repository, draft)
    paths = (path for revision in revisions for path, _ in (*revision.brought, *revision.replaced))
    return any(f"{_WORKFLOWS}/".startswith(f"{path}/") or path.startswith(f"{_WORKFLOWS}/") for path in paths)


def _tip(repository: Repository, branch: str) -> str:
    tip = repository.tip(branch)
    if tip is None:
        raise PushConflict(f"{branch} has no commit")
    return tip
