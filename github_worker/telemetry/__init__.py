"""Sends traces and metrics by OTLP, once all that callers wait for is out.

Nothing imports it unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set. A job is not slowed down by spans: what it
did is remembered in plain values (`progress.Report`, `exchanges`), and becomes spans when it is over.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from msgspec import Struct

from github_worker.contract import Workers
from github_worker.exchanges import Exchange
from github_worker.jobs import Job
from github_worker.settings import Otlp, Settings

PATIENCE = 2.0  # seconds in all, whatever the collector does


class Facts(Struct, kw_only=True):
    """What a process did, or the acceptor since it last told."""

    settings: Settings
    otlp: Otlp
    container_id: str
    job: Job | None = None
    exchanges: Sequence[Exchange] = ()
    refusals: Mapping[str, int] = {}
    workers: Workers | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return self.job is None and not self.refusals and self.workers is None


def send(facts: Facts) -> str | None:
    """Send what is to be told within two seconds, and return why the collector has not all of it."""
    if facts.is_empty:
        return None
    failures: list[str] = []
    # The process may end while its thread still waits for the collector.
    thread = threading.Thread(target=_send, args=(facts, failures), daemon=True, name="telemetry")
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        failures.append(f"the collector did not take it within {PATIENCE:g} s")
    return failures[0] if failures else None


def _send(facts: Facts, failures: list[str]) -> None:
    from github_worker.telemetry.otlp import export  # noqa: PLC0415 (imported while the worker is idle)

    try:
        failures += export(facts)
    except Exception as error:  # it is the collector's or a library's, and concerns no caller
        failures.append(f"{type(error).__name__}: {error}")
