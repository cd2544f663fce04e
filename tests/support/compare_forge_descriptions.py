"""Holds the tables of `forge_descriptions` against a forge's published file, and prints what differs.

python -m tests.support.compare_forge_descriptions gitlab openapi_v2.yaml    (or openapi_v3.yaml)
python -m tests.support.compare_forge_descriptions gitea swagger.v1.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.forge_descriptions import GITEA, GITLAB, Operation

_ROOTS = {"gitlab": "/api/v4", "gitea": ""}
_TABLES = {"gitlab": GITLAB, "gitea": GITEA}


def compare(whole: dict[str, Any], root: str, operations: tuple[Operation, ...]) -> Iterator[str]:
    """Yield what a table says that the published description does not."""
    for operation in operations:
        where = f"{operation.method} {operation.path}"
        published = whole["paths"].get(f"{root}{operation.path}", {}).get(operation.method.lower())
        if published is None:
            yield f"{where}: there is no such operation"
            continue
        takes = dict(_list_types(whole, published))
        for name, kind in {**operation.query, **operation.body}.items():
            if takes.get(name) != kind:
                yield f"{where}: {name} is {takes.get(name)}, not {kind}"
        yield from (f"{where}: {fault}" for fault in _compare_answer(whole, published, operation))


def _compare_answer(whole: dict[str, Any], published: dict[str, Any], operation: Operation) -> Iterator[str]:
    response = published["responses"].get(str(operation.status))
    if response is None:
        yield f"status {operation.status} is not described"
        return
    schema = _find_schema(whole, response)
    known = schema.get("properties", {}).keys()
    # GitLab describes no answer of some of its operations
    yield from (f"no field {name} in an answer" for name in operation.fields - known if known)


def _list_types(whole: dict[str, Any], published: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    for parameter in published.get("parameters", []):
        if parameter["in"] == "body":
            yield from _list_fields(_resolve(whole, parameter["schema"]))
        else:
            yield parameter["name"], parameter.get("type") or parameter.get("schema", {}).get("type")
    for content in _resolve(whole, published.get("requestBody", {})).get("content", {}).values():
        yield from _list_fields(_resolve(whole, content["schema"]))


def _list_fields(schema: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    yield from ((name, field.get("type")) for name, field in schema.get("properties", {}).items())


def _find_schema(whole: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    response = _resolve(whole, response)
    contents = [*response.get("content", {}).values(), response]
    schema = _resolve(whole, contents[0].get("schema") or {})
    return _resolve(whole, schema["items"]) if schema.get("type") == "array" else schema


def _resolve(whole: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = whole
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _load(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        whole: dict[str, Any] = json.loads(path.read_text())
        return whole
    loaded: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    return loaded


if __name__ == "__main__":
    forge, file = sys.argv[1:]
    differences = list(compare(_load(Path(file)), _ROOTS[forge], _TABLES[forge]))
    sys.exit(bool(differences))
