"""Lets a job be a part of its caller's trace, where the caller has one."""

from __future__ import annotations

import sys


def trace_headers() -> dict[str, str]:
    """Return `traceparent` of OpenTelemetry's current span, or nothing where there is none.

    Who has a span has imported OpenTelemetry: it is not imported here.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    headers = {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    state = context.trace_state.to_header()
    return headers | ({"tracestate": state} if state else {})
