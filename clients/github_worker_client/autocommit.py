"""AutoCommit: commits sessions by themselves once their edits have come to rest."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Self

from github_worker.contract import Committed, ModelCredentials, OnSecret
from github_worker.redaction import Secret
from github_worker.retry import Backoff
from github_worker_client.client import GitHubWorker
from github_worker_client.clock import Clock
from github_worker_client.edits import Rule
from github_worker_client.errors import JobFailed, NotCommitted
from github_worker_client.session_commits import Attempt, SessionCommits
from github_worker_client.wire import Credential, Token

_BACKOFF = Backoff(first=10.0, longest=900.0)
_LATER = {"remote_unavailable", "rate_limited", "file_locked"}  # reasons of a failed push that time may cure


class Credentials:
    """The credentials of a commit.

    `access_token` is for the remote, and must be allowed to push; there is none where the service makes one.
    `claude_credentials` are for the model that writes the message, as in `GitHubWorker`.
    """

    def __init__(
        self, access_token: Token | None = None, claude_credentials: Credential | None = None
    ) -> None:
        self.access_token = Secret(access_token) if isinstance(access_token, str) else access_token
        self.claude_credentials = _model_credentials(claude_credentials)


Save = Callable[[str], Awaitable[None]]
Told = Callable[[str, Committed], Awaitable[None]]
Provide = Callable[[str, str | None], Credentials | Awaitable[Credentials]]


class AutoCommit:
    """Commits what `touch` was called for, one commit at a time for a session.

    Once a session's edits have come to rest its commit is made and pushed, in the name of the last user who
    made an edit. Edits made meanwhile are committed after it. Whatever fails, a hook too, is logged and tried
    again later; the edits stay pending. So is a commit that the remote was not there to take; one that it
    refused is told as it is, with its `push_error`. A commit whose outcome was lost is asked for under the
    same request id, so none is made twice.

    It belongs to one event loop, and hooks must not await `flush` or `close`. As a context manager it closes
    at the end.
    """

    def __init__(
        self,
        worker: GitHubWorker,
        *,
        credentials: Provide,
        save: Save,
        committed: Told | None = None,
        cooldown: float = 300.0,
        max_wait: float = 1800.0,
        backoff: Backoff = _BACKOFF,
        on_secret: OnSecret | None = None,
        lfs: bool | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make an AutoCommit that works with `worker`; times are in seconds.

        - `credentials(session_id, user_id)`: returns Credentials, and may be async. It is asked for each
          commit, so that tokens can rotate; `user_id` is None if nobody was named.
        - `save(session_id)`: is awaited before each commit, so that storage has the edits.
        - `committed(session_id, result)`: is awaited after each commit, and again if it failed.
        - `cooldown`: the time without an edit after which a session is committed.
        - `max_wait`: the time after the first edit at which it is committed, whether edits go on or not.
        - `backoff`: the waits after failures in a row: 10 s that double up to 15 minutes.
        - `on_secret`: what to do with credentials in the edits, as in `GitHubWorker.commit_and_push`: with
          `leave-out` a file that holds one does not keep the others from being committed.
        - `lfs`: whether to do what git-lfs does; the worker's `LFS` by default.
        - `clock`: the time, for tests.
        """
        self._worker = worker
        self._credentials = credentials
        self._save = save
        self._committed = committed
        self._on_secret = on_secret
        self._lfs = lfs
        self._rule = Rule(cooldown=cooldown, max_wait=max_wait, backoff=backoff)
        self._clock = clock or Clock()
        self._sessions: dict[str, SessionCommits] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pending(self) -> frozenset[str]:
        """The sessions whose edits are not committed yet."""
        return frozenset(self._sessions)

    def touch(self, session_id: str, user_id: str | None = None) -> None:
        """Note that `user_id` edited the session just now; raise RuntimeError if this is closed."""
        if self._closed:
            raise RuntimeError("this AutoCommit is closed")
        if session_id not in self._sessions:
            self._begin(session_id)
        self._sessions[session_id].touch(user_id)

    async def flush(self, *session_ids: str) -> None:
        """Commit now what is pending in these sessions, or in all, and wait for it.

        Raise NotCommitted, with an error for each session that failed; their edits stay pending.
        """
        chosen = [name for name in session_ids or self._sessions if name in self._sessions]
        flushes = [self._sessions[name].flush() for name in chosen]
        outcomes = await asyncio.gather(*flushes, return_exceptions=True)
        errors = {
            name: outcome
            for name, outcome in zip(chosen, outcomes, strict=True)
            if isinstance(outcome, Exception)
        }
        if errors:
            raise NotCommitted(errors)

    async def close(self) -> None:
        """Commit what is pending, with one try for each session, and stop.

        Raise NotCommitted, with an error for each session that failed; their edits are committed no more.
        """
        self._closed = True
        try:
            await self.flush()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, session_id: str) -> None:
        commit = partial(self._commit, session_id)
        session = SessionCommits(session_id, commit, self._rule, self._clock)
        self._sessions[session_id] = session
        task = asyncio.get_running_loop().create_task(
            self._run(session_id, session), name=f"auto-commit {session_id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, session_id: str, session: SessionCommits) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[session_id]

    async def _commit(self, session_id: str, attempt: Attempt) -> None:
        if attempt.result is None:
            await self._save(session_id)
            attempt.result = await self._ask(session_id, attempt)
        if self._committed is not None:
            await self._committed(session_id, attempt.result)

    async def _ask(self, session_id: str, attempt: Attempt) -> Committed:
        user_id = attempt.edits.user_id
        given = self._credentials(session_id, user_id)
        credentials = await given if inspect.isawaitable(given) else given
        attempt.asked = True
        try:
            result = await self._worker.commit_and_push(
                session_id=session_id,
                access_token=credentials.access_token,
                claude_credentials=credentials.claude_credentials,
                user_id=user_id,
                on_secret=self._on_secret,
                lfs=self._lfs,
                request_id=attempt.request_id,
            )
            return _check_push(result)
        except JobFailed:
            attempt.asked = False
            raise


def _check_push(result: Committed) -> Committed:
    """Return a commit that is pushed or never will be; raise JobFailed where pushing it later may help."""
    error = result.push_error
    if error is not None and error.code in _LATER:
        raise JobFailed(error.message, code=error.code, stage="pushing", retryable=True)
    return result


def _model_credentials(value: Credential | None) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    return ModelCredentials(value if isinstance(value, str) else json.dumps(dict(value)))
