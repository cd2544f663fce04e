"""merge-pull-request: from an open pull request to a merge commit."""

from __future__ import annotations

from msgspec import structs

from github_worker.contract import MergeMethod, MergePullRequest, PullRequestMerged
from github_worker.errors import MergeConflict, PullRequestNotMergeable
from github_worker.github.client import Repository, open_github
from github_worker.github.errors import BaseMoved, HeadMoved, MethodRefused
from github_worker.github.requests import FullName, MergeOptions
from github_worker.github.responses import PullRequest
from github_worker.progress import Report
from github_worker.retry import Backoff
from github_worker.services import Services

_BACKOFF = Backoff(first=0.25, longest=4.0, tries=6)


async def merge_pull_request(
    request: MergePullRequest, services: Services, report: Report
) -> PullRequestMerged:
    """Merge a pull request; one that is merged already is reported so."""
    options = MergeOptions(
        method=request.merge_method, title=request.commit_title, text=request.commit_message
    )
    async with open_github(services.settings, request.access_token, report) as github:
        repository = Repository(github, FullName(request.owner, request.repo))
        report("merging_pr", f"Merging {repository.name}#{request.pull_number}")
        merged = await merge(repository, request.pull_number, options)
        report("pr_merged", merged.message)
    return merged


async def merge(
    repository: Repository, number: int, options: MergeOptions, sha: str | None = None
) -> PullRequestMerged:
    """Merge a pull request, if `sha` is given only that head of it.

    Raise PullRequestNotMergeable or MergeConflict; what passes by itself is tried again first.
    """
    for failures in range(1, _BACKOFF.tries):
        try:
            return await _merge_once(repository, number, options, sha)
        except MethodRefused as error:
            if options.method is not None:
                raise
            options = structs.replace(options, method=await _other_method(repository, error))
        except (BaseMoved, HeadMoved) as error:
            if sha is not None and isinstance(error, HeadMoved):
                raise
            await repository.github.pause(_BACKOFF.pause(failures), str(error))
    return await _merge_once(repository, number, options, sha)


async def _merge_once(
    repository: Repository, number: int, options: MergeOptions, sha: str | None
) -> PullRequestMerged:
    pull_request = await repository.pull_request(number)
    if pull_request.merged:
        return merged_before(pull_request)
    if pull_request.state == "closed":
        raise PullRequestNotMergeable(f"#{number} is closed")
    try:
        merge = await repository.merge(number, sha or pull_request.head.sha, options)
    except (PullRequestNotMergeable, MergeConflict):
        # so it is when the answer to a merge is lost, and it is asked for again
        pull_request = await repository.pull_request(number)
        if not pull_request.merged:
            raise
        return merged_before(pull_request)
    return PullRequestMerged(merged=True, sha=merge.sha, message=merge.message)


async def _other_method(repository: Repository, error: MethodRefused) -> MergeMethod:
    for method in await repository.merge_methods():
        if method != "merge":
            return method
    raise error


def merged_before(pull_request: PullRequest) -> PullRequestMerged:
    """Report a pull request that was merged before."""
    return PullRequestMerged(
        merged=True, sha=pull_request.merge_commit_sha, message=f"#{pull_request.number} is merged already"
    )
