"""The OpenAPI 3.1 description of the service, made from the types that it decodes and encodes."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import msgspec

from github_worker import __version__
from github_worker.contract import (
    MAX_BODY_BYTES,
    REQUESTS,
    AnyEvent,
    Health,
    ModelCredentials,
    Passphrase,
    PrivateKey,
    RefusalBody,
    Request,
    Status,
)
from github_worker.contract.fields import VISIBLE_ASCII
from github_worker.errors import NotFound, Refusal, job_errors
from github_worker.redaction import Secret

_REF = "#/components/schemas/{name}"
_TOKEN_NAMES = ("accessToken", "githubAccessToken")
_RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
Json = dict[str, Any]


@cache
def description(*, may_lack_token: bool = False) -> bytes:
    """Return the description as JSON; of a service that has tokens of its own, they `may_lack_token`."""
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "GitHub Worker",
                "version": __version__,
                "description": "One process, one job: a `POST` is streamed, then the process exits.",
            },
            "paths": {f"/{name}": {"post": _post(kind)} for name, kind in REQUESTS.items()} | _gets(),
            "components": {
                "schemas": _schemas(may_lack_token=may_lack_token),
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
            "x-error-codes": {
                code: {"description": error.__doc__, "retryable": error.retryable}
                for code, error in job_errors().items()
            },
        }
    )


def _post(kind: type[Request]) -> Json:
    body = {"required": True, "content": _content("application/json", _ref(kind))}
    return {
        "operationId": kind.operation,
        "summary": kind.__doc__,
        "security": [{"bearer": []}, {}],
        "requestBody": body | {"description": f"at most {MAX_BODY_BYTES} bytes"},
        "responses": {"200": _stream(kind)} | {str(one.status): _refusal(one) for one in _refusals()},
    }


def _stream(kind: type[Request]) -> Json:
    events = [_ref(event) for event in get_args(AnyEvent) if event.__name__ != "Completed"]
    schema = {
        "description": "The JSON of each `data:` line; the last one is `completed` or `error`",
        "anyOf": [*events, {"allOf": [_ref_to("Completed"), _ref(kind.result), _data(kind)]}],
    }
    return {"description": "the job's events", "content": _content("text/event-stream", schema)}


def _data(kind: type[Request]) -> Json:
    """Return the schema of a `completed` event's `data`, with an example made of its fields'."""
    fields = _schemas()[kind.result.__name__]["properties"]
    example = {name: field["examples"][0] for name, field in fields.items()}
    data = {"description": "The job's result, by itself.", "examples": [example]} | _ref(kind.result)
    return {"type": "object", "properties": {"data": data}}


def _refusals() -> list[type[Refusal]]:
    return sorted(Refusal.__subclasses__(), key=lambda refusal: refusal.status)


def _refusal(refusal: type[Refusal]) -> Json:
    answer = {
        "description": f"`{refusal.code}`: {refusal.__doc__}",
        "content": _content("application/json", _ref(RefusalBody)),
    }
    return answer | ({"headers": _RETRY_AFTER} if refusal.status in {429, 503} else {})


def _gets() -> Json:
    return {
        "/": {"get": _page()},
        "/health": _get("health", "Whether the process is alive, and what it is.", _ref(Health)),
        "/status": _get("status", "What the worker does.", _ref(Status)),
        "/openapi.json": _get("openapi", "This description.", {"type": "object"}),
    }


def _page() -> Json:
    page = {"description": "a page for a person", "content": _content("text/html", {"type": "string"})}
    return {
        "operationId": "page",
        "summary": "What this is and what it does, for a person: who accepts no HTML is answered with 404.",
        "responses": {"200": page, "404": _refusal(NotFound)},
    }


def _get(name: str, summary: str, schema: Json) -> Json:
    answer = {"description": "the answer", "content": _content("application/json", schema)}
    return {"get": {"operationId": name, "summary": summary, "responses": {"200": answer}}}


@cache
def _schemas(*, may_lack_token: bool = False) -> Json:
    kinds = [AnyEvent, Health, Status, RefusalBody, *REQUESTS.values()]
    kinds += [kind.result for kind in REQUESTS.values()]
    _, schemas = msgspec.json.schema_components(kinds, schema_hook=_secret, ref_template=_REF)
    for event in get_args(AnyEvent):
        tag = {"description": "The kind of event.", "examples": [event.__struct_config__.tag]}
        schemas[event.__name__]["properties"]["type"] |= tag
    for schema in schemas.values():
        schema["properties"] = {name: _lift(field) for name, field in schema["properties"].items()}
    for kind in REQUESTS.values():
        schema = schemas[kind.__name__]
        if kind.needs_token and not may_lack_token:
            schema = _require_token(schema)
        schemas[kind.__name__] = _with_both_names(_forgiving(schema))
    schemas["Failed"]["properties"]["code"]["enum"] = list(job_errors())
    return schemas


def _lift(field: Json) -> Json:
    """Describe a field that may be null as what it is otherwise."""
    if "description" in field:
        return field
    return {name: field["anyOf"][0].pop(name) for name in ("description", "examples")} | field


def _forgiving(schema: Json) -> Json:
    """Let an optional field be empty, which is to leave it out."""
    fields = {
        name: field if name in schema["required"] else _or_empty(field)
        for name, field in schema["properties"].items()
    }
    return schema | {"properties": fields}


def _or_empty(field: Json) -> Json:
    kept = {name: field.pop(name) for name in ("description", "examples", "default") if name in field}
    kinds = [kind for kind in field.get("anyOf", [field]) if kind != {"type": "null"}]
    return kept | {"anyOf": [*kinds, {"const": ""}, {"type": "null"}]}


def _require_token(schema: Json) -> Json:
    """Describe the token, which a type lets be absent, as a field that must be there."""
    [own] = [name for name in _TOKEN_NAMES if name in schema["properties"]]
    field = schema["properties"][own]
    [kind] = [kind for kind in field["anyOf"] if kind != {"type": "null"}]
    token = kind | {name: field[name] for name in ("description", "examples")}
    return schema | {
        "properties": schema["properties"] | {own: token},
        "required": [*schema.get("required", ()), own],
    }


def _with_both_names(schema: Json) -> Json:
    """Let the token stand under either name, and under one at most, as decode_request does."""
    [own] = [name for name in _TOKEN_NAMES if name in schema["properties"]]
    token = schema["properties"].pop(own)
    properties = schema["properties"] | dict.fromkeys(_TOKEN_NAMES, token)
    required = [name for name in schema["required"] if name != own]
    either = [{"required": [name]} for name in _TOKEN_NAMES]
    one = {"oneOf": either} if own in schema["required"] else {"not": {"required": list(_TOKEN_NAMES)}}
    return schema | {"properties": properties, "required": required} | one


def _secret(kind: type) -> Json:
    if kind is ModelCredentials:
        return {"anyOf": [{"type": "string", "minLength": 1}, {"type": "object"}], "writeOnly": True}
    if kind in {PrivateKey, Passphrase}:
        return {"type": "string", "minLength": 1, "format": "password", "writeOnly": True}
    if kind is Secret:
        return {"type": "string", "pattern": VISIBLE_ASCII, "format": "password", "writeOnly": True}
    raise NotImplementedError(f"{kind.__name__} has no schema")


def _content(media_type: str, schema: Json) -> Json:
    return {media_type: {"schema": schema}}


def _ref(kind: type) -> Json:
    return _ref_to(kind.__name__)


def _ref_to(name: str) -> Json:
    return {"$ref": _REF.format(name=name)}
