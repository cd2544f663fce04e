"""GitHub's GraphQL API, for what its REST API cannot do: rebase a branch, merge when the rules are met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from github_worker.errors import (
    JobError,
    PermissionDenied,
    PullRequestNotMergeable,
    RemoteUnavailable,
    RepositoryNotFound,
)
from github_worker.forge.errors import clean_sentence
from github_worker.forge.pull_request import MergeOptions, PullRequest
from github_worker.forge.requests import ApiRequest, ApiResponse
from github_worker.github.errors import find_kind
from github_worker.github.requests import GRAPHQL

_REBASE_BRANCH = """mutation($input: UpdatePullRequestBranchInput!) {
  updatePullRequestBranch(input: $input) { pullRequest { headRefOid } }
}"""
_ENABLE_AUTO_MERGE = """mutation($input: EnablePullRequestAutoMergeInput!) {
  enablePullRequestAutoMerge(input: $input) { pullRequest { number } }
}"""
_BY_TYPE: Mapping[str, type[JobError]] = {
    "FORBIDDEN": PermissionDenied,
    "INSUFFICIENT_SCOPES": PermissionDenied,
    "NOT_FOUND": RepositoryNotFound,
}


class _Error(Struct, frozen=True):
    message: str = ""
    type: str | None = None


class _Answer(Struct, frozen=True):
    errors: list[_Error] | None = None


def rebase_branch(pull_request: PullRequest) -> ApiRequest:
    """Rebase the branch of a pull request onto its base, if its head still is this one."""
    fields = {
        "pullRequestId": pull_request.node_id,
        "expectedHeadOid": pull_request.head.sha,
        "updateMethod": "REBASE",
    }
    purpose = f"Rebasing {pull_request.head.ref} onto {pull_request.base.ref}"
    return _build(purpose, _REBASE_BRANCH, fields)


def enable_auto_merge(pull_request: PullRequest, head: str, options: MergeOptions) -> ApiRequest:
    """Merge a pull request when its rules are met, by the base's merge queue if it has one."""
    fields = {
        "pullRequestId": pull_request.node_id,
        "expectedHeadOid": head,
        "mergeMethod": options.method and options.method.upper(),
        "commitHeadline": options.title,
        "commitBody": options.text,
    }
    return _build(f"Enabling auto-merge of #{pull_request.number}", _ENABLE_AUTO_MERGE, fields)


def check(response: ApiResponse, purpose: str) -> None:
    """Raise the error that an answer holds, which has status 200 all the same."""
    errors = response.decode(_Answer).errors
    if not errors:
        return
    sentence = clean_sentence("; ".join(error.message for error in errors))
    message = f"{purpose} failed: {sentence}"
    kinds = (_BY_TYPE.get(error.type or "") for error in errors)
    kind = find_kind(sentence) or next(filter(None, kinds), PullRequestNotMergeable)
    # GitHub's own failures tell no more than "Something went wrong while executing your query"
    raise (RemoteUnavailable if sentence.startswith("Something went wrong") else kind)(message)


def _build(purpose: str, query: str, fields: Mapping[str, Any]) -> ApiRequest:
    given = {name: value for name, value in fields.items() if value is not None}
    body = {"query": query, "variables": {"input": given}}
    return ApiRequest(purpose=purpose, method="POST", path=GRAPHQL, body=body)
