"""Counts what a process did; each tells what is new since it began, so that sums over all are right."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.metrics import Histogram as Instrument
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource

from github_worker import __version__
from github_worker.exchanges import Exchange
from github_worker.jobs import Job
from github_worker.measurements import GIVEN_UP, direction_of
from github_worker.settings import Settings
from github_worker.telemetry import Facts

_SECOND = 1e9  # nanoseconds
# A process is too short for a sum of its own that grows: what it adds is told once.
_DELTA: dict[type, AggregationTemporality] = dict.fromkeys(
    (Counter, Histogram, ObservableCounter), AggregationTemporality.DELTA
)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


def measure(facts: Facts, resource: Resource) -> MetricsData | None:
    """Measure what a process did; None where OpenTelemetry is told to be off."""
    reader = InMemoryMetricReader(preferred_temporality=_DELTA)
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    meter = provider.get_meter("github_worker", __version__)
    refusals = meter.create_counter("github_worker.refusals", "{refusal}", "Requests refused before a job.")
    for code, count in facts.refusals.items():
        refusals.add(count, {"code": code})
    if facts.workers is not None:
        queue = meter.create_gauge("github_worker.queue.length", "{job}", "Jobs that wait for their turn.")
        queue.set(facts.workers.queued)
        busy = meter.create_gauge("github_worker.workers.busy", "{job}", "Jobs at work.")
        busy.set(facts.workers.busy)
    if facts.job is not None:
        _measure_job(facts.job, meter)
        _measure_exchanges(facts.exchanges, meter)
        _measure_tokens(facts.exchanges, facts.settings, meter)
    return reader.get_metrics_data()


def _measure_job(job: Job, meter: Meter) -> None:
    kind = {"operation": job.request.operation}
    outcome = {**kind, "code": job.code or GIVEN_UP}
    meter.create_counter("github_worker.jobs", "{job}", "Jobs by what became of them.").add(1, outcome)
    waits = _make_seconds(meter, "github_worker.queue.wait", "From admission to a job's turn.")
    durations = _make_seconds(meter, "github_worker.job.duration", "From a job's turn to its outcome.")
    stages = _make_seconds(meter, "github_worker.stage.duration", "How long stages took.")
    moved = meter.create_counter(
        "github_worker.transferred", "By", "Bytes of sessions and of clones, as they were sent."
    )
    if job.began_at is not None:
        waits.record((job.began_at - job.admitted_at) / _SECOND, kind)
        durations.record(((job.ended_at or job.began_at) - job.began_at) / _SECOND, outcome)
    for stage in job.report.stages:
        stages.record((stage.ended - stage.began) / _SECOND, {**kind, "stage": stage.stage})
    for name, count in job.report.bytes.items():
        moved.add(count, {**kind, "direction": direction_of(name)})


def _measure_exchanges(exchanges: Sequence[Exchange], meter: Meter) -> None:
    durations = _make_seconds(meter, "http.client.request.duration", "Requests to other services.")
    for exchange in exchanges:
        found = {
            "peer.service": exchange.service,
            "http.request.method": exchange.method,
            "server.address": exchange.host,
            "http.response.status_code": exchange.status,
            "error.type": exchange.error,
        }
        if exchange.host and exchange.ended:
            seconds = (exchange.ended - exchange.began) / _SECOND
            durations.record(seconds, {name: value for name, value in found.items() if value is not None})


def _measure_tokens(exchanges: Sequence[Exchange], settings: Settings, meter: Meter) -> None:
    tokens = meter.create_histogram(
        "gen_ai.client.token.usage",
        "{token}",
        "The model's tokens.",
        explicit_bucket_boundaries_advisory=_TOKENS,
    )
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": settings.naming_model,
    }
    for usage in [exchange.usage for exchange in exchanges if exchange.usage]:
        tokens.record(usage.input_tokens, {**asked, "gen_ai.token.type": "input"})
        tokens.record(usage.output_tokens, {**asked, "gen_ai.token.type": "output"})


def _make_seconds(meter: Meter, name: str, description: str) -> Instrument:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS)
