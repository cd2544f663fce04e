"""The collector of traces and metrics, where there is one: what this process did is sent before it ends."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable

from github_worker.contract import Workers
from github_worker.exchanges import record
from github_worker.jobs import Job
from github_worker.settings import Settings
from github_worker.tracing import Trace, begin_span
from github_worker.web.refusals import Refusals

TELEMETRY = "github_worker.telemetry.otlp"

logger = logging.getLogger(__name__)


class Collector:
    """Remembers what the collector is to be sent; does nothing where there is none."""

    def __init__(self, settings: Settings, container_id: str) -> None:
        self.refusals = Refusals()
        self._settings, self._container_id = settings, container_id
        self._recorder = None if settings.otlp is None else record()
        self._is_failing = False

    async def load(self) -> None:
        """Import what sending needs, in a thread."""
        if self._recorder is not None:
            await asyncio.to_thread(importlib.import_module, TELEMETRY)

    def begin(self, caller: Trace | None) -> Trace | None:
        """Begin the span of a job; without a collector there is only its caller's."""
        if self._recorder is None:
            return caller
        self._recorder.trace = begin_span(caller)
        return self._recorder.trace

    def send(self, job: Job | None = None, workers: Workers | None = None) -> None:
        """Send what was not sent yet, within two seconds; a collector that is down costs one line."""
        if self._recorder is None or self._settings.otlp is None:
            return
        from github_worker import telemetry  # noqa: PLC0415 (not unless there is a collector)

        facts = telemetry.Facts(
            settings=self._settings,
            otlp=self._settings.otlp,
            container_id=self._container_id,
            job=job,
            exchanges=self._recorder.exchanges,
            refusals=self.refusals.take(),
            workers=workers,
        )
        reason = telemetry.send(facts)
        if reason is not None and not self._is_failing:
            logger.warning("traces or metrics are lost", extra={"fields": {"reason": reason}})
        self._is_failing = reason is not None

    async def keep_sending(self, count: Callable[[], Workers | None]) -> None:
        """Send at intervals, for as long as the process lives."""
        while self._settings.otlp is not None:
            await asyncio.sleep(self._settings.otlp.interval)
            await asyncio.to_thread(self.send, None, count())
