"""A stand-in for a collector of traces and metrics on loopback, which reads OTLP by its own classes."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.faults import Delay, Moment
from tests.support.http import Handler
from tests.support.stand_in import StandIn

Behaviour = Literal["take", "hang", "refuse", "rubbish", "drip"]


@dataclass(frozen=True)
class Span:
    """A span as it came; ids are hexadecimal, `parent` is empty for a root."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    kind: int
    status: int
    attributes: Mapping[str, Any]
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    resource: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Point:
    """A point of a metric as it came: `value` is a sum, a gauge, or a histogram's sum, `count` its count."""

    name: str
    unit: str
    attributes: Mapping[str, Any]
    value: float
    count: int
    is_delta: bool


class Collector(StandIn):
    """Takes spans and metrics, or behaves otherwise; `bodies` is all that it was ever sent."""

    def __init__(self, behaviour: Behaviour = "take", *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.behaviour = behaviour
        self.spans: list[Span] = []
        self.points: list[Point] = []
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        super().__init__(_CollectorHandler, "collector", host=host, port=port)

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]

    def total(self, name: str, **attributes: object) -> float:
        """Return the sum of a metric's points that have these attributes."""
        return total(self.points, name, **attributes)

    def wait_for(self, count: int, operation: str = "") -> None:
        """Block until so many jobs' own spans have come."""
        deadline = time.monotonic() + 20
        while sum(span.kind == 2 and operation in span.name for span in list(self.spans)) < count:
            assert time.monotonic() < deadline, self.spans
            time.sleep(0.01)


class _CollectorHandler(Handler):
    collector: Collector

    def do_POST(self) -> None:  # noqa: N802 (http.server's name)
        body = b"".join(self.body())
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.collector.bodies.append(body)
        self.collector.headers.append({name.lower(): value for name, value in self.headers.items()})
        match self.collector.behaviour:
            case "hang":
                self.collector.faults.strike(Delay(3600), Moment.RECEIVED)
            case "refuse":
                self.answer(503, b"no")
            case "rubbish":
                self.wfile.write(b"\x00\xff nothing that HTTP knows \r\n\r\n")
                self.close_connection = True
            case "drip":
                self._drip()
            case _:
                self._take(body)

    def _drip(self) -> None:
        """Answer a byte at a time, so that no wait for the next one is long."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.collector.faults.released.wait(0.2):
            self.wfile.write(b"x")

    def _take(self, body: bytes) -> None:
        if self.path == "/v1/traces":
            self.collector.spans += _read_spans(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
        else:
            assert self.path == "/v1/metrics"
            self.collector.points += _read_points(ExportMetricsServiceRequest.FromString(body))
            answer = ExportMetricsServiceResponse().SerializeToString()
        self.answer(200, answer, Content_Type="application/x-protobuf")


def total(points: Iterable[Point], name: str, **attributes: object) -> float:
    """Return the sum of a metric's points that have these attributes."""
    return sum(
        point.value
        for point in points
        if point.name == name and attributes.items() <= point.attributes.items()
    )


def _read_spans(request: Any) -> Iterator[Span]:
    for resource_spans in request.resource_spans:
        resource = _read_attributes(resource_spans.resource.attributes)
        for span in (span for scope in resource_spans.scope_spans for span in scope.spans):
            yield Span(
                name=span.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                kind=span.kind,
                status=span.status.code,
                attributes=_read_attributes(span.attributes),
                events=tuple((event.name, _read_attributes(event.attributes)) for event in span.events),
                resource=resource,
                seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            )


def _read_points(request: Any) -> Iterator[Point]:
    scopes = (scope for resource in request.resource_metrics for scope in resource.scope_metrics)
    for metric in (metric for scope in scopes for metric in scope.metrics):
        data = getattr(metric, metric.WhichOneof("data"))
        for point in data.data_points:
            is_histogram = metric.HasField("histogram")
            value = point.sum if is_histogram else point.as_double or point.as_int
            yield Point(
                name=metric.name,
                unit=metric.unit,
                attributes=_read_attributes(point.attributes),
                value=value,
                count=point.count if is_histogram else 1,
                is_delta=getattr(data, "aggregation_temporality", 0) == 1,
            )


def _read_attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _read_value(pair.value) for pair in pairs}


def _read_value(value: Any) -> Any:
    found = getattr(value, value.WhichOneof("value"))
    return [_read_value(each) for each in found.values] if hasattr(found, "values") else found
