"""One worker, put together: gate, application, server, and the operations once they are imported."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from github_worker import __version__
from github_worker.contract import REQUESTS, Request, Result, decode_request
from github_worker.errors import ConfigurationError
from github_worker.jobs import Gate, Timeouts
from github_worker.progress import Report
from github_worker.sandbox import confine
from github_worker.scratch import Scratch
from github_worker.settings import Settings
from github_worker.web.app import create_app, warning_for
from github_worker.web.server import WorkerServer, leave

if TYPE_CHECKING:
    from github_worker.services import Services

logger = logging.getLogger(__name__)

# Seconds: where callers queue, a job comes at once, and the model's SDK costs more than most jobs.
_IDLE = 0.5
_SWITCH_INTERVAL = 0.0005  # seconds: threads that compute let the loop answer `/health` ten times sooner


class Operations(Protocol):
    """What a worker does with the request that it admits."""

    async def load(self, scratch: Scratch) -> None:
        """Prepare, now that the port is open, to work in `scratch`; a job that is already there waits."""

    async def run(self, request: Request, report: Report) -> Result:
        """Do what is asked."""

    async def cleanup(self) -> None:
        """Remove what the job needed, now that its client knows the outcome."""


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


def serve(settings: Settings, operations: Operations, limits: Timeouts) -> None:
    """Serve one job and end the process; raise ConfigurationError if that cannot be confined as asked."""
    container_id = socket.gethostname()
    scratch = Scratch(settings.tmp_dir)
    sandbox = confine(settings, _open(scratch))
    gate = Gate(operations.run, operations.cleanup, settings.job_timeout, limits)

    async def on_open(address: str) -> None:
        description = _description(settings, address, sandbox)
        level = logging.WARNING if description["warning"] else logging.INFO
        logger.log(level, "listening", extra={"fields": description})
        sys.setswitchinterval(_SWITCH_INTERVAL)
        await _prepare(operations, scratch)
        gc.freeze()
        gc.enable()

    app = create_app(gate, settings, container_id, limits, sandbox)
    address = (settings.host, settings.port)
    server = WorkerServer(
        app, gate, address=address, container_id=container_id, on_open=on_open, on_close=scratch.remove
    )
    try:
        server.run()
    finally:
        scratch.remove()


def _open(scratch: Scratch) -> Path:
    """Make the folder of the job, now that this process may still write beside it."""
    try:
        return scratch.open()
    except OSError as error:
        raise ConfigurationError(f"TMP_DIR cannot be written to: {error.strerror}") from None


async def _prepare(operations: Operations, scratch: Scratch) -> None:
    """Make what a job needs ready; end the process if that fails, as no job could run."""
    try:
        await asyncio.to_thread(_warm_up)
        await importlib.import_module("github_worker.web.stream").rehearse()
        await operations.load(scratch)
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
    from github_worker.services import Services  # noqa: PLC0415 (in a thread, once the port is open)

    return Services.from_settings(settings, scratch)


def _warm_up() -> None:
    """Import what a stream needs, and let msgspec compile the requests' patterns."""
    for name in ("github_worker.web.stream", "anyio._backends._asyncio"):
        importlib.import_module(name)
    for kind in REQUESTS.values():
        with contextlib.suppress(ValueError):
            decode_request(kind, b"{}")


def _description(settings: Settings, address: str, sandbox: str) -> dict[str, str | None]:
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
