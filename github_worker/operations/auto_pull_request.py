"""auto-pull-request: from a branch with commits to its base, and no branch left.

Each step can be repeated, so that a second call goes on where a first one stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from msgspec import structs, to_builtins

from github_worker.contract import (
    AutoPullRequest,
    BaseMerged,
    BranchMerged,
    MergeMethod,
    PullRequestFinished,
    PullRequestLink,
    PullRequestMerged,
)
from github_worker.errors import BranchNotFound, JobError, PullRequestExists
from github_worker.forge.errors import HeadMoved
from github_worker.forge.interface import Repository
from github_worker.forge.merging import enable_auto_merge, merge, report_earlier_merge
from github_worker.forge.pull_request import MergeOptions, PullRequest
from github_worker.forge.updating import update_branch
from github_worker.forge.waiting import MergeWait, choose_limit
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.attention import add_labels_and_people
from github_worker.workspace.forges import open_repository
from github_worker.workspace.pull_request import open_pull_request, resolve_target

_MAX_MOVES = 5  # of the branch's head while it is merged


async def auto_pull_request(
    request: AutoPullRequest, services: Services, report: Report
) -> PullRequestFinished:
    """Find or open the branch's pull request, bring it up to date, merge it, delete the branch."""
    place, branch = await resolve_target(request, services, report)
    achieved: dict[str, Any] = {}
    with _add_to_errors(achieved):
        async with open_repository(place, request, services, report) as repository:
            pull_request = await _find_or_open(repository, branch, request, services, report)
            link = PullRequestLink(number=pull_request.number, html_url=pull_request.html_url)
            achieved |= {"step": report.stage, "pr": to_builtins(link)}

            base_merged = None
            if pull_request.is_merged:
                merge_result = report_earlier_merge(pull_request)
            else:
                await add_labels_and_people(repository, pull_request.number, request, report)
                base_merged = await _merge_base(repository, pull_request, request, report)
                achieved |= {"step": report.stage, "mergeBase": to_builtins(base_merged)}
                merge_result = await _merge(repository, pull_request, base_merged.sha, request, report)

            step: Literal["auto_merge_enabled", "pr_merged", "branch_deleted"] = "auto_merge_enabled"
            if merge_result.merged:
                report("pr_merged", merge_result.message)
                is_deleted = request.delete_branch and await _delete_branch(repository, pull_request, report)
                step = "branch_deleted" if is_deleted else "pr_merged"
    return PullRequestFinished(
        step=step,
        pr=link,
        merge_base=base_merged,
        merge_pr=BranchMerged(merged=merge_result.merged, sha=merge_result.sha),
    )


@contextmanager
def _add_to_errors(achieved: dict[str, Any]) -> Iterator[None]:
    """Add what was achieved to the error that ends the block."""
    try:
        yield
    except JobError as error:
        error.data = achieved | error.data
        raise


async def _find_or_open(
    repository: Repository, branch: str, request: AutoPullRequest, services: Services, report: Report
) -> PullRequest:
    report(
        "creating_pr", f"Looking for the pull request from {branch} into {request.base} in {repository.name}"
    )
    if pull_request := await _find(repository, branch, request.base):
        report("pr_found", f"Found #{pull_request.number}: {pull_request.html_url}")
        return pull_request
    try:
        pull_request = await open_pull_request(repository, branch, request, services.namer, report)
    except PullRequestExists as error:  # opened by somebody else meanwhile
        if "number" not in error.data:
            raise
        pull_request = await repository.pull_requests.get(error.data["number"])
        report("pr_found", f"Found #{pull_request.number}: {pull_request.html_url}")
        return pull_request
    report("pr_created", f"Opened #{pull_request.number}: {pull_request.html_url}")
    return pull_request


async def _find(repository: Repository, branch: str, base: str) -> PullRequest | None:
    """Return the open pull request, or the one by which all that the branch has was merged."""
    if pull_request := await repository.pull_requests.find_open(branch, base):
        return pull_request
    pull_request = await repository.pull_requests.find_merged(branch, base)
    tip = await repository.find_tip(branch)
    if pull_request and tip in (None, pull_request.head.sha):
        return pull_request
    if tip is None:
        raise BranchNotFound(f"{repository.name} has no branch {branch}")
    return None


async def _merge_base(
    repository: Repository, pull_request: PullRequest, request: AutoPullRequest, report: Report
) -> BaseMerged:
    branch, base = pull_request.head.ref, pull_request.base.ref
    report("merging_base", f"Merging {base} into {branch}")
    methods = await _list_methods(repository, request)
    base_merged = await update_branch(repository, pull_request, methods)
    report("base_merged", base_merged.message)
    return base_merged


async def _list_methods(repository: Repository, request: AutoPullRequest) -> list[MergeMethod]:
    if request.merge_method is not None:
        return [request.merge_method]
    return await repository.list_merge_methods(request.base)


async def _merge(
    repository: Repository, pull_request: PullRequest, tip: str, request: AutoPullRequest, report: Report
) -> PullRequestMerged:
    """Merge the pull request, whose branch is at `tip`, or leave that to the forge if so asked."""
    if request.auto_merge:
        methods: list[MergeMethod | None] = [*await _list_methods(repository, request), None]
        options = _make_options(request)
        later = structs.replace(options, method=methods[0], delete_branch=request.delete_branch)
        if await enable_auto_merge(repository, pull_request, tip, later):
            message = f"{repository.client.forge} merges #{pull_request.number} when its rules are met"
            report("merging_pr", message)
            return PullRequestMerged(merged=False, sha=None, message=message)
    return await _merge_at_once(repository, pull_request, tip, request, report)


def _make_options(request: AutoPullRequest) -> MergeOptions:
    return MergeOptions(method=request.merge_method, title=request.commit_title, text=request.commit_message)


async def _merge_at_once(
    repository: Repository, pull_request: PullRequest, tip: str, request: AutoPullRequest, report: Report
) -> PullRequestMerged:
    required = await repository.list_required_checks(request.base) if request.wait_for_checks else None
    number, head = pull_request.number, pull_request.head.sha
    limit = choose_limit(request.wait_timeout, wait_for_checks=request.wait_for_checks)
    wait = MergeWait(repository, number, report, limit=limit, required=required)
    outdated = head if head != tip else None
    moves = 0
    while True:
        head = (await wait.until_mergeable(outdated)).head.sha
        report("merging_pr", f"Merging #{number}")
        try:
            return await merge(repository, number, _make_options(request), head)
        except HeadMoved:
            moves, outdated = moves + 1, head
            if moves > _MAX_MOVES:
                raise


async def _delete_branch(repository: Repository, pull_request: PullRequest, report: Report) -> bool:
    """Delete a merged branch, if nothing was added to it, and tell whether it is gone."""
    branch = pull_request.head.ref
    report("deleting_branch", f"Deleting {branch}")
    try:
        merged = await repository.pull_requests.get(pull_request.number)
        tip = await repository.find_tip(branch)
        if tip not in (None, merged.head.sha):
            report.warning("branch_kept", f"{branch} has commits that were not merged: it is not deleted")
            return False
        if tip is not None:
            await repository.delete_branch(branch)
    except BranchNotFound:
        return True
    except JobError as error:
        report.warning("branch_not_deleted", str(error))
        return False
    return True
