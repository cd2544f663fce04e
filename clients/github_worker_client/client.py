"""GitHubWorker: the service's endpoints as awaitable methods, and their streams of events."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Self

import httpx
import msgspec

from github_worker.contract import (
    AnyEvent,
    Author,
    AutoPullRequest,
    BranchCreated,
    Cloned,
    CloneRepository,
    CommitAndPush,
    Committed,
    CreateBranch,
    CreatePullRequest,
    Health,
    InitSession,
    MergeMethod,
    MergePullRequest,
    PullRequestFinished,
    PullRequestMerged,
    PullRequestOpened,
    Request,
    SessionInitialised,
    Status,
)
from github_worker.redaction import Secret
from github_worker.retry import Backoff
from github_worker_client import wire
from github_worker_client.clock import Clock
from github_worker_client.replicas import Replicas
from github_worker_client.wire import AnyResult, Credential, Token

OnEvent = Callable[[AnyEvent], object]

# A replica is free at once or after a job's time; swarms of callers must not knock in step.
_BACKOFF = Backoff(at_once=4, first=0.2, longest=3.0)


class GitHubWorker:
    """A client of the service at `base_url`; `token` is its `GITHUB_WORKER_TOKEN`.

    A replica that is busy, restarting or gone is left for another, on a new connection, for up to
    `busy_timeout` seconds; then WorkerBusy or WorkerUnavailable is raised. A stream that breaks, or is silent
    for `silence_timeout` seconds (a worker sends something every 15), is asked for again with the same
    request id, `stream_attempts` times in all; then StreamBroken is raised. An error that the worker reports
    is JobFailed, and is not retried. A wrong field is InvalidRequest before anything is sent.

    `on_event` of each method is called with every event; it may be async. After a broken stream the events
    begin anew. If it raises, the call ends with that, while the worker finishes the job.
    """

    def __init__(
        self,
        base_url: str,
        token: Token | None = None,
        *,
        busy_timeout: float = 120.0,
        connect_timeout: float = 5.0,
        silence_timeout: float = 60.0,
        stream_attempts: int = 4,
        backoff: Backoff = _BACKOFF,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(silence_timeout, connect=connect_timeout, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            transport=transport,
            trust_env=False,  # requests carry tokens: they go to no proxy that was not asked for
        )
        self._replicas = Replicas(
            self._http,
            Secret(token) if isinstance(token, str) else token,
            busy_timeout=busy_timeout,
            stream_attempts=stream_attempts,
            backoff=backoff,
            clock=clock or Clock(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def clone_repository(
        self,
        *,
        session_id: str,
        repo_url: str,
        branch: str | None = None,
        directory: str | None = None,
        access_token: Token | None = None,
        depth: int | None = None,
        all_branches: bool = False,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> Cloned:
        """Clone a repository into a session, or update the one that is there."""
        request = wire.build(
            CloneRepository,
            session_id=session_id,
            repo_url=repo_url,
            branch=branch,
            directory=directory,
            access_token=access_token,
            depth=depth,
            all_branches=all_branches,
            request_id=request_id,
        )
        return await self._result(request, Cloned, on_event)

    async def create_branch(
        self,
        *,
        session_id: str,
        user_request: str,
        base_branch: str,
        access_token: Token,
        repo_url: str | None = None,
        claude_credentials: Credential | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> BranchCreated:
        """Start a branch with a good name in the session, and push it."""
        request = wire.build(
            CreateBranch,
            session_id=session_id,
            user_request=user_request,
            base_branch=base_branch,
            access_token=access_token,
            repo_url=repo_url,
            claude_credentials=claude_credentials,
            request_id=request_id,
        )
        return await self._result(request, BranchCreated, on_event)

    async def commit_and_push(
        self,
        *,
        session_id: str,
        access_token: Token,
        claude_credentials: Credential | None = None,
        user_id: str | None = None,
        author: Author | None = None,
        message: str | None = None,
        allow_secrets: bool = False,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> Committed:
        """Commit everything that changed in the session's repository, and push it."""
        request = wire.build(
            CommitAndPush,
            session_id=session_id,
            access_token=access_token,
            claude_credentials=claude_credentials,
            user_id=user_id,
            author=author,
            message=message,
            allow_secrets=allow_secrets,
            request_id=request_id,
        )
        return await self._result(request, Committed, on_event)

    async def init_session(
        self,
        *,
        session_id: str,
        repo_url: str,
        user_request: str,
        access_token: Token,
        branch: str | None = None,
        directory: str | None = None,
        claude_credentials: Credential | None = None,
        depth: int | None = None,
        all_branches: bool = False,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> SessionInitialised:
        """Clone a repository and start a branch in it."""
        request = wire.build(
            InitSession,
            session_id=session_id,
            repo_url=repo_url,
            user_request=user_request,
            access_token=access_token,
            branch=branch,
            directory=directory,
            claude_credentials=claude_credentials,
            depth=depth,
            all_branches=all_branches,
            request_id=request_id,
        )
        return await self._result(request, SessionInitialised, on_event)

    async def create_pull_request(
        self,
        *,
        base: str,
        access_token: Token,
        owner: str | None = None,
        repo: str | None = None,
        head: str | None = None,
        session_id: str | None = None,
        title: str | None = None,
        body: str | None = None,
        draft: bool = False,
        claude_credentials: Credential | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> PullRequestOpened:
        """Open a pull request; `session_id` stands for owner, repo and head."""
        request = wire.build(
            CreatePullRequest,
            session_id=session_id,
            owner=owner,
            repo=repo,
            head=head,
            base=base,
            title=title,
            body=body,
            draft=draft,
            claude_credentials=claude_credentials,
            access_token=access_token,
            request_id=request_id,
        )
        return await self._result(request, PullRequestOpened, on_event)

    async def merge_pull_request(
        self,
        *,
        owner: str,
        repo: str,
        pull_number: int,
        access_token: Token,
        merge_method: MergeMethod | None = None,
        commit_title: str | None = None,
        commit_message: str | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> PullRequestMerged:
        """Merge a pull request; one that is merged already is reported as merged."""
        request = wire.build(
            MergePullRequest,
            owner=owner,
            repo=repo,
            pull_number=pull_number,
            merge_method=merge_method,
            commit_title=commit_title,
            commit_message=commit_message,
            access_token=access_token,
            request_id=request_id,
        )
        return await self._result(request, PullRequestMerged, on_event)

    async def auto_pull_request(
        self,
        *,
        base: str,
        access_token: Token,
        owner: str | None = None,
        repo: str | None = None,
        branch: str | None = None,
        session_id: str | None = None,
        title: str | None = None,
        body: str | None = None,
        wait_for_checks: bool = False,
        claude_credentials: Credential | None = None,
        request_id: str | None = None,
        on_event: OnEvent | None = None,
    ) -> PullRequestFinished:
        """Take a branch through a pull request into its base; `session_id` stands for owner, repo, branch."""
        request = wire.build(
            AutoPullRequest,
            session_id=session_id,
            owner=owner,
            repo=repo,
            branch=branch,
            base=base,
            title=title,
            body=body,
            wait_for_checks=wait_for_checks,
            claude_credentials=claude_credentials,
            access_token=access_token,
            request_id=request_id,
        )
        return await self._result(request, PullRequestFinished, on_event)

    async def health(self) -> Health:
        """Ask one replica how it is; raise WorkerUnavailable at once if it does not answer."""
        return await self._replicas.get("/health", Health)

    async def status(self) -> Status:
        """Ask one replica what it does; raise WorkerUnavailable at once if it does not answer."""
        return await self._replicas.get("/status", Status)

    async def stream(self, request: Request) -> AsyncGenerator[AnyEvent, None]:
        """Run a job and yield its events; the last one is Completed or Failed.

        After a broken stream the events begin anew. Leaving early leaves the job running; wrap the iterator
        in `contextlib.aclosing` to let go of the connection at once.
        """
        wire.check(request)
        request = msgspec.structs.replace(request, request_id=request.request_id or uuid.uuid4().hex)
        async with aclosing(self._replicas.stream(request)) as events:
            async for event in events:
                yield event

    async def _result(self, request: Request, kind: type[AnyResult], on_event: OnEvent | None) -> AnyResult:
        event = None
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                called = on_event and on_event(event)
                if inspect.isawaitable(called):
                    await called
        return wire.outcome(event, kind)
