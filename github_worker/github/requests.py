"""The requests to GitHub, as its REST API (version 2022-11-28) describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct, field

from github_worker.contract import MergeMethod
from github_worker.errors import BranchNotFound, JobError, MergeConflict, PullRequestNotMergeable

PAGE = 100  # the most that GitHub gives at once


class FullName(NamedTuple):
    """A repository by its owner and name."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


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
    """Ask about the repository itself."""
    return ApiRequest(purpose=f"Asking for {name}", method="GET", path=_repository_path(name))


def list_pull_requests(name: FullName, *, state: str, base: str, head: str | None, count: int) -> ApiRequest:
    """Ask for the newest pull requests into `base`, from the repository's branch `head` if one is given."""
    query = {"state": state, "base": base, "sort": "created", "direction": "desc", "per_page": str(count)}
    if head is not None:
        query["head"] = f"{name.owner}:{head}"
    return ApiRequest(
        purpose=f"Listing the pull requests of {name}",
        method="GET",
        path=f"{_repository_path(name)}/pulls",
        query=query,
    )


def open_pull_request(
    name: FullName, *, head: str, base: str, title: str, body: str, draft: bool
) -> ApiRequest:
    """Open a pull request; a second one is refused, so the outcome of a lost one has to be looked up."""
    return ApiRequest(
        purpose=f"Opening a pull request from {head} into {base} in {name}",
        method="POST",
        path=f"{_repository_path(name)}/pulls",
        body={"title": title, "head": head, "base": base, "body": body, "draft": draft},
        statuses=frozenset({201}),
        repeatable=False,
    )


def get_pull_request(name: FullName, number: int) -> ApiRequest:
    """Ask for one pull request; this also makes GitHub find out whether it can be merged."""
    return ApiRequest(
        purpose=f"Asking for {name}#{number}", method="GET", path=f"{_repository_path(name)}/pulls/{number}"
    )


def merge_pull_request(name: FullName, number: int, sha: str, options: MergeOptions) -> ApiRequest:
    """Merge a pull request if its head still is `sha`."""
    body = {
        "sha": sha,
        "merge_method": options.method,
        "commit_title": options.title,
        "commit_message": options.text,
    }
    return ApiRequest(
        purpose=f"Merging {name}#{number}",
        method="PUT",
        path=f"{_repository_path(name)}/pulls/{number}/merge",
        body={key: value for key, value in body.items() if value is not None},
        errors={405: PullRequestNotMergeable, 409: MergeConflict, 422: PullRequestNotMergeable},
    )


def merge_branch(name: FullName, *, into: str, source: str) -> ApiRequest:
    """Merge one branch into another; 204 says that there was nothing to merge."""
    return ApiRequest(
        purpose=f"Merging {source} into {into} in {name}",
        method="POST",
        path=f"{_repository_path(name)}/merges",
        body={"base": into, "head": source},
        statuses=frozenset({201, 204}),
        errors={404: BranchNotFound, 409: MergeConflict},
    )


def compare(name: FullName, *, base: str, head: str) -> ApiRequest:
    """Ask for the commits and files of `head` that `base` has not: at most 250 and 300 of them."""
    return ApiRequest(
        purpose=f"Comparing {head} with {base} in {name}",
        method="GET",
        path=f"{_repository_path(name)}/compare/{_quote_branch(base)}...{_quote_branch(head)}",
        errors={404: BranchNotFound},
    )


def get_branch_tip(name: FullName, branch: str) -> ApiRequest:
    """Ask where a branch is; 404 says that it is not, 409 that the repository is empty."""
    path = f"{_repository_path(name)}/git/ref/heads/{_quote_branch(branch)}"
    return ApiRequest(
        purpose=f"Asking for the branch {branch} of {name}",
        method="GET",
        path=path,
        statuses=frozenset({200, 404, 409}),
    )


def delete_branch(name: FullName, branch: str) -> ApiRequest:
    """Delete a branch."""
    return ApiRequest(
        purpose=f"Deleting the branch {branch} of {name}",
        method="DELETE",
        path=f"{_repository_path(name)}/git/refs/heads/{_quote_branch(branch)}",
        statuses=frozenset({204}),
        errors={404: BranchNotFound},
    )


def list_check_runs(name: FullName, sha: str, page: int) -> ApiRequest:
    """Ask for a commit's checks."""
    path = f"{_repository_path(name)}/commits/{sha}/check-runs"
    return ApiRequest(
        purpose=f"Asking for the checks of {sha} in {name}",
        method="GET",
        path=path,
        query={"per_page": str(PAGE), "page": str(page)},
    )


def get_commit_status(name: FullName, sha: str) -> ApiRequest:
    """Ask for a commit's statuses, which are the older kind of check."""
    path = f"{_repository_path(name)}/commits/{sha}/status"
    return ApiRequest(
        purpose=f"Asking for the statuses of {sha} in {name}",
        method="GET",
        path=path,
        query={"per_page": str(PAGE)},
    )


def get_branch(name: FullName, branch: str) -> ApiRequest:
    """Ask for a branch and its protection."""
    path = f"{_repository_path(name)}/branches/{_quote_branch(branch)}"
    return ApiRequest(
        purpose=f"Asking for the branch {branch} of {name}",
        method="GET",
        path=path,
        errors={404: BranchNotFound},
    )


def list_branch_rules(name: FullName, branch: str) -> ApiRequest:
    """Ask for the rules of a branch; a GitHub Enterprise before 3.11 has none, and says 404."""
    path = f"{_repository_path(name)}/rules/branches/{_quote_branch(branch)}"
    return ApiRequest(
        purpose=f"Asking for the rules of the branch {branch} of {name}",
        method="GET",
        path=path,
        query={"per_page": str(PAGE)},
        statuses=frozenset({200, 404}),
    )


def _repository_path(name: FullName) -> str:
    return f"/repos/{quote(name.owner, safe='')}/{quote(name.name, safe='')}"


def _quote_branch(branch: str) -> str:
    return quote(branch, safe="/")
