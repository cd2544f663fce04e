"""What was measured, in the format that Prometheus reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from github_worker.measurements import METRICS, Metric, Sample, Snapshot, decode
from github_worker.web.app import Answer

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

Measure = Callable[[], Awaitable[bytes]]

_LACK = (
    "The metrics need the package prometheus-client, which is not installed here:"
    " pip install 'github-worker[metrics]'\n"
)
_SILENT = "The supervisor does not say what was measured; ask again.\n"


class Monitored:
    """An application that tells who comes by one port the metrics, and nothing else."""

    def __init__(self, app: ASGIApp, metrics: Answer, port: int) -> None:
        self._app, self._port = app, port
        self._metrics = Starlette(routes=[Route("/metrics", metrics)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the port that the connection came to."""
        app = self._metrics if scope["server"][1] == self._port else self._app
        await app(scope, receive, send)


def answer_from(measure: Measure) -> Answer:
    """Return the endpoint that tells what `measure` returns."""

    async def metrics(request: Request) -> Response:
        try:
            data = await measure()
        except OSError:
            return PlainTextResponse(_SILENT, 503)
        accepted = request.headers.get("accept", "")
        try:
            # Imported when somebody asks, and in a thread, as it takes some time.
            text, kind = await asyncio.to_thread(write, decode(data), accepted)
        except ModuleNotFoundError:
            return PlainTextResponse(_LACK, 501)
        return Response(text, headers={"Content-Type": kind})

    return metrics


def write(snapshot: Snapshot, accepted: str) -> tuple[bytes, str]:
    """Write values in the format that is accepted, and say which it is; raise ModuleNotFoundError."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 (most workers are never asked)
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    class All(Collector):
        def collect(self) -> Iterator[Family]:
            return (_make_family(metric, snapshot[metric.name]) for metric in METRICS)

    registry = CollectorRegistry()
    registry.register(All())
    encode, kind = choose_encoder(accepted)
    return encode(registry), kind


def _make_family(metric: Metric, samples: list[Sample]) -> Family:
    from prometheus_client import metrics_core  # noqa: PLC0415

    if metric.kind == "histogram":
        histogram = metrics_core.HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for sample in samples:
            histogram.add_metric(sample.labels, _list_buckets(metric, sample), sample.value)
        return histogram
    make = metrics_core.CounterMetricFamily if metric.kind == "counter" else metrics_core.GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        family.add_metric(sample.labels, sample.value)
    return family


def _list_buckets(metric: Metric, sample: Sample) -> list[tuple[str, float]]:
    """Return how many values were at most as large as each bound."""
    bounds = [*(str(bound) for bound in metric.bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(sample.counts)), strict=True))
