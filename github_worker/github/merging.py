"""Merging a pull request: waiting until it can be merged, and trying again what passes by itself."""

from __future__ import annotations

from msgspec import structs

from github_worker.contract import MergeMethod, PullRequestMerged
from github_worker.errors import MergeConflict, PullRequestNotMergeable, PullRequestTimeout
from github_worker.github.checks import summarize
from github_worker.github.errors import BaseMoved, HeadMoved, MethodRefused
from github_worker.github.repository import Repository
from github_worker.github.requests import MergeOptions
from github_worker.github.responses import PullRequest
from github_worker.progress import Report
from github_worker.retry import Backoff

_POLLS = Backoff(first=0.25, longest=10.0)
_MERGES = Backoff(first=0.25, longest=4.0, tries=6)


async def wait_until_mergeable(
    repository: Repository, number: int, outdated: str | None, required: set[str] | None, report: Report
) -> PullRequest:
    """Poll until the pull request can be merged or has been, and return it.

    `outdated` is a head that it had before; `required` are the checks to wait for, None to wait for none.
    Raise MergeConflict or PullRequestNotMergeable where it cannot be, JobTimeout when it takes too long.
    """
    reason = f"Asking whether #{number} can be merged"
    polls = 0
    while True:
        report("waiting_mergeable", reason)
        pull_request = await repository.pull_requests.get(number)
        if pull_request.is_merged:
            return pull_request
        waiting_for = _find_open_question(pull_request, outdated)
        if waiting_for is None:
            _require_mergeable(pull_request)
            waiting_for = await _find_pending_checks(repository, pull_request, required)
        if waiting_for is None:
            return pull_request
        reason = f"#{number} waits for {waiting_for}"
        polls += 1
        await repository.github.pause(_POLLS.pause(polls), reason)


def _find_open_question(pull_request: PullRequest, outdated: str | None) -> str | None:
    if pull_request.state == "closed":
        return None
    if pull_request.head.sha == outdated:
        return "GitHub to see the branch's newest commit"
    return "GitHub to find out whether it can be merged" if pull_request.mergeable is None else None


def _require_mergeable(pull_request: PullRequest) -> None:
    number = pull_request.number
    if pull_request.state == "closed":
        raise PullRequestNotMergeable(f"#{number} was closed")
    if pull_request.mergeable is False and pull_request.mergeable_state == "dirty":
        raise MergeConflict(f"#{number} conflicts with {pull_request.base.ref}")
    if pull_request.mergeable is False:
        raise PullRequestNotMergeable(f"#{number} cannot be merged: it is {pull_request.mergeable_state}")


async def _find_pending_checks(
    repository: Repository, pull_request: PullRequest, required: set[str] | None
) -> str | None:
    if required is None:
        return None
    summary = summarize(await repository.list_checks(pull_request.head.sha), required)
    if summary.failed:
        raise PullRequestNotMergeable(f"#{pull_request.number}: checks failed: {', '.join(summary.failed)}")
    return f"checks: {', '.join(summary.pending)}" if summary.pending else None


async def merge(
    repository: Repository, number: int, options: MergeOptions, sha: str | None = None
) -> PullRequestMerged:
    """Merge a pull request, if `sha` is given only that head of it.

    Raise PullRequestNotMergeable or MergeConflict; what passes by itself is tried again, and is a
    PullRequestTimeout if it does not.
    """
    for failures in range(1, _MERGES.tries):
        try:
            return await _merge_once(repository, number, options, sha)
        except MethodRefused as error:
            if options.method is not None:
                raise
            options = structs.replace(options, method=await _choose_other_method(repository, error))
        except (BaseMoved, HeadMoved) as error:
            if sha is not None and isinstance(error, HeadMoved):
                raise
            await repository.github.pause(_MERGES.pause(failures), str(error))
    return await _merge_once(repository, number, options, sha)


async def _merge_once(
    repository: Repository, number: int, options: MergeOptions, sha: str | None
) -> PullRequestMerged:
    pull_request = await repository.pull_requests.get(number)
    if pull_request.is_merged:
        return report_earlier_merge(pull_request)
    if pull_request.state == "closed":
        raise PullRequestNotMergeable(f"#{number} is closed")
    try:
        merge = await repository.pull_requests.merge(number, sha or pull_request.head.sha, options)
    except (PullRequestNotMergeable, PullRequestTimeout, MergeConflict):
        # a merge whose response was lost is refused when it is asked for again
        pull_request = await repository.pull_requests.get(number)
        if not pull_request.is_merged:
            raise
        return report_earlier_merge(pull_request)
    return PullRequestMerged(merged=True, sha=merge.sha, message=merge.message)


async def _choose_other_method(repository: Repository, error: MethodRefused) -> MergeMethod:
    for method in await repository.list_merge_methods():
        if method != "merge":
            return method
    raise error


def report_earlier_merge(pull_request: PullRequest) -> PullRequestMerged:
    """Return the result for a pull request that was merged before."""
    return PullRequestMerged(
        merged=True, sha=pull_request.merge_commit_sha, message=f"#{pull_request.number} is merged already"
    )
