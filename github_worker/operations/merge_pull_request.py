"""merge-pull-request: from an open pull request to a merge commit."""

from __future__ import annotations

from github_worker.contract import MergePullRequest, PullRequestMerged
from github_worker.forge.merging import merge, require_head
from github_worker.forge.pull_request import MergeOptions
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.forges import open_repository
from github_worker.workspace.pull_request import resolve_place


async def merge_pull_request(
    request: MergePullRequest, services: Services, report: Report
) -> PullRequestMerged:
    """Merge a pull request; one that is merged already is reported so."""
    options = MergeOptions(
        method=request.merge_method, title=request.commit_title, text=request.commit_message
    )
    place = resolve_place(request, services.settings)
    async with open_repository(place, request, services, report) as repository:
        report("merging_pr", f"Merging {repository.name}#{request.pull_number}")
        if request.expected_head is not None:
            await require_head(repository, request.pull_number, request.expected_head)
        result = await merge(repository, request.pull_number, options, request.expected_head)
        report("pr_merged", result.message)
    return result
