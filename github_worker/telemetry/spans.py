"""Makes a job's spans of what it did: one for itself, one for each stage and each request."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from github_worker import __version__
from github_worker.contract import Failed
from github_worker.exchanges import Exchange
from github_worker.jobs import Job
from github_worker.measurements import GIVEN_UP
from github_worker.progress import StageTime
from github_worker.telemetry import Facts
from github_worker.telemetry.attributes import describe_exchange, describe_job, name_exchange, say
from github_worker.tracing import Trace


class _Ids(IdGenerator):
    """Hands out the ids that were told while the job ran, and random ones for what nobody was told of."""

    def __init__(self, trace: Trace) -> None:
        self._trace_id = int(trace.trace_id, 16)
        self.next = int(trace.span_id, 16)

    def generate_trace_id(self) -> int:
        """Return the one trace."""
        return self._trace_id

    def generate_span_id(self) -> int:
        """Return the id that comes next."""
        return self.next


class _Ended(SpanProcessor):
    """Collects spans that have ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Collect a span."""
        self.spans.append(span)


def make_spans(facts: Facts, resource: Resource) -> Sequence[ReadableSpan]:
    """Make a job's spans, if there was one and the sampler takes them."""
    if facts.job is None or facts.job.trace is None:
        return ()
    ids, ended = _Ids(facts.job.trace), _Ended()
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(ended)
    tracer = provider.get_tracer("github_worker", __version__)
    _JobTrace(facts, facts.job, tracer, ids).trace(facts.job.trace)
    return ended.spans


class _JobTrace:
    """Makes the spans of one job."""

    def __init__(self, facts: Facts, job: Job, tracer: Tracer, ids: _Ids) -> None:
        self._facts, self._job, self._tracer, self._ids = facts, job, tracer, ids
        ends = [job.admitted_at, *(stage.ended for stage in job.report.stages)]
        self._end = job.ended_at or max(ends)

    def trace(self, trace: Trace) -> None:
        """Make the job's own span, and those of its parts."""
        job, sessions = self._job, self._facts.otlp.sessions
        code = job.code or GIVEN_UP
        span = self._tracer.start_span(
            job.request.operation,
            context=_find_parent(trace),
            kind=SpanKind.SERVER,
            start_time=job.admitted_at,
            attributes=describe_job(job, code, sessions),
        )
        for moment, warning in job.report.warnings:
            message = say(warning.message, job, sessions)
            span.add_event("warning", {"code": warning.code, "message": message}, moment)
        if isinstance(job.outcome, Failed):
            span.set_attribute("error.type", code)
            span.set_status(StatusCode.ERROR, say(job.outcome.error, job, sessions))
        self._trace_parts(span)
        span.end(self._end)

    def _trace_parts(self, parent: Span) -> None:
        """Make the spans of stages, and of requests in the stage in which each began."""
        root = set_span_in_context(parent, Context())
        stages = [(stage, self._trace_stage(stage, root)) for stage in self._job.report.stages]
        for exchange in self._facts.exchanges:
            found = [context for stage, context in stages if stage.began <= exchange.began <= stage.ended]
            self._trace_exchange(exchange, found[-1] if found else root)

    def _trace_stage(self, stage: StageTime, root: Context) -> Context:
        self._ids.next = secrets.randbits(64) or 1
        span = self._tracer.start_span(stage.stage, context=root, start_time=stage.began)
        if moved := self._job.report.bytes.get(stage.stage):
            span.set_attribute("github_worker.bytes", moved)
        span.end(stage.ended)
        return set_span_in_context(span, Context())

    def _trace_exchange(self, exchange: Exchange, context: Context) -> None:
        self._ids.next = int(exchange.span_id, 16)
        settings, session_id = self._facts.settings, self._job.report.identity.get("sessionId")
        span = self._tracer.start_span(
            name_exchange(exchange, settings),
            context=context,
            kind=SpanKind.CLIENT,
            start_time=exchange.began,
            attributes=describe_exchange(exchange, settings, session_id),
        )
        if exchange.error or (exchange.status or 0) >= 400:
            span.set_status(StatusCode.ERROR)
        span.end(exchange.ended or max(self._end, exchange.began))


def _find_parent(trace: Trace) -> Context:
    """Return the context of the caller's span, or an empty one."""
    if not trace.parent_id:
        return Context()
    context = SpanContext(
        int(trace.trace_id, 16),
        int(trace.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(trace.is_sampled)),
        trace_state=TraceState.from_header([trace.state]) if trace.state else None,
    )
    return set_span_in_context(NonRecordingSpan(context), Context())
