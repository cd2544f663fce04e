"""The gate: admits one job, sees it through apart from its client, and tells when the process may go."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol
from uuid import uuid4

import msgspec
from msgspec import Struct, structs

from github_worker.contract import (
    AnyEvent,
    Completed,
    Failed,
    RepositoryUrl,
    Request,
    Result,
    Workers,
    WorkerStatus,
)
from github_worker.errors import Busy, Internal, JobError, JobTimeout, ShuttingDown
from github_worker.logs import lines_of_job
from github_worker.progress import Report
from github_worker.redaction import scrub
from github_worker.tracing import Trace

logger = logging.getLogger(__name__)

_SLACK = 5.0  # seconds that the loop of an idle worker may be late
_MOMENT = 0.002  # seconds, in which a job's first event goes out

Run = Callable[[Request, Report], Coroutine[Any, Any, Result]]
Cleanup = Callable[[], Awaitable[None]]
Turn = Callable[["Job"], Coroutine[Any, Any, None]]


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long a worker waits, in seconds.

    `ping` is the pause between a stream's comments, `body` how long a request's body may take, `grace` how
    long a cancelled job may unwind and the cleanup may take, `linger` how long a client may take to read
    what is left of its stream when the job has ended. `overdue` is how much longer than all of that a job's
    process may take before its supervisor kills it.
    """

    ping: float = 15.0
    body: float = 10.0
    grace: float = 30.0
    linger: float = 10.0
    overdue: float = 30.0


