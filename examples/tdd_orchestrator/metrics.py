"""What Prometheus is told, read from the store when it asks, so that it survives every process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from examples.tdd_orchestrator.store import Store

_STATES = {
    "tasks": ("pending", "in_progress", "passing", "complete", "blocked"),
    "runs": ("running", "completed", "failed"),
    "circuits": ("closed", "open", "half_open"),
}


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


async def prometheus(store: Store) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families([*_gauges(await store.snapshot()), *_attempts(await store.statistics())]))
    return generate_latest(registry)


def _gauges(shown: dict[str, list[dict[str, Any]]]) -> Iterator[Metric]:
    for kind, states in _STATES.items():
        name = "state" if kind == "circuits" else "status"
        family = GaugeMetricFamily(f"tdd_{kind}", f"How many {kind} there are, by {name}.", labels=[name])
        counts = Counter(row[name] for row in shown[kind])
        for state in states:
            family.add_metric([state], counts[state])
        yield family


def _attempts(rows: list[dict[str, Any]]) -> Iterator[Metric]:
    attempts = CounterMetricFamily(
        "tdd_stage_attempts", "Attempts at a stage, by outcome.", labels=["stage", "outcome"]
    )
    seconds = SummaryMetricFamily("tdd_stage_seconds", "The time that attempts took.", labels=["stage"])
    for row in rows:
        attempts.add_metric([row["stage"], "passed" if row["ok"] else "failed"], row["count"])
    for stage in dict.fromkeys(row["stage"] for row in rows):
        mine = [row for row in rows if row["stage"] == stage]
        seconds.add_metric([stage], sum(row["count"] for row in mine), sum(row["seconds"] for row in mine))
    yield from (attempts, seconds)
