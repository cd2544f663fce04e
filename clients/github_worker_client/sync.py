"""The client for callers without an event loop: the same methods, which block until they have a result."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from github_worker.contract import AnyEvent, Request
from github_worker_client import client
from github_worker_client.wire import Token

Arguments = ParamSpec("Arguments")
Outcome = TypeVar("Outcome")


def _blocking(
    method: Callable[Concatenate[client.GitHubWorker, Arguments], Coroutine[Any, Any, Outcome]],
) -> Callable[Concatenate[GitHubWorker, Arguments], Outcome]:
    """Return a method that takes the same arguments, and blocks until it is done."""

    @wraps(method)
    def call(self: GitHubWorker, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Outcome:
        return self._run(method(self._client, *args, **kwargs))

    return call


class GitHubWorker:
    """A client like `github_worker_client.GitHubWorker`, whose methods block; any number of threads share it.

    An `on_event` is called in the client's own thread, and awaited there if it is async.
    """

    def __init__(self, base_url: str, token: Token | None = None, **options: Any) -> None:
        """Make a client; it connects when it is asked for something, in a thread that it starts now.

        The arguments, options too, are those of `github_worker_client.GitHubWorker`.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="github-worker", daemon=True)
        self._client = client.GitHubWorker(base_url, token, **options)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; a call that still runs in another thread is cancelled."""
        if self._loop.is_closed():
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    clone_repository = _blocking(client.GitHubWorker.clone_repository)
    create_branch = _blocking(client.GitHubWorker.create_branch)
    commit_and_push = _blocking(client.GitHubWorker.commit_and_push)
    init_session = _blocking(client.GitHubWorker.init_session)
    create_pull_request = _blocking(client.GitHubWorker.create_pull_request)
    merge_pull_request = _blocking(client.GitHubWorker.merge_pull_request)
    auto_pull_request = _blocking(client.GitHubWorker.auto_pull_request)
    sync_branch = _blocking(client.GitHubWorker.sync_branch)
    switch_branch = _blocking(client.GitHubWorker.switch_branch)
    inspect_session = _blocking(client.GitHubWorker.inspect_session)
    health = _blocking(client.GitHubWorker.health)
    status = _blocking(client.GitHubWorker.status)

    def stream(self, request: Request) -> Iterator[AnyEvent]:
        """Run a job and yield its events; the last one is Completed or Failed, which raises nothing here.

        Closing the iterator early leaves the job running. See `github_worker_client.GitHubWorker.stream`.
        """
        events = self._client.stream(request)
        try:
            while (event := self._run(_next(events))) is not None:
                yield event
        finally:
            self._run(events.aclose())

    def _run(self, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # an interrupt of the caller's, which must not leave the call running
            future.cancel()
            raise

    async def _close(self) -> None:
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._client.aclose()


async def _next(events: AsyncGenerator[AnyEvent, None]) -> AnyEvent | None:
    return await anext(events, None)
