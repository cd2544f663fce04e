"""A body becomes a request: field by field, forgiving where nothing is lost, and every refusal in words.

Fields are taken apart before any of them is decoded, so that a body of any content needs little memory beside
its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct, inspect

from github_worker.contract.fields import (
    IN_WORDS,
    VISIBLE_ASCII,
    ModelCredentials,
    Passphrase,
    PrivateKey,
    Token,
)
from github_worker.contract.requests import Request

MAX_BODY_BYTES = 10 * 1024 * 1024
TOKEN_NAMES = ("accessToken", "githubAccessToken")
# Of a field, as it is escaped: a text has at most 100,000 characters, of at most 12 bytes each.
_MAX_FIELD_BYTES = 1_250_000
_MAX_SECRET_BYTES = 64 * 1024
# The beginning of a user's request that is kept: more than the 20,000 characters that a model sees.
_KEPT_BYTES = 256 * 1024
_LONGEST_ESCAPE = 12
_ABSENT = (b'""', b"null")
_KINDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number with a fraction",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}
AnyRequest = TypeVar("AnyRequest", bound=Request)


class _Field(Struct, frozen=True):
    """A field of a request: `own` is its name there, `name` the one on the wire."""

    own: str
    name: str
    decoder: msgspec.json.Decoder[Any]
    is_required: bool
    largest: int
    choices: tuple[str, ...]


class _Form(Struct, frozen=True):
    """A kind of request: `envelope` takes a body apart, each of whose values one of `fields` decodes."""

    envelope: msgspec.json.Decoder[Any]
    fields: tuple[_Field, ...]


def read_request(
    kind: type[AnyRequest], body: bytes | bytearray, *, may_lack_token: bool = False
) -> AnyRequest:
    """Decode a body, the token under either of its names; raise ValueError naming the field, in words."""
    form = _form(kind, may_lack_token or not kind.needs_token)
    values = _take_apart(form, body)
    request: AnyRequest = kind(
        **{field.own: value for field in form.fields for value in _read(field, values)}
    )
    return request


def explain(name: str, error: Exception, choices: tuple[str, ...] = ()) -> str:
    """Say in words what msgspec says of the field `name`; `choices` are what it may be, where few are."""
    said, _, place = str(error).partition(" - at `$")
    name = (name + place.rstrip("`")).removeprefix(".")
    if unknown := re.match(r"Object (contains unknown|missing required) field `(.{0,100})", said, re.DOTALL):
        is_missing = unknown[1] == "missing required"
        inner = f"{name}.{unknown[2].removesuffix('`')}".removeprefix(".")
        return f"`{inner}` {'is missing' if is_missing else 'is no field of this request'}"
    return f"`{name}` {_complain(said, choices)}"


def _complain(said: str, choices: tuple[str, ...]) -> str:
    if found := re.match(r"Expected `([^`]+)`, got `(\w+)`", said):
        expected = " or ".join(_KINDS.get(kind, kind) for kind in found[1].split(" | ") if kind != "null")
        return f"must be {expected}, not {_KINDS.get(found[2], found[2])}"
    if "matching regex" in said:
        return next((words for pattern, words in IN_WORDS.items() if repr(pattern) in said), "is not valid")
    if found := re.match(r"Expected `(\w+)` of length (>=|<=) (\d+)", said):
        items = "items" if found[1] == "array" else "characters"
        return "must not be empty" if found[2] == ">=" else f"must have at most {int(found[3]):,} {items}"
    if found := re.match(r"Expected `\w+` (>=|<=) (-?\d+)", said):
        return f"must be at {'least' if found[1] == '>=' else 'most'} {found[2]}"
    if said.startswith("Invalid enum value") and choices:
        return f"must be one of {', '.join(choices)}"
    return said if said.startswith("must ") else "is not valid"


def _take_apart(form: _Form, body: bytes | bytearray) -> dict[str, memoryview]:
    """Return the fields of a body as they are written, the token under its own name."""
    try:
        envelope = form.envelope.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if "unknown field" in str(error):
            raise ValueError(explain("", error)) from None
        raise ValueError("the body must be a JSON object") from None
    given = msgspec.structs.asdict(envelope)
    values = {name: memoryview(value) for name, value in given.items() if isinstance(value, Raw)}
    tokens = [values.pop(name) for name in TOKEN_NAMES if name in values]
    said = [token for token in tokens if token not in _ABSENT]
    if len(said) == 2:
        raise ValueError("`accessToken` and `githubAccessToken` are one field: give one of them")
    if tokens:
        [own] = [field.name for field in form.fields if field.name in TOKEN_NAMES]
        values[own] = (said or tokens)[0]
    return values


def _read(field: _Field, values: dict[str, memoryview]) -> Iterator[Any]:
    """Yield the field's value, or nothing where it is absent; raise ValueError."""
    value = values.get(field.name)
    if field.is_required and value is None:
        raise ValueError(f"`{field.name}` is missing")
    if value is None or (value in _ABSENT and not field.is_required):
        return
    if field.own == "user_request" and len(value) > _KEPT_BYTES and value[0] == ord('"'):
        yield _read_beginning(field, value)
        return
    if len(value) > field.largest:
        raise ValueError(f"`{field.name}` is too long")
    yield _decode(field, value)


