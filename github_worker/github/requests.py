"""What requests to GitHub have in common."""

from __future__ import annotations

from urllib.parse import quote

from github_worker.forge.pull_request import FullName
from github_worker.forge.requests import ApiRequest

GRAPHQL = "/graphql"


def get_repository(name: FullName) -> ApiRequest:
    """Ask for the repository itself."""
    return ApiRequest(purpose=f"Asking for {name}", method="GET", path=name.path)


def quote_branch(branch: str) -> str:
    """Quote a branch, as a part of a path; its slashes stay."""
    return quote(branch, safe="/")
