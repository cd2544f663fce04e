"""Reads where a request stands in a caller's trace: the header `traceparent` of W3C's Trace Context."""

from __future__ import annotations

import re
import secrets

from msgspec import Struct, structs

# version, trace, parent, flags; a later version may have more behind them, and ff is none.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1
_MAX_STATE = 512  # characters


class Trace(Struct, frozen=True):
    """A trace and a span in it, as hexadecimal digits; `parent_id` is the span that this one is a part of."""

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""
    parent_id: str = ""

    @property
    def header(self) -> str:
        """The `traceparent` by which others make their spans a part of this one."""
        return f"00-{self.trace_id}-{self.span_id}-{self.is_sampled:02x}"

    def with_span(self, span_id: str) -> Trace:
        """Return the trace with another span, a part of this one."""
        return structs.replace(self, span_id=span_id, parent_id=self.span_id)


def begin_span(caller: Trace | None) -> Trace:
    """Begin a span of this process: a part of its caller's, or of a trace of its own."""
    if caller is None:
        return Trace(secrets.token_hex(16), secrets.token_hex(8), is_sampled=True)
    return caller.with_span(secrets.token_hex(8))


def read_trace(traceparent: str | None, tracestate: str | None = None) -> Trace | None:
    """Read a caller's headers; return None where they name no trace."""
    match = _TRACEPARENT.fullmatch((traceparent or "").strip())
    if match is None or (match[0].startswith("00") and match[4]):
        return None
    state = tracestate if tracestate and len(tracestate) <= _MAX_STATE else ""
    return Trace(match[1], match[2], bool(int(match[3], 16) & _SAMPLED), state)