def _decode(field: _Field, value: bytes | memoryview) -> Any:
    try:
        return field.decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(explain(field.name, error, field.choices)) from None


def _read_beginning(field: _Field, value: memoryview) -> Any:
    """Decode as much of a text as is kept of it, up to a whole character."""
    beginning = bytes(value[:_KEPT_BYTES])
    for end in range(_KEPT_BYTES, _KEPT_BYTES - _LONGEST_ESCAPE, -1):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return field.decoder.decode(beginning[:end] + b'"')
    raise ValueError(f"`{field.name}` is not a valid JSON string")


@cache
def _form(kind: type[Request], may_lack_token: bool) -> _Form:
    names = dict.fromkeys((*(field.encode_name for field in msgspec.structs.fields(kind)), *TOKEN_NAMES))
    envelope = msgspec.defstruct(
        "Envelope",
        [(name, Raw | msgspec.UnsetType, msgspec.UNSET) for name in names],
        forbid_unknown_fields=True,
    )
    fields = tuple(_make_field(field, may_lack_token) for field in msgspec.structs.fields(kind))
    return _Form(msgspec.json.Decoder(envelope), fields)


def _make_field(field: msgspec.structs.FieldInfo, may_lack_token: bool) -> _Field:
    kinds = list(flatten(inspect.type_info(field.type)))
    must_be_token = field.encode_name in TOKEN_NAMES and not may_lack_token
    is_secret = any(isinstance(kind, inspect.CustomType) for kind in kinds)
    return _Field(
        own=field.name,
        name=field.encode_name,
        decoder=msgspec.json.Decoder(Token if must_be_token else field.type, dec_hook=_decode_secret),
        is_required=field.required or must_be_token,
        largest=_MAX_SECRET_BYTES if is_secret else _MAX_FIELD_BYTES,
        choices=tuple(_list_choices(kinds)),
    )


def _list_choices(kinds: list[inspect.Type]) -> Iterator[str]:
    """Yield what a field may be that has a few values alone."""
    values = [str(value) for kind in kinds if isinstance(kind, inspect.LiteralType) for value in kind.values]
    if values and any(isinstance(kind, inspect.BoolType) for kind in kinds):
        yield from ("true", "false")
    yield from values


def flatten(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the types that a union has, or the one that it is."""
    if isinstance(kind, inspect.Metadata):
        yield from flatten(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from flatten(one)
    else:
        yield kind


def _decode_secret(kind: type, value: Any) -> Any:
    if kind is ModelCredentials and isinstance(value, dict):
        value = msgspec.json.encode(value).decode()
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a string that is not empty")
    is_fine, words = _check_secret(kind, value)
    if not is_fine:
        raise ValueError(words)
    return kind(value)


def _check_secret(kind: type, text: str) -> tuple[bool, str]:
    """Tell whether a text may be a secret of a kind, and what such a one must be."""
    if kind is PrivateKey:
        return text.isascii(), "must be ASCII characters, as a private key has no others"
    if kind in {ModelCredentials, Passphrase}:
        is_json = kind is ModelCredentials and text.lstrip().startswith("{")
        return text.isprintable() or is_json, "must have no control characters"
    is_visible = re.search(VISIBLE_ASCII, text) is not None
    return is_visible, "must be visible ASCII characters, as a header takes no others"
