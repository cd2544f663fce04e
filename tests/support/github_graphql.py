"""What GitHub's GraphQL API does, executed against its own schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema, graphql_sync, validate_schema

from tests.support.github_state import Hosted, PullRequest, Refused


@cache
def schema() -> GraphQLSchema:
    """Return the part of the schema that extract_github_schema.py keeps."""
    built = build_schema(Path(__file__).with_name("github_schema.graphql").read_text())
    assert not validate_schema(built)
    return built


def execute(hosted: Hosted, sent: dict[str, Any]) -> dict[str, Any]:
    """Answer a query: with data, or with errors as GitHub types them."""
    result = graphql_sync(schema(), sent["query"], _Mutations(hosted), variable_values=sent["variables"])
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [
            {"type": "UNPROCESSABLE", "path": error.path, "message": error.message}
            if isinstance(error.original_error, Refused)
            else {"type": "NOT_FOUND", "message": error.message}
            for error in result.errors
        ]
    return answer


def faults_of_query(sent: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    """Say what is wrong with a query: what the schema does not know, and GitHub would not execute."""
    known = ("Could not resolve to a node",)
    untyped = [error for error in answer.get("errors", []) if error["type"] == "NOT_FOUND"]
    return [error["message"] for error in untyped if not error["message"].startswith(known)]


class _Mutations:
    """The mutations, as the executor asks for them by name."""

    def __init__(self, hosted: Hosted) -> None:
        self._hosted = hosted

    def updatePullRequestBranch(self, info: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        pull = self._find(input)
        assert input["updateMethod"] == "REBASE"
        self._hosted.rebase(pull)
        return self._show(pull)

    def enablePullRequestAutoMerge(self, info: Any, input: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        pull = self._find(input)
        self._hosted.enable_auto_merge(pull, input["mergeMethod"].lower())
        return self._show(pull)

    def _find(self, given: dict[str, Any]) -> PullRequest:
        for pull in self._hosted.pulls.values():
            if pull.node_id == given["pullRequestId"]:
                if given.get("expectedHeadOid", pull.head_sha) != self._hosted.branches[pull.head]:
                    raise Refused(200, "Head branch was modified. Review and try the merge again.")
                return pull
        raise GraphQLError(f"Could not resolve to a node with the global id of '{given['pullRequestId']}'")

    def _show(self, pull: PullRequest) -> dict[str, Any]:
        shown = {"id": pull.node_id, "number": pull.number, "headRefOid": pull.head_sha}
        return {"pullRequest": shown}
