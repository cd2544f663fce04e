"""The gate: admits one job, sees it through apart from its client, and tells when the process may go."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from github_worker.contract import AnyEvent, Completed, Failed, Request, Result, Workers, WorkerStatus
from github_worker.errors import Busy, Internal, JobError, JobTimeout, ShuttingDown
from github_worker.progress import Report

logger = logging.getLogger(__name__)

_SLACK = 5.0  # seconds that the loop of an idle worker may be late
_MOMENT = 0.002  # seconds, in which a job's first event goes out

Run = Callable[[Request, Report], Coroutine[Any, Any, Result]]
Cleanup = Callable[[], Awaitable[None]]
Turn = Callable[[Report], Coroutine[Any, Any, None]]


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
    """An admitted request and the events that are on their way to its client."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.report = Report(self.send)
        self.stream_closed = asyncio.Event()
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._events: asyncio.Queue[AnyEvent | None] = asyncio.Queue()
        self._ended = False

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

    def admit(self, request: Request) -> Job:
        """Start the one job; raise Busy or ShuttingDown."""
        self.check()
        self.job = Job(request)
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
            if not await self._comes_up(job):
                logger.info("job given up while it waited", extra={"fields": _identity(job.request)})
                return
            self._began = True
            work = asyncio.create_task(self._run(job.request, job.report))
            await asyncio.sleep(_MOMENT)  # the client waits, and the log does not
            logger.info("job admitted", extra={"fields": _identity(job.request)})
            await asyncio.wait({work}, timeout=self._job_timeout)
            job.report.event(_outcome(job, work))
            await self._unwind(work)
            job.close()
            await _within(self._limits.linger, job.stream_closed.wait())
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._over.set()

    async def _comes_up(self, job: Job) -> bool:
        """Wait for the job's turn; return whether its client waited too."""
        if self._turn is None:
            return True
        turn = asyncio.ensure_future(self._turn(job.report))
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
    logger.info("job ended", extra={"fields": {**_identity(job.request), **ending, "timings": timings}})
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


def _identity(request: Request) -> dict[str, str | None]:
    return {
        "operation": request.operation,
        "sessionId": getattr(request, "session_id", None),
        "requestId": request.request_id,
    }


async def _within(seconds: float, event: Awaitable[object]) -> None:
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        logger.warning("the client did not read its stream to the end")
