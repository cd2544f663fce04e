"""Requests as bytes, their secrets under either name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

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
AnyRequest = TypeVar("AnyRequest", bound=Request)


def decode_request(kind: type[AnyRequest], body: bytes) -> AnyRequest:
    """Decode a body, the token under either of its names; raise ValueError naming the field."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("the body must be a JSON object") from None
    if not isinstance(fields, dict):
        raise ValueError("the body must be a JSON object")
    return msgspec.convert(_under_own_name(kind, fields), kind, dec_hook=_decode_secret)


def encode_request(request: Request) -> bytes:
    """Encode a request as its endpoint takes it, secrets in clear."""
    return msgspec.json.encode(request, enc_hook=_encode_secret)


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
