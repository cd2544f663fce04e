"""A request to GitHub, and what one is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct, field

from github_worker.contract import MergeMethod
from github_worker.errors import JobError

GRAPHQL = "/graphql"
PAGE = 100  # the most that GitHub gives at once


class FullName(NamedTuple):
    """A repository by its owner and name."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def path(self) -> str:
        """The repository's path in the REST API."""
        return f"/repos/{quote(self.owner, safe='')}/{quote(self.name, safe='')}"


class ApiRequest(Struct, frozen=True, kw_only=True):
    """A request; `purpose` says what it does, to a person.

    Other `statuses` than these are refusals, for which `errors` may name the class. `repeatable` says that
    sending it twice does the same as sending it once.
    """

    purpose: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    statuses: frozenset[int] = frozenset({200})
    errors: Mapping[int, type[JobError]] = field(default_factory=dict)
    repeatable: bool = True


class MergeOptions(Struct, frozen=True, kw_only=True):
    """The way to merge a pull request; GitHub decides what is not given."""

    method: MergeMethod | None = None
    title: str | None = None
    text: str | None = None


def get_repository(name: FullName) -> ApiRequest:
    """Ask for the repository itself."""
    return ApiRequest(purpose=f"Asking for {name}", method="GET", path=name.path)


def quote_branch(branch: str) -> str:
    """Quote a branch, as a part of a path; its slashes stay."""
    return quote(branch, safe="/")
