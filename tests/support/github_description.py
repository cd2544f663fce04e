"""GitHub's own description of its REST API, to hold requests and answers against."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from openapi_schema_validator import OAS30Validator
from referencing import Registry, Specification

_URN = "urn:github"


@cache
def description() -> dict[str, Any]:
    """Return the part of the description that extract_github_openapi.py keeps."""
    text = Path(__file__).with_name("github_openapi.json").read_text()
    whole: dict[str, Any] = json.loads(text, object_hook=_with_null)
    return whole


def _with_null(node: dict[str, Any]) -> dict[str, Any]:
    # it leaves null out of the values of what it calls nullable, against OpenAPI 3.0.3 and its own answers
    if node.get("nullable") is True and isinstance(node.get("enum"), list):
        node["enum"].append(None)
    return node


def example(name: str) -> Any:
    """Return a copy of a published example."""
    return copy.deepcopy(description()["components"]["examples"][name]["value"])


def faults_of_request(method: str, target: str, body: bytes) -> Iterator[str]:
    """Say what is wrong with a request: path, query, body."""
    operation = _operation(method, urlsplit(target).path)
    if operation is None:
        yield f"{method} {target}: there is no such endpoint"
        return
    known = {parameter["name"]: parameter for parameter in map(_resolved, operation.get("parameters", []))}
    for name, value in parse_qsl(urlsplit(target).query):
        if name not in known:
            yield f"{method} {target}: no parameter {name}"
        else:
            schema = known[name]["schema"]
            yield from _faults(
                schema, int(value) if schema.get("type") == "integer" else value, f"{method} {target}"
            )
    schema = _schema(operation.get("requestBody", {}))
    if (schema is None) != (not body):
        yield f"{method} {target}: a body that should not be, or none that should"
    if schema is not None and body:
        sent = json.loads(body)
        yield from _faults(schema, sent, f"{method} {target}")
        yield from (f"{method} {target}: no field {name}" for name in sent.keys() - _field_names(schema))


def _field_names(schema: dict[str, Any]) -> set[str]:
    kinds = [schema, *schema.get("oneOf", [])]
    return {name for kind in kinds for name in kind.get("properties", {})}


def faults_of_answer(method: str, target: str, status: int, body: bytes) -> Iterator[str]:
    """Say what is wrong with an answer: status and body."""
    operation = _operation(method, urlsplit(target).path)
    response = _resolved((operation or {}).get("responses", {}).get(str(status)))
    if response is None:
        yield f"{method} {target}: status {status} is not described"
        return
    schema = _schema(response)
    if schema is not None:
        yield from _faults(schema, json.loads(body), f"{status} to {method} {target}")


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for template, operations in description()["paths"].items():
        pattern = re.sub(r"\{(?:ref|basehead)\}$", "(.+)", template)
        if re.fullmatch(re.sub(r"\{\w+\}", "([^/]+)", pattern), path) and method.lower() in operations:
            found: dict[str, Any] = operations[method.lower()]
            return found
    return None


def _resolved(node: Any) -> Any:
    if isinstance(node, Mapping) and "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        return description()["components"][kind][name]
    return node


def _schema(holder: dict[str, Any]) -> dict[str, Any] | None:
    schema: dict[str, Any] | None = holder.get("content", {}).get("application/json", {}).get("schema")
    return schema


def _faults(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    for error in _validator(json.dumps(schema)).iter_errors(value):
        yield f"{where}: {error.json_path}: {error.message[:200]}"


@cache
def _validator(schema: str) -> OAS30Validator:
    whole = Specification.OPAQUE.create_resource(description())
    absolute = json.loads(schema.replace('"#/', f'"{_URN}#/'))
    return OAS30Validator(absolute, registry=Registry().with_resource(_URN, whole))
