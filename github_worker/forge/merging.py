"""Merging a pull request, and trying again what passes by itself."""

from __future__ import annotations

from functools import partial

from msgspec import structs

from github_worker.contract import MergeMethod, PullRequestMerged
from github_worker.errors import MergeConflict, PullRequestNotMergeable, PullRequestTimeout
from github_worker.forge.errors import BaseMoved, HeadMoved, MethodRefused, ReadyToMerge, StillChecking
from github_worker.forge.interface import Repository
from github_worker.forge.pull_request import MergeOptions, PullRequest
from github_worker.forge.waiting import retry_until_visible
from github_worker.retry import Backoff

_LOOKS = Backoff(first=0.25, longest=2.0, tries=5)
_MERGES = Backoff(first=0.25, longest=4.0, tries=6)


async def merge(
    repository: Repository, number: int, options: MergeOptions, sha: str | None = None
) -> PullRequestMerged:
    """Merge a pull request, if `sha` is given only that head of it.

    Raise PullRequestNotMergeable or MergeConflict; what passes by itself is tried again, and is a
    PullRequestTimeout if it does not.
    """
    refused: set[MergeMethod] = set()
    for failures in range(1, _MERGES.tries):
        try:
            return await _merge_once(repository, number, options, sha)
        except MethodRefused as error:
            if options.method is not None and not refused:
                raise  # the caller's own
            refused.add(options.method or "merge")
            method = await _choose_other_method(repository, number, refused)
            if method is None:
                raise error from None
            options = structs.replace(options, method=method)
        except (BaseMoved, HeadMoved, StillChecking) as error:
            if sha is not None and isinstance(error, HeadMoved):
                raise
            await repository.client.pause(_MERGES.pause(failures), str(error))
    return await _merge_once(repository, number, options, sha)


async def enable_auto_merge(
    repository: Repository, pull_request: PullRequest, head: str, options: MergeOptions
) -> bool:
    """Leave the merge to the forge when its rules are met; return False where it can be merged at once."""
    if pull_request.auto_merge is not None:
        return True
    step = partial(repository.pull_requests.enable_auto_merge, pull_request, head, options)
    try:
        await retry_until_visible(repository.client, step)
    except ReadyToMerge:
        return False
    return True


async def require_head(repository: Repository, number: int, sha: str) -> None:
    """Wait until the forge sees the expected head; raise PullRequestNotMergeable where it is another."""
    for looks in range(1, _LOOKS.tries):
        pull_request = await repository.pull_requests.get(number)
        if pull_request.is_merged or pull_request.head.sha == sha:
            return
        await repository.client.pause(_LOOKS.pause(looks), f"#{number} is not at the expected commit")
    head = pull_request.head.sha
    raise PullRequestNotMergeable(f"#{number} is at {head}, and {sha} was expected", data={"head": head})


async def _merge_once(
    repository: Repository, number: int, options: MergeOptions, sha: str | None
) -> PullRequestMerged:
    pull_request = await repository.pull_requests.get(number)
    if pull_request.is_merged:
        return report_earlier_merge(pull_request)
    if pull_request.state == "closed":
        raise PullRequestNotMergeable(f"#{number} is closed")
    try:
        merge = await repository.pull_requests.merge(pull_request, sha or pull_request.head.sha, options)
    except (PullRequestNotMergeable, PullRequestTimeout, MergeConflict):
        # a merge whose response was lost is refused when it is asked for again
        pull_request = await repository.pull_requests.get(number)
        if not pull_request.is_merged:
            raise
        return report_earlier_merge(pull_request)
    return PullRequestMerged(merged=True, sha=merge.sha, message=merge.message)


async def _choose_other_method(
    repository: Repository, number: int, refused: set[MergeMethod]
) -> MergeMethod | None:
    base = (await repository.pull_requests.get(number)).base.ref
    methods = await repository.list_merge_methods(base)
    return next((method for method in methods if method not in refused), None)


def report_earlier_merge(pull_request: PullRequest) -> PullRequestMerged:
    """Return the result for a pull request that was merged before."""
    return PullRequestMerged(
        merged=True, sha=pull_request.merge_commit_sha, message=f"#{pull_request.number} is merged already"
    )