class Job:
    """An admitted request and the events that are on their way to its client.

    Its id is the caller's, or one that is made: the first event tells it.
    """

    def __init__(self, request: Request, trace: Trace | None = None) -> None:
        self.id = request.request_id or f"job-{uuid4().hex}"
        self.request = structs.replace(request, request_id=self.id)
        self.trace = trace
        self.admitted_at = time.time_ns()
        self.began_at: int | None = None  # its turn, in nanoseconds since the epoch
        self.ended_at: int | None = None
        self.outcome: Completed | Failed | None = None
        self.report = Report(self.send)
        self.report.identity |= _identify(self.request, trace)
        self.stream_closed = asyncio.Event()
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._events: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        self._begun = self._ended = False

    @property
    def code(self) -> str | None:
        """Return what became of it in one word, `completed` or an error's code; None if nothing has."""
        if self.outcome is None:
            return None
        return self.outcome.code if isinstance(self.outcome, Failed) else "completed"

    def send(self, event: AnyEvent) -> None:
        """Send an event, from any thread; what comes after a terminal event is dropped."""
        if threading.get_ident() == self._thread:
            self._put(event)
        else:
            self._loop.call_soon_threadsafe(self._put, event)

    def close(self) -> None:
        """End the stream after the events that were sent."""
        self._events.put_nowait(None)

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield the events in the order in which they were sent, until the stream ends."""
        while (event := await self._events.get()) is not None:
            yield event

    def _put(self, event: AnyEvent) -> None:
        if not self._ended:
            self._ended = isinstance(event, Completed | Failed)
            if not self._begun:
                self._begun, event = True, structs.replace(event, request_id=scrub(self.id))
            self._events.put_nowait(event)


class Admission(Protocol):
    """Says whether a job is admitted, and when the process that answers may go."""

    draining: bool

    @property
    def status(self) -> WorkerStatus:
        """Whether no more jobs would be begun at once."""

    @property
    def workers(self) -> Workers | None:
        """The jobs of this machine, or None where one is all there is."""

    @property
    def operation(self) -> str | None:
        """The operation of the one job that is there."""

    @property
    def failing(self) -> bool:
        """Whether no job could be begun."""

    def check(self) -> None:
        """Raise Busy or ShuttingDown if no job can be admitted."""

    def watch(self) -> None:
        """Put off the moment that ends the process whatever it hangs in."""

    def drain(self) -> None:
        """Admit nothing any more."""

    async def over(self) -> None:
        """Wait until the process may go."""


class Gate:
    """Admits one job in the life of the process, whose deadline is `job_timeout` seconds after its turn.

    `turn` waits for that, where other jobs come first: a client that leaves meanwhile takes its job along.
    `cleanup` is awaited after the terminal event and before the end of the stream.
    """

    workers: Workers | None = None
    failing = False

    def __init__(
        self, run: Run, cleanup: Cleanup, job_timeout: float, limits: Timeouts, turn: Turn | None = None
    ) -> None:
        self.job: Job | None = None
        self.draining = False
        self._run, self._cleanup, self._turn = run, cleanup, turn
        self._job_timeout, self._limits = job_timeout, limits
        self._began = False
        self._over = asyncio.Event()

    @property
    def status(self) -> WorkerStatus:
        """Whether there is a job."""
        return "idle" if self.job is None else "busy"

    @property
    def operation(self) -> str | None:
        """The operation of the job."""
        return self.job.request.operation if self.job else None

    def check(self) -> None:
        """Raise Busy or ShuttingDown if no job can be admitted."""
        if self.draining:
            raise ShuttingDown("this worker is shutting down")
        if self.job is not None:
            raise Busy("this worker has a job")

    def admit(self, request: Request, trace: Trace | None = None) -> Job:
        """Start the one job, as a part of its caller's trace; raise Busy or ShuttingDown."""
        self.check()
        self.job = Job(request, trace)
        self._task = asyncio.create_task(self._see_through(self.job))
        return self.job

    def watch(self) -> None:
        """Put off the moment that ends the process whatever it hangs in; call it every second.

        From a job's beginning on it stands. It needs no GIL, so it comes (with status 1) even if a native
        library never gives that back.
        """
        if not self._began:
            longest = self._job_timeout + 2 * self._limits.grace + self._limits.linger
            faulthandler.dump_traceback_later(longest + _SLACK, exit=True)

    def drain(self) -> None:
        """Admit nothing any more; the process may go once a running job has ended."""
        self.draining = True
        if self.job is None:
            self._over.set()

    async def over(self) -> None:
        """Wait until the process may go."""
        await self._over.wait()

    async def _see_through(self, job: Job) -> None:
        try:
            with lines_of_job(job.report.identity):
                await self._do(job)
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._over.set()

    async def _do(self, job: Job) -> None:
        if not await self._comes_up(job):
            logger.info("job given up while it waited")
            return
        self._began = True
        job.began_at = time.time_ns()
        work = asyncio.create_task(self._run(job.request, job.report))
        await asyncio.sleep(_MOMENT)  # the client waits, and the log does not
        logger.info("job admitted")
        await asyncio.wait({work}, timeout=self._job_timeout)
        job.outcome = _outcome(job, work)
        job.ended_at = time.time_ns()
        job.report.event(job.outcome)
        await self._unwind(work)
        job.close()
        await _within(self._limits.linger, job.stream_closed.wait())

    async def _comes_up(self, job: Job) -> bool:
        """Wait for the job's turn; return whether its client waited too."""
        if self._turn is None:
            return True
        turn = asyncio.ensure_future(self._turn(job))
        left = asyncio.create_task(job.stream_closed.wait())
        done, rest = await asyncio.wait({turn, left}, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        return turn in done

    async def _unwind(self, work: asyncio.Task[Result]) -> None:
        work.cancel()
        await asyncio.wait({work}, timeout=self._limits.grace)
        try:
            await asyncio.wait_for(self._cleanup(), self._limits.grace)
        except Exception:
            logger.exception("cleanup failed")


def _outcome(job: Job, work: asyncio.Task[Result]) -> Completed | Failed:
    stage, timings = job.report.stage, job.report.finish()
    error = _error(work)
    ending = {"code": error.code, "error": str(error)} if error else {"code": "completed"}
    if error is None:
        job.report.place(None, _find_branch(work.result()))
    logger.log(_level_of(error), "job ended", extra={"fields": {**ending, "timingsMs": timings}})
    if error is None:
        return Completed(data=msgspec.to_builtins(work.result()), timings=timings)
    return Failed(
        error=str(error),
        code=error.code,
        stage=stage,
        retryable=error.retryable,
        data={**job.report.achieved, **error.data} or None,
    )


def _error(work: asyncio.Task[Result]) -> JobError | None:
    if not work.done():
        return JobTimeout()
    error = asyncio.CancelledError() if work.cancelled() else work.exception()
    if error is None or isinstance(error, JobError):
        return error
    logger.error("job failed unexpectedly", exc_info=error)
    return Internal()


def _level_of(error: JobError | None) -> int:
    """Return the level of a job's last line: a bug is for whoever runs the service, as failures may be."""
    if error is None:
        return logging.INFO
    return logging.ERROR if isinstance(error, Internal) else logging.WARNING


def _identify(request: Request, trace: Trace | None) -> dict[str, str | None]:
    """Return what every line of a job says, as far as its request tells."""
    return {
        "operation": request.operation,
        "sessionId": getattr(request, "session_id", None),
        "requestId": request.request_id,
        "container": socket.gethostname(),
        **({"traceId": trace.trace_id, "spanId": trace.span_id} if trace else {}),
        **_find_place(request),
    }


def _find_place(request: Request) -> dict[str, str]:
    """Return the repository and the branch that a request names."""
    url, owner = getattr(request, "repo_url", None), getattr(request, "owner", None)
    repository = f"{owner}/{getattr(request, 'repo', None)}" if owner else None
    if url is not None:
        repository = RepositoryUrl.parse(url).full_name
    branch = getattr(request, "branch", None) or getattr(request, "head", None)
    return {name: text for name, text in (("repository", repository), ("branch", branch)) if text}


def _find_branch(result: Result) -> str | None:
    return getattr(result, "branch_name", None) or getattr(result, "branch", None)


async def _within(seconds: float, event: Awaitable[object]) -> None:
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        logger.warning("the client did not read its stream to the end")
