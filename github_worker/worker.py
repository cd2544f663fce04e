"""One worker, put together: gate, application, server, and the operations once they are imported."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from github_worker import __version__
from github_worker.channel import Channel, Kind, Message
from github_worker.collector import TELEMETRY, Collector
from github_worker.contract import REQUESTS, Request, Result, decode_request
from github_worker.errors import ConfigurationError
from github_worker.jobs import Gate, Job, Timeouts
from github_worker.measurements import CODES, OPERATIONS, STAGES, list_amounts
from github_worker.progress import Report
from github_worker.sandbox import confine, seal
from github_worker.scratch import Scratch
from github_worker.settings import Settings
from github_worker.tracing import read_trace
from github_worker.web.address import CannotListen
from github_worker.web.app import Start, create_app, warning_for
from github_worker.web.handover import ChildServer, LendingProtocol, Tickets, start_elsewhere
from github_worker.web.metrics import Monitored, answer_from
from github_worker.web.server import WorkerServer, leave

if TYPE_CHECKING:
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from github_worker.services import Services

logger = logging.getLogger(__name__)

# Seconds: where callers queue, a job comes at once, and the model's SDK costs more than most jobs.
_IDLE = 0.5
# What a job imports, and what libraries import when they are first used.
_MODULES = (
    *("github_worker.operations", "github_worker.services", "github_worker.naming.model"),
    *("uvloop", "uvicorn.loops.uvloop", "uvicorn.lifespan.off", "uvicorn.protocols.http.httptools_impl"),
    *("httpcore", "certifi", "httpcore2", "truststore", "encodings.idna"),
)
_SWITCH_INTERVAL = 0.0005  # seconds: threads that compute let the loop answer `/health` ten times sooner


class Operations(Protocol):
    """What a worker does with the request that it admits."""

    async def load(self, scratch: Scratch) -> None:
        """Prepare, now that the port is open, to work in `scratch`; a job that is already there waits."""

    async def run(self, request: Request, report: Report) -> Result:
        """Do what is asked."""

    async def cleanup(self) -> None:
        """Remove what the job needed, now that its client knows the outcome."""

    def close(self) -> None:
        """Give back what the job was lent, now that its client has all of its stream; it may block."""


class LazyOperations:
    """The real operations, imported in a thread while the worker is idle; a job waits for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded = asyncio.Event()
        self._asked = False

    async def load(self, scratch: Scratch) -> None:
        """Import what every job needs, and after a while of idleness what only some do."""
        self._services = await asyncio.to_thread(_services, self._settings, scratch)
        self._loaded.set()
        await asyncio.sleep(_IDLE)
        if not self._asked:
            await asyncio.to_thread(importlib.import_module, "github_worker.naming.model")

    async def run(self, request: Request, report: Report) -> Result:
        """Run the request's operation."""
        self._asked = True
        await self._loaded.wait()
        from github_worker import operations  # noqa: PLC0415 (imported by now)

        return await operations.run(request, self._services, report)

    async def cleanup(self) -> None:
        """Clean up what the operation used."""
        await self._loaded.wait()
        await self._services.cleanup()

    def close(self) -> None:
        """Give back what the operation was lent."""
        if self._loaded.is_set():
            self._services.close()


class WarmOperations(LazyOperations):
    """The real operations in a process that has inherited all imports."""

    async def load(self, scratch: Scratch) -> None:
        """Build what a job needs."""
        self._services = _services(self._settings, scratch)
        self._loaded.set()


def serve(settings: Settings, operations: Operations, limits: Timeouts) -> None:
    """Serve one job and end the process; raise ConfigurationError if that cannot be confined as asked."""
    container_id = socket.gethostname()
    scratch = Scratch(settings.tmp_dir)
    sandbox = confine(settings, _open(scratch))
    gate = Gate(operations.run, operations.cleanup, settings.job_timeout, limits)
    collector = Collector(settings, container_id)

    def close() -> None:
        scratch.remove()
        operations.close()
        collector.send(gate.job)

    async def on_open(address: str) -> None:
        description = describe(settings, address, sandbox)
        level = logging.WARNING if description["warning"] else logging.INFO
        logger.log(level, "listening", extra={"fields": description})
        sys.setswitchinterval(_SWITCH_INTERVAL)
        await _prepare(scratch, rehearse, partial(operations.load, scratch), collector.load)
        gc.freeze()
        gc.enable()

    app = create_app(
        *(gate, start_here(gate, limits, collector), settings, limits),
        container_id=container_id,
        sandbox=sandbox,
        refusals=collector.refusals,
    )
    address = (settings.host, settings.port)
    server = WorkerServer(
        app, gate, address=address, container_id=container_id, on_open=on_open, on_close=close
    )
    try:
        server.run()
    except CannotListen as error:
        logger.critical(str(error))
    finally:
        scratch.remove()


