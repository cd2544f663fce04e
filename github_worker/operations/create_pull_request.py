"""create-pull-request: from a branch with commits to an open pull request."""

from __future__ import annotations

from github_worker.contract import BranchTip, CreatePullRequest, PullRequestOpened
from github_worker.errors import PullRequestExists
from github_worker.forge.interface import Repository
from github_worker.forge.pull_request import PullRequest, PullRequestTexts, exists_error
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.attention import add_labels_and_people
from github_worker.workspace.forges import open_repository
from github_worker.workspace.pull_request import open_pull_request, resolve_target


async def create_pull_request(
    request: CreatePullRequest, services: Services, report: Report
) -> PullRequestOpened:
    """Open a pull request for a branch that has none, or update the one that it has."""
    place, head = await resolve_target(request, services, report)
    async with open_repository(place, request, services, report) as repository:
        report("creating_pr", f"Opening a pull request from {head} into {request.base} in {place.name}")
        pull_request = await _open_or_update(repository, head, request, services, report)
        await add_labels_and_people(repository, pull_request.number, request, report)
    return _to_result(pull_request)


async def _open_or_update(
    repository: Repository, head: str, request: CreatePullRequest, services: Services, report: Report
) -> PullRequest:
    existing = await repository.pull_requests.find_open(head, request.base)
    if existing is None:
        try:
            pull_request = await open_pull_request(repository, head, request, services.namer, report)
        except PullRequestExists as error:  # opened by somebody else meanwhile
            if not request.update or "number" not in error.data:
                raise
            return await _update(repository, error.data["number"], request, report)
        report("pr_created", f"Opened #{pull_request.number}: {pull_request.html_url}")
        return pull_request
    if not request.update:
        raise exists_error(existing)
    return await _update(repository, existing.number, request, report)


async def _update(
    repository: Repository, number: int, request: CreatePullRequest, report: Report
) -> PullRequest:
    texts = PullRequestTexts(request.title, request.body)
    pull_request = await repository.pull_requests.update(number, texts)
    report("pr_found", f"Updated #{pull_request.number}: {pull_request.html_url}")
    return pull_request


def _to_result(pull_request: PullRequest) -> PullRequestOpened:
    return PullRequestOpened(
        number=pull_request.number,
        title=pull_request.title,
        state=pull_request.state,
        html_url=pull_request.html_url,
        head=BranchTip(ref=pull_request.head.ref, sha=pull_request.head.sha),
        base=BranchTip(ref=pull_request.base.ref, sha=pull_request.base.sha),
        mergeable=pull_request.mergeable,
        merged=pull_request.is_merged,
    )
