"""Bringing the branch of a pull request up to date with its base."""

from __future__ import annotations

from github_worker.contract import BaseMerged, MergeMethod
from github_worker.errors import PullRequestTimeout
from github_worker.forge.errors import HeadMoved, MethodRefused
from github_worker.forge.interface import Repository
from github_worker.forge.pull_request import PullRequest
from github_worker.retry import Backoff

_LOOKS = Backoff(first=0.25, longest=4.0, tries=7)


async def update_branch(
    repository: Repository, pull_request: PullRequest, methods: list[MergeMethod]
) -> BaseMerged:
    """Merge the base into the branch, or rebase the branch where merge commits are refused.

    `methods` are the ways in which the pull request may be merged: a rebase takes no merge commits.
    """
    if methods == ["rebase"]:
        return await _rebase(repository, pull_request)
    try:
        base_merged = await repository.merge_base(pull_request)
    except MethodRefused:
        return await _rebase(repository, pull_request)
    return base_merged or await _report_no_change(repository, pull_request)


async def _rebase(repository: Repository, pull_request: PullRequest) -> BaseMerged:
    branch, base = pull_request.head.ref, pull_request.base.ref
    if not (await repository.compare(branch, base)).ahead_by:
        return await _report_no_change(repository, pull_request)
    try:
        await repository.pull_requests.rebase_branch(pull_request)
    except HeadMoved:  # as it is told when it did so, and the answer was lost
        if (await repository.compare(branch, base)).ahead_by:
            raise
    tip = await _wait_for_other_tip(repository, branch, pull_request.head.sha)
    return BaseMerged(sha=tip, message=f"Rebased {branch} onto {base}")


async def _report_no_change(repository: Repository, pull_request: PullRequest) -> BaseMerged:
    branch = pull_request.head.ref
    sha = await repository.find_tip(branch) or pull_request.head.sha
    return BaseMerged(sha=sha, message=f"{branch} is up to date with {pull_request.base.ref}")


async def _wait_for_other_tip(repository: Repository, branch: str, before: str) -> str:
    """Return the commit that a branch is at once it is another one: a forge may answer before it rebases."""
    for looks in range(1, _LOOKS.tries):
        tip = await repository.find_tip(branch)
        if tip not in (None, before):
            return tip
        await repository.client.pause(_LOOKS.pause(looks), f"{branch} is being rebased")
    raise PullRequestTimeout(f"{repository.client.forge} did not rebase {branch} in time")
