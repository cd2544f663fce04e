"""Reads where a request stands in a caller's trace: the header `traceparent` of W3C's Trace Context."""

from __future__ import annotations

import re

from msgspec import Struct

# version, trace, parent, flags; a later version may have more behind them, and ff is none.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1
_MAX_STATE = 512  # characters


class Trace(Struct, frozen=True):
    """A trace and the span in it that something is a part of, as hexadecimal digits."""

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""


def read_trace(traceparent: str | None, tracestate: str | None = None) -> Trace | None:
    """Read a caller's headers; return None where they name no trace."""
    match = _TRACEPARENT.fullmatch((traceparent or "").strip())
    if match is None or (match[0].startswith("00") and match[4]):
        return None
    state = tracestate if tracestate and len(tracestate) <= _MAX_STATE else ""
    return Trace(match[1], match[2], bool(int(match[3], 16) & _SAMPLED), state)
