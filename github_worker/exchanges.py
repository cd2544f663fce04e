"""Records this process's requests to other services, for traces, once `record` is called; else nothing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from github_worker.measurements import tally
from github_worker.tracing import Trace

Service = Literal["storage", "github", "gitlab", "gitea", "model"]
Tokens = Annotated[int, Meta(ge=0, lt=2**32)]  # as many as an answer is believed
Hooks = dict[str, list[Callable[[Any], Any]]]
_MOST = 1000  # of one job


class Usage(Struct):
    """What the model says of an answer: who gave it, and how many tokens went in and out."""

    model: str = ""
    stop_reason: str | None = None
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0


class Exchange(Struct, kw_only=True):
    """A request to another service and its answer; `began` and `ended` are nanoseconds since the epoch."""

    service: Service
    method: str
    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    span_id: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))
    began: int = msgspec.field(default_factory=time.time_ns)
    ended: int = 0
    status: int | None = None
    error: str | None = None
    usage: Usage | None = None

    def note(self, event: str, info: dict[str, Any]) -> None:
        """Take note of what httpcore says of it, by its extension `trace`."""
        if event.endswith("receive_response_headers.complete"):
            self.status = info["return_value"][1]
        elif event.endswith(".failed"):
            self.end(type(info["exception"]).__name__)
        elif event.endswith("response_closed.complete"):
            self.end()

    async def note_later(self, event: str, info: dict[str, Any]) -> None:
        """Do the same where httpcore awaits it."""
        self.note(event, info)

    def end(self, error: str | None = None) -> None:
        """Take note that it is over; what is said first counts."""
        if not self.ended:
            self.ended, self.error = time.time_ns(), error


class _Answer(Struct):
    """What is read of the model's answer: never its text."""

    model: str = ""
    stop_reason: str | None = None
    usage: Usage | None = None


class Recorder:
    """Records exchanges; those with storage are a part of `trace`, and storage is told so."""

    def __init__(self) -> None:
        self.trace: Trace | None = None
        self.exchanges: list[Exchange] = []

    def begin(self, request: Any, service: Service) -> Exchange:
        """Record that a request of httpx, or of its successor, is about to be sent."""
        url = request.url
        exchange = Exchange(
            service=service,
            method=request.method,
            scheme=url.scheme,
            host=url.host,
            port=url.port or {"http": 80, "https": 443}.get(url.scheme),
            path=url.path,
        )
        self.add(exchange)
        if service == "storage" and self.trace is not None:
            request.headers["traceparent"] = self.trace.with_span(exchange.span_id).header
            if self.trace.state:
                request.headers["tracestate"] = self.trace.state
        return exchange

    def add(self, exchange: Exchange) -> None:
        """Record an exchange, unless there are too many to send."""
        if len(self.exchanges) < _MOST:
            self.exchanges.append(exchange)


_recorder: Recorder | None = None


def record() -> Recorder:
    """Record what is asked from now on."""
    global _recorder  # noqa: PLW0603 (a process has one job, and its clients are made in many places)
    _recorder = Recorder()
    return _recorder


def hooks_for(service: Service, *, is_async: bool = False) -> Hooks:
    """Return the hooks with which a client of httpx is recorded: none, unless somebody records."""
    recorder = _recorder
    if recorder is None:
        return {}

    def begin(request: Any) -> None:
        request.extensions["trace"] = recorder.begin(request, service).note

    async def begin_later(request: Any) -> None:
        request.extensions["trace"] = recorder.begin(request, service).note_later

    return {"request": [begin_later if is_async else begin]}


def note_usage(request: Any, body: bytes) -> None:
    """Count the tokens that the model's answer says it took, and note them with its request."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return  # whoever asked says what is wrong with it
    if answer.usage is None:
        return
    tally.count("tokens read", answer.usage.input_tokens)
    tally.count("tokens written", answer.usage.output_tokens)
    if _recorder is not None:
        answer.usage.model, answer.usage.stop_reason = answer.model[:100], (answer.stop_reason or "")[:100]
        exchange: Exchange = request.extensions["trace"].__self__
        exchange.usage = answer.usage


def is_recorded() -> bool:
    """Tell whether somebody records."""
    return _recorder is not None


@contextmanager
def recorded(service: Service, method: str) -> Iterator[None]:
    """Record the block as one exchange with a service whose library has no hooks."""
    if _recorder is None:
        yield
        return
    exchange = Exchange(service=service, method=method)
    _recorder.add(exchange)
    try:
        yield
    except BaseException as error:
        exchange.end(type(error).__name__)
        raise
    finally:
        exchange.end()
