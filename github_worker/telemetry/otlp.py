"""OpenTelemetry's SDK: it decides what is sampled and how a resource is named, and sends."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.util.re import parse_env_headers

from github_worker import __version__
from github_worker.settings import Otlp, Settings
from github_worker.telemetry import Facts
from github_worker.telemetry.metrics import measure
from github_worker.telemetry.spans import make_spans

_TIMEOUT = 1.8  # seconds: less than is waited for in all, so that the SDK can say what went wrong

# It would say the same several times: the one line is ours.
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


def export(facts: Facts) -> list[str]:
    """Send spans and metrics at once; return what went wrong."""
    otlp, resource = facts.otlp, _describe_process(facts)
    sendings: list[Callable[[], str | None]] = []
    if otlp.traces_url is not None and (spans := make_spans(facts, resource)):
        sendings.append(lambda: _send_spans(facts.settings, otlp, otlp.traces_url, spans))
    if otlp.metrics_url is not None and (metrics := measure(facts, resource)):
        sendings.append(lambda: _send_metrics(facts.settings, otlp, otlp.metrics_url, metrics))
    with ThreadPoolExecutor(2) as threads:
        return [failure for failure in threads.map(lambda sending: sending(), sendings) if failure]


def _send_spans(settings: Settings, otlp: Otlp, url: str | None, spans: Sequence[Any]) -> str | None:
    exporter = OTLPSpanExporter(**_arguments(settings, otlp, url))
    sent = exporter.export(spans) is SpanExportResult.SUCCESS
    return None if sent else "the collector did not take the spans"


def _send_metrics(settings: Settings, otlp: Otlp, url: str | None, metrics: Any) -> str | None:
    exporter = OTLPMetricExporter(**_arguments(settings, otlp, url))
    sent = exporter.export(metrics) is MetricExportResult.SUCCESS
    return None if sent else "the collector did not take the metrics"


def _arguments(settings: Settings, otlp: Otlp, url: str | None) -> dict[str, Any]:
    session = requests.Session()
    session.trust_env = False  # else ~/.netrc would be read, and the environment's proxies
    if proxy := settings.proxy_for(url or ""):
        session.proxies = {"https": proxy.reveal()}
    headers = parse_env_headers(otlp.headers.reveal(), liberal=True) if otlp.headers else None
    return {"endpoint": url, "headers": headers, "timeout": _TIMEOUT, "session": session}


def _describe_process(facts: Facts) -> Resource:
    """Describe this process, which nobody else writes metrics as; OpenTelemetry's variables add to it."""
    ours = Resource(
        {
            "service.name": "github-worker",
            "service.version": __version__,
            "service.instance.id": f"{facts.container_id}-{os.getpid()}",
            "container.id": facts.container_id,
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": sdk_version,
        }
    )
    return ours.merge(OTELResourceDetector().detect())
