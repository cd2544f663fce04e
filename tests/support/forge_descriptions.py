"""What GitLab's and Gitea's descriptions of their APIs say of the operations that this service needs.

They are far too big to keep, and only names and types of what is sent and read count here. The modules'
`compare_forge_descriptions` holds these tables against the published files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
}


class Operation(NamedTuple):
    """An operation: the types of what it takes, by name; the `fields` of its answer, if it has any.

    `undescribed` is a status that the forge gives although its description has another.
    """

    method: str
    path: str
    status: int
    fields: frozenset[str] = frozenset()
    query: Mapping[str, str] = {}
    body: Mapping[str, str] = {}
    required: frozenset[str] = frozenset()
    undescribed: int | None = None

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is for this operation; a branch's slashes are its own in the last place."""
        pattern = re.sub(r"\{(?:branch|basehead)\}$", "(.+)", self.path)
        return method == self.method and bool(re.fullmatch(re.sub(r"\{\w+\}", "([^/]+)", pattern), path))

    def faults_of_request(self, query: str, body: bytes) -> Iterator[str]:
        """Say what is wrong with a request."""
        for name, value in parse_qsl(query):
            kind = self.query.get(name)
            if kind is None:
                yield f"no parameter {name}"
            elif kind == "integer" and not value.isdecimal():
                yield f"{name} is no number"
        sent = json.loads(body) if body else {}
        yield from (f"{name} is missing" for name in self.required - sent.keys())
        for name, value in sent.items():
            if name not in self.body:
                yield f"no field {name}"
            elif not isinstance(value, _TYPES[self.body[name]]):
                yield f"{name} is no {self.body[name]}"

    def faults_of_answer(self, status: int, body: Any) -> Iterator[str]:
        """Say what is wrong with an answer that is no refusal."""
        if status not in {self.status, self.undescribed}:
            yield f"status {status} is not described"
        for entity in body if isinstance(body, list) else [body]:
            if isinstance(entity, dict):
                yield from (f"no field {name} in an answer" for name in entity.keys() - self.fields)


def find_operation(operations: tuple[Operation, ...], method: str, target: str) -> Operation | None:
    """Return the operation that a request is for."""
    path = urlsplit(target).path
    return next((operation for operation in operations if operation.matches(method, path)), None)


_PROJECT = "/projects/{id}"
_MERGE_REQUESTS = f"{_PROJECT}/merge_requests"
_MERGE_REQUEST = f"{_MERGE_REQUESTS}/{{merge_request_iid}}"
_LISTED_MERGE_REQUEST = frozenset(
    [
        "iid",
        "title",
        "description",
        "state",
        "web_url",
        "source_branch",
        "target_branch",
        "source_project_id",
        "target_project_id",
        "sha",
        "draft",
        "assignees",
        "reviewers",
        "labels",
        "merged_at",
        "merge_status",
        "detailed_merge_status",
        "merge_commit_sha",
        "merge_when_pipeline_succeeds",
        "squash_commit_sha",
    ]
)
_WHOLE_MERGE_REQUEST = _LISTED_MERGE_REQUEST | {
    "diff_refs",
    "head_pipeline",
    "rebase_in_progress",
    "merge_error",
}
_TEXTS = {"title": "string", "description": "string"}
# GitLab's doc/api/openapi/openapi_v2.yaml, of September 2024
GITLAB = (
    Operation(
        "GET",
        _PROJECT,
        200,
        frozenset({"id", "merge_method", "squash_option", "only_allow_merge_if_pipeline_succeeds"}),
    ),
    Operation("GET", "/users", 200, frozenset({"id", "username"}), {"username": "string"}),
    Operation(
        "GET",
        _MERGE_REQUESTS,
        200,
        _LISTED_MERGE_REQUEST,
        {
            "state": "string",
            "target_branch": "string",
            "source_branch": "string",
            "order_by": "string",
            "sort": "string",
            "per_page": "integer",
            "page": "integer",
        },
    ),
    Operation(
        "POST",
        _MERGE_REQUESTS,
        201,
        _WHOLE_MERGE_REQUEST,
        body={"source_branch": "string", "target_branch": "string", **_TEXTS},
        required=frozenset({"source_branch", "target_branch", "title"}),
    ),
    Operation("GET", _MERGE_REQUEST, 200, _WHOLE_MERGE_REQUEST, {"include_rebase_in_progress": "boolean"}),
    Operation(
        "PUT",
        _MERGE_REQUEST,
        200,
        _WHOLE_MERGE_REQUEST,
        body={**_TEXTS, "add_labels": "array", "assignee_ids": "array", "reviewer_ids": "array"},
    ),
    Operation(
        "PUT",
        f"{_MERGE_REQUEST}/merge",
        200,
        _WHOLE_MERGE_REQUEST,
        body={
            "sha": "string",
            "squash": "boolean",
            "merge_commit_message": "string",
            "squash_commit_message": "string",
            "should_remove_source_branch": "boolean",
            "merge_when_pipeline_succeeds": "boolean",
        },
    ),
    Operation("PUT", f"{_MERGE_REQUEST}/rebase", 200, frozenset({"rebase_in_progress"}), undescribed=202),
    Operation(
        "GET",
        f"{_PROJECT}/repository/compare",
        200,
        frozenset({"commits", "diffs"}),
        {"from": "string", "to": "string"},
    ),
    Operation("GET", f"{_PROJECT}/repository/branches/{{branch}}", 200, frozenset({"name", "commit"})),
    Operation("DELETE", f"{_PROJECT}/repository/branches/{{branch}}", 204),
    Operation("GET", f"{_PROJECT}/repository/commits/{{sha}}", 200, frozenset({"id", "message"})),
)

