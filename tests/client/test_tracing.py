"""A caller's trace goes along with its requests, where it has one."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
from opentelemetry.trace.span import TraceState

from github_worker.tracing import read_trace
from github_worker_client.tracing import trace_headers


def test_without_a_span_nothing_is_sent() -> None:
    """There is no trace to be a part of."""
    assert trace_headers() == {}


def test_the_current_span_is_the_parent() -> None:
    """The worker reads what the client wrote."""
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s") as span:
        trace = read_trace(trace_headers()["traceparent"])
    context = span.get_span_context()
    assert trace is not None
    assert (int(trace.trace_id, 16), int(trace.span_id, 16)) == (context.trace_id, context.span_id)
    assert trace.is_sampled


def test_the_state_of_other_vendors_goes_along() -> None:
    """It is theirs, and nobody on the way may drop it."""
    state = TraceState([("vendor", "v1")])
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0), trace_state=state)
    with use_span(NonRecordingSpan(context)):
        assert trace_headers() == {"traceparent": f"00-{1:032x}-{2:016x}-00", "tracestate": "vendor=v1"}
