"""Extracts what the tests need of GitHub's GraphQL schema, which is far too big to keep whole.

npm pack @octokit/graphql-schema && tar xzf octokit-graphql-schema-*.tgz
python -m tests.support.extract_github_schema package
"""

from __future__ import annotations

import sys
from pathlib import Path

from graphql import DocumentNode, parse, print_ast
from graphql.language import ObjectTypeDefinitionNode, ScalarTypeDefinitionNode

TARGET = Path(__file__).with_name("github_schema.graphql")
# The fields that are kept of a type; an input and an enum are kept whole.
_FIELDS = {
    "Query": {"id"},
    "Mutation": {"enablePullRequestAutoMerge", "updatePullRequestBranch"},
    "EnablePullRequestAutoMergePayload": {"pullRequest"},
    "UpdatePullRequestBranchPayload": {"pullRequest"},
    "PullRequest": {"id", "number", "headRefOid", "autoMergeRequest"},
    "AutoMergeRequest": {"enabledAt", "mergeMethod"},
}
_WHOLE = {
    "EnablePullRequestAutoMergeInput",
    "UpdatePullRequestBranchInput",
    "PullRequestMergeMethod",
    "PullRequestBranchUpdateMethod",
    "GitObjectID",
    "DateTime",
}


def extract(whole: DocumentNode) -> str:
    """Return the definitions of our mutations alone, without their prose."""
    kept = []
    for definition in whole.definitions:
        name = getattr(getattr(definition, "name", None), "value", "")
        if isinstance(definition, ObjectTypeDefinitionNode) and name in _FIELDS:
            fields = [field for field in definition.fields or () if field.name.value in _FIELDS[name]]
            lines = "".join(f"  {_without_prose(print_ast(field))}\n" for field in fields)
            kept.append(f"type {name} {{\n{lines}}}\n")
        elif name in _WHOLE and isinstance(definition, ScalarTypeDefinitionNode):
            kept.append(f"scalar {name}\n")
        elif name in _WHOLE:
            kept.append(_without_prose(print_ast(definition)) + "\n")
    return "\n".join(kept)


def _without_prose(text: str) -> str:
    parts = text.split('"""')
    lines = "".join(parts[::2]).splitlines()
    return "\n".join(line for line in lines if line.strip()).strip()


if __name__ == "__main__":
    package = Path(sys.argv[1])
    text = extract(parse((package / "schema.graphql").read_text()))
    license_text = (package / "LICENSE.md").read_text()
    comment = "".join(f"# {line}".rstrip() + "\n" for line in license_text.splitlines())
    TARGET.write_text(
        f"# GitHub's GraphQL schema, in part, from @octokit/graphql-schema\n#\n{comment}\n{text}"
    )
