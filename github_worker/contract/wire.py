"""Messages as bytes: requests, their secrets under either name, and events; decoded by any thread."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from github_worker.contract.events import AnyEvent, Completed
from github_worker.contract.fields import VISIBLE_ASCII, ModelCredentials
from github_worker.contract.requests import (
    AutoPullRequest,
    CloneRepository,
    CommitAndPush,
    CreateBranch,
    CreatePullRequest,
    InitSession,
    MergePullRequest,
    Request,
)
from github_worker.redaction import Secret

MAX_BODY_BYTES = 1024 * 1024
REQUESTS: Mapping[str, type[Request]] = {
    request.operation: request
    for request in (
        CloneRepository,
        CreateBranch,
        CommitAndPush,
        InitSession,
        CreatePullRequest,
        MergePullRequest,
        AutoPullRequest,
    )
}
_TOKEN_NAMES = ("accessToken", "githubAccessToken")
# msgspec 0.22 prepares a type when it first decodes one, and crashes the process if two threads do so at
# once: a worker that warms up while its request comes, or a client's threads.
_one_thread = threading.Lock()
AnyRequest = TypeVar("AnyRequest", bound=Request)
Message = TypeVar("Message")


def decode(data: bytes | str, kind: type[Message]) -> Message:
    """Decode JSON as a `kind`, from any thread; raise ValueError."""
    with _one_thread:
        return msgspec.json.decode(data, type=kind)


def convert(
    fields: Any, kind: type[Message], decode_other: Callable[[type, Any], Any] | None = None
) -> Message:
    """Make a `kind` of what JSON holds, from any thread; raise ValueError.

    `decode_other(type, value)` makes the values of types that JSON does not know.
    """
    with _one_thread:
        return msgspec.convert(fields, kind, dec_hook=decode_other)


def decode_request(kind: type[AnyRequest], body: bytes) -> AnyRequest:
    """Decode a body, the token under either of its names; raise ValueError naming the field."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("the body must be a JSON object") from None
    if not isinstance(fields, dict):
        raise ValueError("the body must be a JSON object")
    return convert(_under_own_name(kind, fields), kind, _decode_secret)


def encode_request(request: Request) -> bytes:
    """Encode a request as its endpoint takes it, secrets in clear."""
    return msgspec.json.encode(request, enc_hook=_encode_secret)


def encode_event(event: AnyEvent) -> bytes:
    """Encode an event as one line of JSON; a result's fields stand at the top level too."""
    if not isinstance(event, Completed):
        return msgspec.json.encode(event)
    return msgspec.json.encode(event.data | msgspec.to_builtins(event))


def decode_event(data: str | bytes) -> AnyEvent:
    """Decode one event; raise ValueError when it is none."""
    try:
        event: AnyEvent = decode(data, AnyEvent)  # type: ignore[arg-type]  # a union is no `type`
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    return event


def _under_own_name(kind: type[Request], fields: dict[str, Any]) -> dict[str, Any]:
    given = [name for name in _TOKEN_NAMES if name in fields]
    if len(given) == 2:
        raise ValueError("`accessToken` and `githubAccessToken` are one field: give one of them")
    own = _own_name(kind)
    return {own if name in given else name: value for name, value in fields.items()}


@cache
def _own_name(kind: type[Request]) -> str:
    return next(field.encode_name for field in msgspec.structs.fields(kind) if field.name == "access_token")


def _decode_secret(kind: type, value: Any) -> Any:
    if kind is ModelCredentials and isinstance(value, dict):
        value = msgspec.json.encode(value).decode()
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a string that is not empty")
    if kind is ModelCredentials:
        if not (value.isprintable() or value.lstrip().startswith("{")):
            raise ValueError("must have no control characters")
    elif not re.search(VISIBLE_ASCII, value):
        raise ValueError("must be visible ASCII characters, as a header takes no others")
    return kind(value)


def _encode_secret(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"a {type(value).__name__} cannot be sent")
