"""Bytes to typed things and back: requests that are checked before they leave, answers, refusals. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

import msgspec

from github_worker.contract import (
    SOURCE,
    AnyEvent,
    Completed,
    Failed,
    RefusalBody,
    Request,
    Result,
    convert,
    decode,
    decode_event,
    decode_request,
    encode_request,
)
from github_worker.redaction import Secret
from github_worker_client.errors import (
    GitHubWorkerError,
    InvalidRequest,
    JobFailed,
    NotFound,
    PayloadTooLarge,
    Refused,
    Unauthorized,
    UnexpectedAnswer,
    WorkerBusy,
    WorkerUnavailable,
)

Token = str | Secret
Credential = str | Secret | Mapping[str, Any]
AnyRequest = TypeVar("AnyRequest", bound=Request)
AnyResult = TypeVar("AnyResult", bound=Result)
Answer = TypeVar("Answer")

_EVENT_TYPES = {kind.__struct_config__.tag for kind in get_args(AnyEvent)}
_FAILURES = {error.code: error for error in JobFailed.__subclasses__()}
_REFUSALS = {400: InvalidRequest, 401: Unauthorized, 404: NotFound, 413: PayloadTooLarge}
# 408: the request came too slowly; 502 and 504: a proxy's words for a replica that is gone
_UNAVAILABLE = {408, 502, 503, 504}


class _Header(msgspec.Struct):
    type: str
    source: str


def build(kind: type[AnyRequest], **fields: object) -> AnyRequest:
    """Make a request of the fields that are not None; raise InvalidRequest naming the one that is wrong."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    given = {names[name]: value for name, value in fields.items() if value is not None}
    return _check_body(kind, msgspec.json.encode(given, enc_hook=_reveal))


def check(request: Request) -> None:
    """Raise InvalidRequest if a worker would not take `request`."""
    _check_body(type(request), encode_request(request))


def _check_body(kind: type[AnyRequest], body: bytes) -> AnyRequest:
    try:
        return decode_request(kind, body, may_lack_token=True)  # the worker knows whether it may
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def _reveal(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise InvalidRequest(f"a {type(value).__name__} cannot be sent")


def event(data: str) -> AnyEvent | None:
    """Read one event of a stream; return None for one of a kind that only a newer worker knows."""
    try:
        return decode_event(data)
    except ValueError as error:
        if _is_of_newer_worker(data):
            return None
        raise UnexpectedAnswer(f"the stream holds what is no event: {error}") from None


def _is_of_newer_worker(data: str) -> bool:
    try:
        header = decode(data, _Header)
    except (ValueError, RecursionError):
        return False
    return header.source == SOURCE and header.type not in _EVENT_TYPES


def outcome(event: AnyEvent | None, kind: type[AnyResult]) -> AnyResult:
    """Read the result from a stream's last event; raise JobFailed if that is an error."""
    if isinstance(event, Failed):
        raise _FAILURES.get(event.code, JobFailed)(
            event.error, code=event.code, stage=event.stage, retryable=event.retryable, data=event.data
        )
    if not isinstance(event, Completed):
        raise UnexpectedAnswer("the stream ended without an outcome")
    return _convert(event.data, kind)


def answer(status: int, body: bytes, kind: type[Answer]) -> Answer:
    """Read the answer of a `GET`."""
    if status != 200:
        raise refusal(status, body)
    try:
        return decode(body, kind)
    except ValueError as error:
        raise UnexpectedAnswer(f"the answer is no {kind.__name__}: {error}") from None


def refusal(status: int, body: bytes, retry_after: str | None = None) -> GitHubWorkerError:
    """Turn an answer that is no stream into the error that it means."""
    code, message = _explain(status, body)
    hint = float(retry_after) if retry_after and retry_after.isdecimal() else None
    if status == 429:
        return WorkerBusy(message, retry_after=hint)
    if status in _UNAVAILABLE:
        return WorkerUnavailable(message, retry_after=hint)
    return _REFUSALS.get(status, Refused)(message, code=code)


def _explain(status: int, body: bytes) -> tuple[str | None, str]:
    try:
        refused = decode(body, RefusalBody)
    except ValueError:
        return None, f"HTTP {status}, and not in a GitHub Worker's words"
    return refused.error, refused.message


def _convert(data: Mapping[str, Any], kind: type[AnyResult]) -> AnyResult:
    try:
        return convert(data, kind)
    except ValueError as error:
        raise UnexpectedAnswer(f"the result is no {kind.__name__}: {error}") from None
