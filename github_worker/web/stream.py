"""A job's events as a `text/event-stream`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.types import Message, Receive, Scope, Send

from github_worker.contract import CloneRepository, decode_request, encode_event
from github_worker.jobs import Job
from github_worker.redaction import scrub

# A job that runs when SIGTERM comes is finished and its stream completed.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # theirs has no annotations

_REHEARSAL = b'{"sessionId":"rehearsal","repoUrl":"https://localhost/re/hearsal","accessToken":"-"}'


class JobStream(EventSourceResponse):
    """The response that carries a job's events; the connection ends with it, as the process does."""

    def __init__(self, job: Job, ping: float) -> None:
        super().__init__(
            _lines(job),
            # The media type by itself would come with a charset, and theirs for caches is `no-store`.
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "X-Request-ID": scrub(job.id),
            },
            ping=ping,
            sep="\n",
        )
        self.headers["Connection"] = "close"  # theirs overrides what it is handed
        self._job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the job is over or the client is gone, and tell the job."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._job.stream_closed.set()


async def _lines(job: Job) -> AsyncIterator[str]:
    async for event in job.events():
        yield encode_event(event).decode()


async def rehearse() -> None:
    """Stream a job to nobody: what runs for the first time is slow, and a worker's one job would pay."""
    job = Job(decode_request(CloneRepository, _REHEARSAL))
    job.report("downloading_session", "")
    job.close()

    async def receive() -> Message:
        return await asyncio.Future[Message]()

    async def send(message: Message) -> None:
        await asyncio.sleep(0)

    await JobStream(job, ping=1.0)({"type": "http", "method": "POST"}, receive, send)
