"""Waiting until a pull request can be merged: for the forge to find out, and for the checks of its head."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable

from github_worker.errors import JobTimeout, MergeConflict, PullRequestNotMergeable, PullRequestTimeout
from github_worker.forge.checks import SETTLING, summarize
from github_worker.forge.client import Client
from github_worker.forge.errors import HeadMoved, NotVisible, StillChecking
from github_worker.forge.interface import Repository
from github_worker.forge.pull_request import PullRequest
from github_worker.progress import Report
from github_worker.retry import Backoff

_TIMEOUT = 30.0  # seconds
_SIGHTS = Backoff(first=0.25, longest=4.0, tries=6)
_POLLS = Backoff(first=0.25, longest=10.0)


async def retry_until_visible(client: Client, step: Callable[[], Awaitable[None]]) -> None:
    """Take a step, and take it again while the forge does not see what was made or moved just before."""
    for failures in range(1, _SIGHTS.tries):
        try:
            return await step()
        except (NotVisible, HeadMoved, StillChecking) as error:
            await client.pause(_SIGHTS.pause(failures), str(error))
    return await step()


def choose_limit(timeout: float | None, *, wait_for_checks: bool) -> float | None:
    """Return the seconds to wait; checks are waited for as long as the job lasts, unless it is said."""
    return _TIMEOUT if timeout is None and not wait_for_checks else timeout


class MergeWait:
    """Waits until a pull request can be merged, for so many seconds over all of its rounds.

    `limit` is None for as long as the job lasts; `required` are the checks to wait for, none of them for all
    that come, and None to wait for no checks. `settling` is how long the first check may take to appear.
    """

    def __init__(
        self,
        repository: Repository,
        number: int,
        report: Report,
        *,
        limit: float | None,
        required: set[str] | None = None,
        settling: float = SETTLING,
    ) -> None:
        self._repository = repository
        self._forge = repository.client.forge
        self._number = number
        self._report = report
        self._deadline = time.monotonic() + (math.inf if limit is None else limit)
        self._required = required
        self._settling = settling
        self._first_looks: dict[str, float] = {}  # at a head

    async def until_mergeable(self, outdated: str | None) -> PullRequest:
        """Poll until the pull request can be merged or has been, and return it.

        `outdated` is a head that it had before. Raise MergeConflict or PullRequestNotMergeable where it
        cannot be merged, PullRequestTimeout when that takes too long to know.
        """
        reason = f"Asking whether #{self._number} can be merged"
        polls = 0
        while True:
            self._report("waiting_mergeable", reason)
            pull_request = await self._repository.pull_requests.get(self._number)
            if pull_request.is_merged:
                return pull_request
            waiting_for = await self._find_reason(pull_request, outdated)
            if waiting_for is None:
                return pull_request
            reason = f"#{self._number} waits for {waiting_for}"
            polls += 1
            await self._pause(_POLLS.pause(polls), reason)

    async def _find_reason(self, pull_request: PullRequest, outdated: str | None) -> str | None:
        """Return what the pull request waits for, None where it can be merged."""
        if pull_request.state == "closed":
            raise PullRequestNotMergeable(f"#{self._number} was closed")
        if pull_request.head.sha == outdated:
            return f"{self._forge} to see the branch's newest commit"
        if pull_request.mergeable is None:
            return f"{self._forge} to find out whether it can be merged"
        _require_mergeable(pull_request)
        return None if self._required is None else await self._find_pending(pull_request, self._required)

    async def _find_pending(self, pull_request: PullRequest, required: set[str]) -> str | None:
        sha = pull_request.head.sha
        age = time.monotonic() - self._first_looks.setdefault(sha, time.monotonic())
        present = await self._repository.list_checks(pull_request)
        summary = summarize(present, required)
        if not (required or summary.pending or summary.failed):
            present += await self._repository.list_upcoming_checks(pull_request, age / self._settling)
            summary = summarize(present, required)
        if summary.failed:
            raise PullRequestNotMergeable(f"#{self._number}: checks failed: {', '.join(summary.failed)}")
        if summary.pending:
            return f"checks: {', '.join(summary.pending)}"
        return "the first check to appear" if age < self._settling and not (present or required) else None

    async def _pause(self, seconds: float, reason: str) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise PullRequestTimeout(f"{self._forge} did not settle in time: {reason}")
        try:
            await self._repository.client.pause(min(seconds, left), reason)
        except JobTimeout as error:
            raise PullRequestTimeout(str(error)) from None


def _require_mergeable(pull_request: PullRequest) -> None:
    number = pull_request.number
    if pull_request.mergeable is False and pull_request.mergeable_state == "dirty":
        raise MergeConflict(f"#{number} conflicts with {pull_request.base.ref}")
    if pull_request.mergeable is False:
        raise PullRequestNotMergeable(f"#{number} cannot be merged: it is {pull_request.mergeable_state}")