def serve_handed(
    settings: Settings, operations: Operations, limits: Timeouts, channel: Channel, ticket: socket.socket
) -> None:
    """Serve the request that `ticket` brings, at its turn among those of other processes, and end."""
    container_id = socket.gethostname()
    scratch = Scratch(settings.tmp_dir)
    sandbox = confine(settings, _open(scratch, take_in=False))
    turns = Turns(channel)

    async def cleanup() -> None:
        try:
            await operations.cleanup()
        finally:
            channel.send_all([*_measure(gate.job), (Kind.DONE,)])

    async def on_open(address: str) -> None:
        stream = importlib.import_module("github_worker.web.stream")
        await _prepare(scratch, stream.rehearse, server.rehearse, partial(operations.load, scratch))
        turns.listen()
        gc.enable()
        if not await server.answer(ticket):
            scratch.remove()
            leave(0)

    def close() -> None:
        scratch.remove()
        operations.close()
        collector.send(gate.job)

    gate = Gate(operations.run, cleanup, settings.job_timeout, limits, turns.wait)
    collector = Collector(settings, container_id)
    app = create_app(
        *(gate, start_here(gate, limits, collector), settings, limits),
        container_id=container_id,
        sandbox=sandbox,
        refusals=collector.refusals,
    )
    address = (settings.host, settings.port)
    server = ChildServer(
        app, gate, address=address, container_id=container_id, on_open=on_open, on_close=close
    )
    server.run(sockets=[])


def accept(
    settings: Settings,
    limits: Timeouts,
    channel: Channel,
    listener: socket.socket,
    monitor: socket.socket | None = None,
) -> None:
    """Answer all that is no job, and hand jobs over, until the supervisor says that it is over.

    Who comes by `monitor` is told the metrics and nothing else.
    """
    container_id = socket.gethostname()
    scratch = Scratch(settings.tmp_dir)
    sandbox = confine(settings, _open(scratch, take_in=False))
    tickets = Tickets(channel, settings.workers or 1)

    collector = Collector(settings, container_id)

    def close() -> None:
        scratch.remove()
        collector.send(workers=tickets.workers)

    async def on_open(address: str) -> None:
        tickets.listen()
        gc.enable()
        await collector.keep_sending(lambda: tickets.workers)

    metrics = answer_from(tickets.measure)
    app: ASGIApp = create_app(
        *(tickets, start_elsewhere(tickets), settings, limits),
        container_id=container_id,
        sandbox=sandbox,
        refusals=collector.refusals,
        metrics=metrics,
    )
    if monitor is not None:
        app = Monitored(app, metrics, monitor.getsockname()[1])
    ChildServer(
        app,
        tickets,
        address=(settings.host, settings.port),
        container_id=container_id,
        on_open=on_open,
        on_close=close,
        protocol=LendingProtocol,
    ).run(sockets=[listener] if monitor is None else [listener, monitor])


def warm_up(settings: Settings) -> None:
    """Import all that children need, and run what is slow at first, without a thread or a connection.

    Raise ConfigurationError where no child could work.
    """
    scratch = Scratch(settings.tmp_dir)
    _open(scratch, take_in=False)
    scratch.remove()
    seal()
    _warm_up()
    store = "storage_worker" if settings.storage_worker_url else "object_store"
    telemetry = [] if settings.otlp is None else [TELEMETRY]
    for name in (*_MODULES, f"github_worker.storage.{store}", *telemetry):
        importlib.import_module(name)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # OpenSSL prepares its algorithms once: 2 ms that a child saves
    if settings.storage_worker_url:  # and reads the authorities once: ten times as long
        importlib.import_module(f"github_worker.storage.{store}").load_trust(settings.storage_worker_url)
    has_app = settings.github_app is not None
    for name in ("github_worker.github.app", "jwt") if has_app else ():
        importlib.import_module(name)
    importlib.import_module("github_worker.web.openapi").description(may_lack_token=has_app)
    asyncio.run(importlib.import_module("github_worker.web.stream").rehearse())
    sys.setswitchinterval(_SWITCH_INTERVAL)


