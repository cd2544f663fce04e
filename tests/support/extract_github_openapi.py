"""Extracts what the tests need of GitHub's OpenAPI description, which is far too big to keep whole.

npm pack @octokit/openapi && tar xzf octokit-openapi-*.tgz
python -m tests.support.extract_github_openapi package
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("github_openapi.json")
_REPOSITORY = "/repos/{owner}/{repo}"
_OPERATIONS = {
    _REPOSITORY: ["get"],
    f"{_REPOSITORY}/pulls": ["get", "post"],
    f"{_REPOSITORY}/pulls/{{pull_number}}": ["get", "patch"],
    f"{_REPOSITORY}/pulls/{{pull_number}}/merge": ["put"],
    f"{_REPOSITORY}/pulls/{{pull_number}}/requested_reviewers": ["post"],
    f"{_REPOSITORY}/issues/{{issue_number}}": ["patch"],
    f"{_REPOSITORY}/issues/{{issue_number}}/assignees": ["post"],
    f"{_REPOSITORY}/issues/{{issue_number}}/labels": ["post"],
    f"{_REPOSITORY}/compare/{{basehead}}": ["get"],
    f"{_REPOSITORY}/merges": ["post"],
    f"{_REPOSITORY}/git/ref/{{ref}}": ["get"],
    f"{_REPOSITORY}/git/refs/{{ref}}": ["delete"],
    f"{_REPOSITORY}/commits/{{ref}}/check-runs": ["get"],
    f"{_REPOSITORY}/commits/{{ref}}/check-suites": ["get"],
    f"{_REPOSITORY}/commits/{{ref}}/status": ["get"],
    f"{_REPOSITORY}/actions/runs": ["get"],
    f"{_REPOSITORY}/git/commits/{{commit_sha}}": ["get"],
    f"{_REPOSITORY}/branches/{{branch}}": ["get"],
    f"{_REPOSITORY}/rules/branches/{{branch}}": ["get"],
    f"{_REPOSITORY}/installation": ["get"],
    "/app": ["get"],
    "/app/installations/{installation_id}/access_tokens": ["post"],
    "/installation/token": ["delete"],
}
_PROSE = {"description", "externalDocs", "x-github", "tags", "summary", "title", "x-webhooks"}


def extract(whole: dict[str, Any], license_text: str) -> dict[str, Any]:
    """Return the description of our operations alone, with all that they refer to."""
    paths = {
        path: {method: whole["paths"][path][method] for method in methods}
        for path, methods in _OPERATIONS.items()
    }
    paths = _without_prose(paths)
    components: dict[str, dict[str, Any]] = {}
    _collect(paths, whole["components"], components)
    return {
        "openapi": whole["openapi"],
        "info": {"title": "GitHub's REST API, in part", "version": whole["info"]["version"]},
        "x-source": f"@octokit/openapi {whole['info']['version']}",
        "x-license": license_text,
        "paths": paths,
        "components": components,
    }


def _collect(node: Any, source: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    if isinstance(node, list):
        for item in node:
            _collect(item, source, found)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                _, _, kind, name = value.split("/")
                if name not in found.setdefault(kind, {}):
                    component = source[kind][name]
                    found[kind][name] = component if kind == "examples" else _without_prose(component)
                    _collect(found[kind][name], source, found)
            else:
                _collect(value, source, found)


def _without_prose(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_prose(item) for item in node]
    if isinstance(node, dict):
        return {
            key: _without_prose(value)
            for key, value in node.items()
            if key not in _PROSE or not isinstance(value, str | list)
        }
    return node


if __name__ == "__main__":
    package = Path(sys.argv[1])
    whole = json.loads((package / "generated/api.github.com.json").read_text())
    description = extract(whole, (package / "LICENSE").read_text())
    TARGET.write_text(json.dumps(description, separators=(",", ":"), sort_keys=True) + "\n")
