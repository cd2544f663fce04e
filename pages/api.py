"""`python -m pages.api`: prints docs/api.md, which is the service's own description of its API for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from github_worker.contract.fields import IN_WORDS
from github_worker.web.openapi import description

Json = Mapping[str, Any]
_MAX_INT = 2**31 - 1

_HEAD = """# The HTTP API

<!-- Made by scripts/docs of what /openapi.json says: change the types in github_worker/contract. -->

A job is a `POST` with a JSON object of at most 10 MiB. What is wrong with it is a [refusal](#refusals), a
JSON answer that starts no job; otherwise the answer is a stream of [events](#events), of which the last one
is `completed` with the job's result, or `error`. If `GITHUB_WORKER_TOKEN` is set, every `POST` carries
`Authorization: Bearer …`.

A field that an endpoint does not know is refused. An optional field that is `""` or `null` counts as
absent. The token for the git server may be called `accessToken` or `githubAccessToken`, on every endpoint.
"""
_EVENTS = """
## Events

Each is one line `data: {…}` and a blank line. A comment line every 15 seconds keeps proxies awake. Every
event has a `type`, which is its heading here, `source`, which is `github-worker`, and `timestamp`, a moment
in UTC. The first one of a stream has `requestId` too, the caller's own or one that was made, as the header
`X-Request-ID` has. Pass over types and fields that you do not know: a newer worker may say more.
"""
_STAGES = """
### Stages

A job begins each stage at most once, in this order as far as it has them; `queued` is told again with each
new position.

"""
_ERRORS = """
## Error codes

The `code` of an `error`. Where asking again may help, `retryable` is true; ask with the same `requestId`,
and what was done already is not done twice.

| code | what happened | ask again |
| --- | --- | --- |
"""
_REFUSALS = """
## Refusals

Answers that start no job and use no worker up. `Retry-After` says in how many seconds to ask again, on a
new connection.

| status | code | why |
| --- | --- | --- |
"""


def page(spec: Json) -> str:
    """Write the page for a description."""
    posts = {path: item["post"] for path, item in spec["paths"].items() if "post" in item}
    gets = {path: item["get"] for path, item in spec["paths"].items() if "get" in item}
    schemas = spec["components"]["schemas"]
    parts = [_HEAD, *_summary(posts | gets)]
    parts += [_post(path, one, schemas) for path, one in posts.items()]
    parts += [_get(path, one, schemas) for path, one in gets.items()]
    parts += [_EVENTS, *(_event(schemas[name]) for name in _events(posts))]
    parts += [_STAGES, *(f"- `{stage}`\n" for stage in _stages(schemas))]
    parts += [_ERRORS, *(_error(code, error) for code, error in spec["x-error-codes"].items())]
    parts += [_REFUSALS, *_refusals(next(iter(posts.values()))), _fields(schemas["RefusalBody"], schemas)]
    return "".join(parts)


def fields(schema: Json, schemas: Json, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield name, type and meaning of each field, and of the fields of those that are objects of ours."""
    for name, field in schema["properties"].items():
        if name in {"type", "source", "timestamp", "requestId"} and "source" in schema["properties"]:
            continue
        yield f"{prefix}{name}", _kind(field), _meaning(field)
        if inner := next(_references(field), None):
            each = "[]" if "list" in _kind(field) else ""
            yield from fields(schemas[inner], schemas, f"{prefix}{name}{each}.")


def _summary(methods: Mapping[str, Json]) -> Iterator[str]:
    yield "\n| endpoint | what it does |\n| --- | --- |\n"
    for path, method in methods.items():
        verb = "POST" if "requestBody" in method else "GET"
        anchor = f"{verb} {path}".lower().translate(str.maketrans(" ", "-", "/."))
        # Sites and forges do not agree on the anchor of `GET /`.
        shown = f"`{verb} {path}`" if path == "/" else f"[`{verb} {path}`](#{anchor})"
        yield f"| {shown} | {_one_line(method['summary'])} |\n"


def _post(path: str, method: Json, schemas: Json) -> str:
    schema = schemas[_name(method["requestBody"]["content"]["application/json"]["schema"])]
    result = schemas[_name(_completed(method)["allOf"][1])]
    lines = [f"\n## POST {path}\n\n{method['summary']}\n", "\n```json\n", _example(schema), "\n```\n"]
    lines += ["\n| field | what it takes | meaning |\n| --- | --- | --- |\n"]
    lines += [f"| {' | '.join(cells)} |\n" for cells in _request_fields(schema, schemas)]
    lines += [f"\nIts result: {_lower(_one_line(result['description']))}\n", _fields(result, schemas)]
    return "".join(lines)


def _request_fields(schema: Json, schemas: Json) -> Iterator[tuple[str, str, str]]:
    required = {*schema["required"], *(["accessToken"] if "oneOf" in schema else [])}
    rows = [row for row in fields(schema, schemas) if row[0] != "githubAccessToken"]
    # What must be there comes first.
    for name, kind, meaning in sorted(rows, key=lambda row: row[0] not in required):
        shown = "`accessToken` or `githubAccessToken`" if name == "accessToken" else f"`{name}`"
        yield shown + ", required" * (name in required), kind, meaning


def _example(schema: Json) -> str:
    names = [*schema["required"], *(["githubAccessToken"] if "oneOf" in schema else [])]
    if "sessionId" not in names:
        names[:0] = ["sessionId"] if "sessionId" in schema["properties"] else ["owner", "repo"]
    return json.dumps({name: schema["properties"][name]["examples"][0] for name in names}, indent=2)


def _get(path: str, method: Json, schemas: Json) -> str:
    answer = method["responses"]["200"]["content"].get("application/json", {"schema": {}})
    table = _fields(schemas[_name(answer["schema"])], schemas) if "$ref" in answer["schema"] else ""
    return f"\n## GET {path}\n\n{method['summary']}\n{table}"


def _event(schema: Json) -> str:
    tag = schema["properties"]["type"]["examples"][0]
    return f"\n### {tag}\n\n{_one_line(schema['description'])}\n{_fields(schema, {})}"


def _fields(schema: Json, schemas: Json) -> str:
    rows = [f"| `{name}` | {kind} | {meaning} |\n" for name, kind, meaning in fields(schema, schemas)]
    return "".join(["\n| field | what it is | meaning |\n| --- | --- | --- |\n", *rows])


def _error(code: str, error: Json) -> str:
    return f"| `{code}` | {_one_line(error['description'])} | {'yes' if error['retryable'] else 'no'} |\n"


def _refusals(method: Json) -> Iterator[str]:
    for status, answer in method["responses"].items():
        if status != "200":
            code, _, why = answer["description"].partition(": ")
            yield f"| {status} | {code} | {_one_line(why)} |\n"


def _completed(method: Json) -> Json:
    kinds = method["responses"]["200"]["content"]["text/event-stream"]["schema"]["anyOf"]
    completed: Json = next(kind for kind in kinds if "allOf" in kind)
    return completed


def _events(posts: Mapping[str, Json]) -> Iterator[str]:
    kinds = next(iter(posts.values()))["responses"]["200"]["content"]["text/event-stream"]["schema"]["anyOf"]
    yield from (_name(kind["allOf"][0] if "allOf" in kind else kind) for kind in kinds)


def _stages(schemas: Json) -> Iterable[str]:
    stages: list[str] = schemas["Progress"]["properties"]["stage"]["enum"]
    return stages


def _kind(field: Json) -> str:
    """Say in words what a field takes."""
    kinds = field.get("anyOf", [field])
    if {"const": ""} in kinds:  # an optional field of a request: the page says once what counts as absent
        kinds = [kind for kind in kinds if kind not in ({"const": ""}, {"type": "null"})]
    return _cell(" or ".join(dict.fromkeys(map(_simple, kinds))))


def _simple(kind: Json) -> str:
    if "enum" in kind and len(kind["enum"]) > 10:
        return "a [stage](#stages)" if "queued" in kind["enum"] else "a [code](#error-codes)"
    if "enum" in kind:
        return "one of " + ", ".join(f"`{value}`" for value in kind["enum"])
    if "anyOf" in kind:
        return _kind(kind)
    if kind.get("type") == "array" and "minItems" in kind:
        return f"list of {kind['minItems']} to {kind['maxItems']:,}"
    if kind.get("type") == "array":
        return f"list of at most {kind['maxItems']}" if "maxItems" in kind else "list"
    if kind.get("format") == "password":
        return "secret"
    if (words := IN_WORDS.get(kind.get("pattern", ""))) is not None:
        return f"text: {words.removeprefix('must be ')}"
    names = {"string": "text", "integer": "number", "boolean": "`true` or `false`", "null": "`null`"}
    return names.get(kind.get("type", "object"), "object") + _bounds(kind)


def _bounds(kind: Json) -> str:
    if kind.get("maximum") == _MAX_INT:
        return f", {kind['minimum']} or more"
    if "minimum" in kind:
        return f", {kind['minimum']} to {kind['maximum']:,}"
    return f" of at most {kind['maxLength']:,} characters" if "maxLength" in kind else ""


def _meaning(field: Json) -> str:
    default = field.get("default") or None
    said = f" `{json.dumps(default)}` unless given." if default is not None else ""
    return _cell(_one_line(field.get("description", "")) + said)


def _references(field: Json) -> Iterator[str]:
    kinds = [kind.get("items", kind) for kind in field.get("anyOf", [field])]
    yield from (_name(kind) for kind in kinds if "$ref" in kind)


def _name(reference: Json) -> str:
    name: str = reference["$ref"].rpartition("/")[2]
    return name


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def current() -> str:
    """Write the page for the service as it is."""
    return page(msgspec.json.decode(description()))


if __name__ == "__main__":
    sys.stdout.write(current())
