"""The commits of one session, one after the other: when the next is due, and what a failure leaves."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Awaitable, Callable

from github_worker.contract import Committed
from github_worker.redaction import scrub
from github_worker.retry import jitter
from github_worker_client.clock import Clock
from github_worker_client.edits import Edits, Rule, join
from github_worker_client.errors import GitHubWorkerError

logger = logging.getLogger("github_worker_client")


class Attempt:
    """A commit of `edits`.

    Once `asked`, the worker may have made it: it is asked for again under the same request id until the
    worker says how it went. `result` is set when it is made and only its hook is still to be told.
    """

    def __init__(self, edits: Edits) -> None:
        self.edits = edits
        self.request_id = uuid.uuid4().hex
        self.asked = False
        self.result: Committed | None = None


class SessionCommits:
    """A session with edits. `run` is to be a task; it ends when nothing is pending."""

    def __init__(
        self, session_id: str, commit: Callable[[Attempt], Awaitable[None]], rule: Rule, clock: Clock
    ) -> None:
        self._session_id = session_id
        self._commit = commit
        self._rule = rule
        self._clock = clock
        self._edits: Edits | None = None
        self._unsettled: Attempt | None = None
        self._failures = 0
        self._not_before = -math.inf
        self._hurry = asyncio.Event()
        self._flushes: list[asyncio.Future[None]] = []

    def touch(self, user_id: str | None) -> None:
        """Note an edit."""
        now = self._clock.now()
        self._edits = join(self._edits, Edits(first=now, last=now, user_id=user_id))

    def flush(self) -> asyncio.Future[None]:
        """Commit without waiting; the future ends when that is done, or with a failed attempt's error."""
        flushed = asyncio.get_running_loop().create_future()
        self._flushes.append(flushed)
        self._hurry.set()
        return flushed

    async def run(self) -> None:
        """Commit what is pending, each time that it is due."""
        try:
            while attempt := await self._next():
                await self._try(attempt)
            _end(self._flushes)
        finally:
            _end(self._flushes, GitHubWorkerError("closed before the edits were committed"))

    async def _next(self) -> Attempt | None:
        while pending := self._unsettled or self._edits:
            wait = self._due(pending) - self._clock.now()
            if wait <= 0 or self._hurry.is_set():
                return self._begin(pending)
            await self._clock.wait(self._hurry, wait)
        return None

    def _due(self, pending: Attempt | Edits) -> float:
        rested = pending.due(self._rule) if isinstance(pending, Edits) else -math.inf
        return max(rested, self._not_before)

    def _begin(self, pending: Attempt | Edits) -> Attempt:
        if isinstance(pending, Attempt):
            return pending
        self._edits = None
        return Attempt(pending)

    async def _try(self, attempt: Attempt) -> None:
        self._hurry.clear()
        self._flushes = [flush for flush in self._flushes if not flush.done()]
        flushes = list(self._flushes)
        if error := await self._error_of(attempt):
            self._put_off(attempt, error)
            _end(flushes, error)
            return
        resumed, self._unsettled = self._unsettled is not None, None
        self._failures, self._not_before = 0, -math.inf
        if resumed and self._edits and flushes:
            self._hurry.set()  # edits that came after the attempt began are not in it
        else:
            _end(flushes)

    async def _error_of(self, attempt: Attempt) -> Exception | None:
        try:
            await self._commit(attempt)
        except asyncio.CancelledError:
            # A hook that awaits what was cancelled is one that failed; it must not take the edits along.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return GitHubWorkerError("a hook was cancelled")
        except Exception as error:
            return error
        return None

    def _put_off(self, attempt: Attempt, error: Exception) -> None:
        if attempt.asked:
            self._unsettled = attempt
        else:
            self._unsettled, self._edits = None, join(attempt.edits, self._edits)
        self._failures += 1
        wait = self._rule.backoff.pause(self._failures, jitter())
        self._not_before = self._clock.now() + wait
        reason = scrub(f"{type(error).__name__}: {error}")
        logger.warning("session %s is not committed, next try in %.0f s: %s", self._session_id, wait, reason)


def _end(flushes: list[asyncio.Future[None]], error: Exception | None = None) -> None:
    for flush in flushes:
        if flush.done():
            continue
        if error is None:
            flush.set_result(None)
        else:
            flush.set_exception(error)