_REPOSITORY = "/repos/{owner}/{repo}"
_PULL = f"{_REPOSITORY}/pulls/{{index}}"
_ISSUE = f"{_REPOSITORY}/issues/{{index}}"
_PULL_REQUEST = frozenset(
    [
        "number",
        "title",
        "body",
        "state",
        "html_url",
        "head",
        "base",
        "draft",
        "mergeable",
        "merged_at",
        "merge_commit_sha",
    ]
)
_GITEA_TEXTS = {"title": "string", "body": "string"}
_BRANCH = frozenset({"name", "commit", "enable_status_check", "status_check_contexts"})
# The API of Forgejo 16.0.1, which is also that of Gitea 1.22, as each server has it at /swagger.v1.json
GITEA = (
    Operation(
        "GET",
        _REPOSITORY,
        200,
        frozenset({"allow_merge_commits", "allow_squash_merge", "allow_rebase", "default_merge_style"}),
    ),
    Operation(
        "GET",
        f"{_REPOSITORY}/pulls",
        200,
        _PULL_REQUEST,
        {"state": "string", "base": "string", "head": "string", "limit": "integer", "page": "integer"},
    ),
    Operation(
        "POST",
        f"{_REPOSITORY}/pulls",
        201,
        _PULL_REQUEST,
        body={**_GITEA_TEXTS, "head": "string", "base": "string"},
    ),
    Operation("GET", _PULL, 200, _PULL_REQUEST),
    Operation("PATCH", _PULL, 201, _PULL_REQUEST, body=_GITEA_TEXTS),
    Operation(
        "POST",
        f"{_PULL}/merge",
        200,
        body={
            "Do": "string",
            "head_commit_id": "string",
            "MergeTitleField": "string",
            "MergeMessageField": "string",
            "merge_when_checks_succeed": "boolean",
            "delete_branch_after_merge": "boolean",
        },
        required=frozenset({"Do"}),
        undescribed=201,
    ),
    Operation("POST", f"{_PULL}/update", 200, query={"style": "string"}),
    Operation(
        "POST",
        f"{_PULL}/requested_reviewers",
        201,
        frozenset({"id", "user"}),
        body={"reviewers": "array", "team_reviewers": "array"},
    ),
    Operation("GET", _ISSUE, 200, frozenset({"number", "assignees", "milestone"})),
    Operation(
        "PATCH",
        _ISSUE,
        201,
        frozenset({"number", "assignees", "milestone"}),
        body={"assignees": "array", "milestone": "integer"},
    ),
    Operation("POST", f"{_ISSUE}/labels", 200, frozenset({"id", "name"}), body={"labels": "array"}),
    Operation(
        "GET",
        f"{_REPOSITORY}/compare/{{basehead}}",
        200,
        frozenset({"total_commits", "commits", "files"}),
    ),
    Operation("GET", f"{_REPOSITORY}/branches/{{branch}}", 200, _BRANCH),
    Operation("DELETE", f"{_REPOSITORY}/branches/{{branch}}", 204),
    Operation(
        "GET",
        f"{_REPOSITORY}/git/commits/{{sha}}",
        200,
        frozenset({"sha", "commit"}),
        {"stat": "boolean", "verification": "boolean", "files": "boolean"},
    ),
    Operation(
        "GET",
        f"{_REPOSITORY}/commits/{{ref}}/status",
        200,
        frozenset({"sha", "statuses"}),
        {"limit": "integer", "page": "integer"},
    ),
)
