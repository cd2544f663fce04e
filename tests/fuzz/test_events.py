"""Events as lines: what is sent arrives, and what arrives is an event or no event."""

from __future__ import annotations

from contextlib import suppress
from typing import get_args

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from github_worker.contract import (
    AnyEvent,
    Completed,
    Failed,
    Progress,
    Transferred,
    decode_event,
    encode_event,
)

integers = st.integers(-(2**63), 2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | integers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["type", "data", "source", "timestamp", "timings", "error"]) | st.text()
objects = st.dictionaries(names, json_values, max_size=5)
progress = st.builds(Progress, stage=st.text(), message=st.text(), commit_hash=st.none() | st.text())
transferred = st.builds(
    Transferred, stage=st.text(), received=integers, percent=st.none() | integers, bytes=integers
)
completed = st.builds(Completed, data=objects, timings=st.dictionaries(st.text(), integers))
failed = st.builds(Failed, error=st.text(), code=st.text(), data=st.none() | objects)
events = progress | transferred | completed | failed


@st.composite
def written_over(draw: st.DrawFn) -> bytes:
    """Draw an event's line with some of it changed, lost or inserted."""
    line = encode_event(draw(events))
    at = draw(st.integers(0, len(line)))
    return line[:at] + draw(st.binary(max_size=10)) + line[at + draw(st.integers(0, 10)) :]


@given(events)
def test_an_event_is_one_line_and_comes_back(event: AnyEvent) -> None:
    """No line break of its text ends the line, and no field of a result stands for one of its own."""
    line = encode_event(event)
    assert not set(line) & set(b"\r\n")
    assert decode_event(line) == event


@given(completed)
def test_a_result_stands_twice(event: Completed) -> None:
    """Each field is under `data`, and at the top unless the event has one of that name."""
    assert msgspec.json.decode(encode_event(event)) == event.data | msgspec.to_builtins(event)


@example(b'{"type":"completed","timings":{},"data":{"a":' + b"[" * 100_000)
@given(st.binary() | written_over())
def test_any_bytes_are_an_event_or_a_value_error(data: bytes) -> None:
    """A client can tell what is an event from what is none."""
    with suppress(ValueError):
        assert isinstance(decode_event(data), get_args(AnyEvent))
