"""The fields that the three endpoints take."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from github_worker.contract import REQUESTS, decode_request

_CREATE = {"owner": "o", "repo": "r", "head": "h", "base": "main", "githubAccessToken": "t"}
_MERGE = {"owner": "o", "repo": "r", "pullNumber": 1, "githubAccessToken": "t"}
_AUTO = {"owner": "o", "repo": "r", "branch": "b", "base": "main", "githubAccessToken": "t"}
_SESSION = {"sessionId": "s", "base": "main", "accessToken": "t"}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("create-pull-request", _CREATE | {"title": "t", "body": "", "draft": True}),
        ("create-pull-request", _CREATE | {"head": "stranger:fix/it", "maintainerCanModify": False}),
        ("create-pull-request", _CREATE | {"labels": ["a b", "c"], "milestone": 3, "update": True}),
        ("create-pull-request", _CREATE | {"reviewers": ["a_b"], "teamReviewers": ["team", "org/team"]}),
        ("create-pull-request", _CREATE | {"assignees": ["dependabot[bot]"]}),
        ("create-pull-request", _SESSION),
        ("merge-pull-request", _MERGE | {"mergeMethod": "squash", "commitTitle": "t", "commitMessage": "m"}),
        ("merge-pull-request", _MERGE | {"expectedHead": "5716ca5987cbf97d6bb54920bea6adde242d87e6"}),
        ("auto-pull-request", _AUTO | {"waitTimeout": 1, "autoMerge": True, "deleteBranch": False}),
        ("auto-pull-request", _AUTO | {"mergeMethod": "squash", "commitTitle": "t", "commitMessage": "m"}),
        ("auto-pull-request", _AUTO | {"labels": ["l"], "reviewers": ["a"], "assignees": ["b"]}),
        ("auto-pull-request", _AUTO | {"waitForChecks": True, "claudeCredentials": {"apiKey": "k"}}),
        ("auto-pull-request", _SESSION),
    ],
)
def test_what_the_contract_lists_is_taken(operation: str, body: dict[str, Any]) -> None:
    """Every field of the contract has its place."""
    assert decode_request(REQUESTS[operation], msgspec.json.encode(body)).operation == operation


@pytest.mark.parametrize(
    ("operation", "body", "field"),
    [
        ("create-pull-request", {k: v for k, v in _CREATE.items() if k != "owner"}, "owner"),
        ("create-pull-request", {k: v for k, v in _CREATE.items() if k != "head"}, "head"),
        ("create-pull-request", {k: v for k, v in _CREATE.items() if k != "base"}, "base"),
        ("create-pull-request", _SESSION | {"head": "h"}, "head"),
        ("create-pull-request", _CREATE | {"title": ["two", "lines"]}, "title"),
        ("create-pull-request", _CREATE | {"body": "x" * 65_537}, "body"),
        ("create-pull-request", _CREATE | {"head": "a..b"}, "head"),
        ("create-pull-request", _CREATE | {"draft": "yes"}, "draft"),
        ("create-pull-request", _CREATE | {"branch": "b"}, "branch"),
        ("create-pull-request", _CREATE | {"head": "a:b:c"}, "head"),
        ("create-pull-request", _CREATE | {"head": ":b"}, "head"),
        ("create-pull-request", _CREATE | {"head": "a:-b"}, "head"),
        ("create-pull-request", _CREATE | {"base": "a:b"}, "base"),
        ("create-pull-request", _CREATE | {"labels": "ui"}, "labels"),
        ("create-pull-request", _CREATE | {"labels": [""]}, "labels"),
        ("create-pull-request", _CREATE | {"labels": ["l"] * 101}, "labels"),
        ("create-pull-request", _CREATE | {"reviewers": ["a b"]}, "reviewers"),
        ("create-pull-request", _CREATE | {"teamReviewers": ["a/b/c"]}, "teamReviewers"),
        ("create-pull-request", _CREATE | {"assignees": ["a[b]"]}, "assignees"),
        ("create-pull-request", _CREATE | {"milestone": 0}, "milestone"),
        ("merge-pull-request", _MERGE | {"expectedHead": "5716ca5"}, "expectedHead"),
        ("auto-pull-request", _AUTO | {"branch": "a:b"}, "branch"),
        ("auto-pull-request", _AUTO | {"waitTimeout": 0}, "waitTimeout"),
        ("merge-pull-request", _MERGE | {"mergeMethod": "octopus"}, "mergeMethod"),
        ("merge-pull-request", _MERGE | {"pullNumber": 0}, "pullNumber"),
        ("merge-pull-request", _MERGE | {"sessionId": "s"}, "sessionId"),
        ("merge-pull-request", {k: v for k, v in _MERGE.items() if k != "repo"}, "repo"),
        ("auto-pull-request", {k: v for k, v in _AUTO.items() if k != "branch"}, "branch"),
        ("auto-pull-request", _SESSION | {"owner": "o"}, "owner"),
        ("auto-pull-request", _AUTO | {"owner": "../x"}, "owner"),
    ],
)
def test_a_wrong_field_is_named(operation: str, body: dict[str, Any], field: str) -> None:
    """A missing, wrong, unknown or doubled field is refused by its name."""
    with pytest.raises(ValueError, match=field):
        decode_request(REQUESTS[operation], msgspec.json.encode(body))
