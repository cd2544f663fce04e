"""The request decoder: whatever the bytes are, a request or a sentence about one of its fields."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from github_worker.contract import REQUESTS, Request, decode_request, encode_request
from tests.fuzz.requests import bodies, field_names

TOKEN_NAMES = {"accessToken", "githubAccessToken"}
TOKEN = "token-of-nobody-0123456789"
kinds = st.sampled_from(sorted(REQUESTS.values(), key=str))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def refusal(kind: type[Request], body: bytes) -> str:
    """Decode, and return what a caller is told."""
    try:
        decode_request(kind, body)
    except ValueError as error:
        return str(error)
    return ""


@given(kinds, st.data())
def test_a_valid_body_comes_through(kind: type[Request], data: st.DataObject) -> None:
    """What is decoded and encoded again is the same request; nothing of it is lost on the way."""
    request = decode_request(kind, json.dumps(data.draw(bodies(kind))).encode())
    again = decode_request(kind, encode_request(request))
    assert encode_request(again) == encode_request(request)
    assert _shown(again) == _shown(request)


@given(kinds, st.data())
def test_a_wrong_field_is_named(kind: type[Request], data: st.DataObject) -> None:
    """A body of one field too many, too few or of another kind is a request, or that field is named."""
    body = data.draw(bodies(kind))
    name = data.draw(st.sampled_from(sorted(field_names(kind))) | st.text(min_size=1, max_size=30))
    body.pop(name, None)
    if data.draw(st.booleans()):
        body[name] = data.draw(any_json)
    told = refusal(kind, json.dumps(body).encode())
    names = TOKEN_NAMES if name in TOKEN_NAMES else {name}
    assert not told or "JSON object" in told or any(each in told for each in names)


@given(kinds, st.dictionaries(st.text(st.characters(codec=None)), any_json, max_size=5), st.data())
def test_any_object_is_a_request_or_refused(
    kind: type[Request], extra: dict[str, Any], data: st.DataObject
) -> None:
    """Objects of anything under anything, some of the names right, never end otherwise."""
    names = data.draw(st.lists(st.sampled_from(sorted(field_names(kind))), unique=True))
    body = extra | {name: data.draw(any_json) for name in names}
    told = refusal(kind, json.dumps(body).encode())
    # Of a name that is no field's, a hundred characters are told.
    assert not told or "JSON" in told or any(each[:100] in told for each in {*body, *field_names(kind)})


@given(kinds, st.binary(max_size=200), st.data())
def test_any_bytes_are_a_request_or_refused(kind: type[Request], noise: bytes, data: st.DataObject) -> None:
    """Noise, and valid bodies that are written over, are taken or refused; a refusal shows no token."""
    body = json.dumps(data.draw(bodies(kind)) | {"accessToken": TOKEN}).encode()
    at = data.draw(st.integers(0, len(body)))
    written_over = body[:at] + noise + body[at + data.draw(st.integers(0, 10)) :]
    refusal(kind, noise)
    assert TOKEN not in refusal(kind, written_over)


def _shown(request: Request) -> dict[str, Any]:
    return {field: str(getattr(request, field)) for field in msgspec.structs.asdict(request)}
