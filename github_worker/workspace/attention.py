"""What brings a pull request to somebody's attention: labels, people, a milestone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from github_worker.contract import AutoPullRequest, CreatePullRequest
from github_worker.errors import JobError
from github_worker.forge.interface import Repository
from github_worker.forge.waiting import retry_until_visible
from github_worker.progress import Report

Step = Callable[[], Awaitable[None]]


async def add_labels_and_people(
    repository: Repository, number: int, request: CreatePullRequest | AutoPullRequest, report: Report
) -> None:
    """Add what the request names; what the forge refuses is a warning, and the pull request stands."""
    for code, step in _list_steps(repository, number, request):
        try:
            await retry_until_visible(repository.client, step)
        except JobError as error:
            report.warning(code, str(error))


def _list_steps(
    repository: Repository, number: int, request: CreatePullRequest | AutoPullRequest
) -> Iterator[tuple[str, Step]]:
    """Yield a step for each kind of what is named, and the code of the warning if it fails."""
    issues, pull_requests = repository.issues, repository.pull_requests
    if request.labels:
        yield "labels_not_added", partial(issues.add_labels, number, request.labels)
    if request.assignees:
        yield "not_assigned", partial(issues.add_assignees, number, request.assignees)
    if request.reviewers:
        yield "reviewers_not_asked", partial(pull_requests.request_reviews, number, request.reviewers, ())
    if not isinstance(request, CreatePullRequest):
        return
    if request.team_reviewers:
        yield (
            "reviewers_not_asked",
            partial(pull_requests.request_reviews, number, (), request.team_reviewers),
        )
    if request.milestone is not None:
        yield "milestone_not_set", partial(issues.set_milestone, number, request.milestone)