def start_here(gate: Gate, limits: Timeouts, collector: Collector) -> Start:
    """Return how a job is started that is done in this process."""

    async def start(request: HttpRequest, job: Request, body: bytes | bytearray) -> Response:
        from github_worker.web.stream import JobStream  # noqa: PLC0415 (imported while the worker is idle)

        headers = request.headers
        caller = read_trace(headers.get("traceparent"), headers.get("tracestate"))
        gate.check()
        request.state.job = gate.admit(job, collector.begin(caller))
        return JobStream(request.state.job, limits.ping)

    return start


class Turns:
    """Asks the supervisor for this process's turn."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    def listen(self) -> None:
        """Heed the supervisor, and tell it that a request may come."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._read)
        self._channel.send(Kind.READY)

    async def wait(self, job: Job) -> None:
        """Wait for the turn, telling the place in line."""
        self._channel.send(Kind.TAKEN, OPERATIONS.index(job.request.operation))
        while (message := await self._messages.get()).kind != Kind.BEGIN:
            job.report.queued(message.numbers[0])

    def _read(self) -> None:
        try:
            for message in self._channel.receive():
                self._messages.put_nowait(message)
        except EOFError:  # no job outlives its supervisor
            leave(1)


def _measure(job: Job | None) -> Iterator[tuple[int, ...]]:
    """Yield the messages that say what a job took, and what it came to."""
    if job is None or job.code is None:
        return
    for stage, milliseconds in job.report.timings.items():
        yield Kind.STAGE, STAGES.index(stage), milliseconds
    yield from ((Kind.AMOUNT, *numbers) for numbers in list_amounts(job.report.bytes))
    yield Kind.CODE, CODES.index(job.code)


async def rehearse() -> None:
    """Import what a stream needs, and stream to nobody."""
    await asyncio.to_thread(_warm_up)
    await importlib.import_module("github_worker.web.stream").rehearse()


def _open(scratch: Scratch, *, take_in: bool = True) -> Path:
    """Make the folder of the job, now that this process may still write beside it."""
    try:
        return scratch.open(take_in=take_in)
    except OSError as error:
        raise ConfigurationError(
            f"TMP_DIR is {scratch.parent}, where user {os.geteuid()} cannot make a folder: {error.strerror}"
        ) from None


async def _prepare(scratch: Scratch, *steps: Callable[[], Awaitable[None]]) -> None:
    """Make what a job needs ready; end the process if that fails, as no job could run."""
    try:
        for step in steps:
            await step()
    except ConfigurationError as error:
        logger.critical(str(error))
        scratch.remove()
        leave(2)
    except Exception:
        logger.critical("this worker could run no job", exc_info=True)
        scratch.remove()
        leave(1)


def _services(settings: Settings, scratch: Scratch) -> Services:
    importlib.import_module("github_worker.operations")
    if settings.github_app is not None:
        importlib.import_module("jwt")
    from github_worker.services import Services  # noqa: PLC0415 (in a thread, once the port is open)

    return Services.from_settings(settings, scratch)


def _warm_up() -> None:
    """Import what a stream needs, and let msgspec compile the requests' patterns."""
    for name in ("github_worker.web.stream", "anyio._backends._asyncio"):
        importlib.import_module(name)
    for kind in REQUESTS.values():
        with contextlib.suppress(ValueError):
            decode_request(kind, b"{}")


def describe(settings: Settings, address: str, sandbox: str | None = None) -> dict[str, str | None]:
    """Return what the first line of the log says."""
    return {
        "version": __version__,
        "address": address,
        "store": _store(settings),
        "sandbox": sandbox,
        "warning": warning_for(settings),
    }


def _store(settings: Settings) -> str:
    if settings.storage_worker_url:
        return "storage worker"
    return settings.storage_url.partition(":")[0] if settings.storage_url else "folder"
