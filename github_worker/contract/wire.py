"""Messages as bytes: requests and events, decoded by any thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from github_worker.contract.body import AnyRequest, read_request
from github_worker.contract.events import AnyEvent, Completed
from github_worker.contract.requests import (
    AutoPullRequest,
    CloneRepository,
    CommitAndPush,
    CreateBranch,
    CreatePullRequest,
    InitSession,
    InspectSession,
    MergePullRequest,
    Request,
    SwitchBranch,
    SyncBranch,
)
from github_worker.redaction import Secret

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
        SyncBranch,
        SwitchBranch,
        InspectSession,
    )
}
# msgspec 0.22 prepares a type when it first decodes one, and crashes the process if two threads do so at
# once: a worker that warms up while its request comes, or a client's threads.
_one_thread = threading.Lock()
Message = TypeVar("Message")


def decode(data: bytes | str, kind: type[Message]) -> Message:
    """Decode JSON as a `kind`, from any thread; raise ValueError."""
    with _one_thread:
        return msgspec.json.decode(data, type=kind)


def convert(fields: Any, kind: type[Message]) -> Message:
    """Make a `kind` of what JSON holds, from any thread; raise ValueError."""
    with _one_thread:
        return msgspec.convert(fields, kind)


def decode_request(
    kind: type[AnyRequest], body: bytes | bytearray, *, may_lack_token: bool = False
) -> AnyRequest:
    """Decode a body, from any thread; raise ValueError naming the field, in words.

    `may_lack_token` says that whoever does the job has a token where the request brings none.
    """
    with _one_thread:
        return read_request(kind, body, may_lack_token=may_lack_token)


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


def _encode_secret(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"a {type(value).__name__} cannot be sent")
