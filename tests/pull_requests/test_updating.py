"""Bringing a branch up to date with its base, by a merge or a rebase."""

from __future__ import annotations

import pytest

from github_worker.contract import AutoPullRequest
from github_worker.errors import MergeConflict, PermissionDenied, RateLimited, RemoteUnavailable
from github_worker.forge.requests import ApiResponse
from github_worker.github.graphql import check
from github_worker.services import Services
from github_worker.settings import from_env
from tests.pull_requests.conftest import Jobs
from tests.support.faults import Answer, Cut, Moment
from tests.support.github import ENTERPRISE, GitHub


@pytest.fixture
def _base_moved(github: GitHub) -> None:
    github.repository.commit("main", "Meanwhile", {"other": "1"})


def is_linear(github: GitHub) -> bool:
    """Tell whether the base has no merge commit."""
    tip = github.repository.branches["main"]
    commits = github.repository.commits
    parents = commits[tip].parents
    while len(parents) == 1:
        parents = commits[parents[0]].parents
    return not parents


@pytest.mark.usefixtures("_base_moved")
@pytest.mark.parametrize("rule", ["allowed", "ruled_methods", "linear_heads"])
async def test_a_branch_is_rebased_where_merges_are_refused(github: GitHub, jobs: Jobs, rule: str) -> None:
    """By the repository that rebases only, by a rule of its base, or by one of the branch itself."""
    setattr(github.repository, rule, {"topic"} if rule == "linear_heads" else {"rebase"})
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.step, done.merge_base.message) == ("branch_deleted", "Rebased topic onto main")
    assert github.repository.commits[github.repository.branches["main"]].tree.keys() >= {
        "other",
        "src/theme.ts",
    }
    assert is_linear(github) == (rule != "linear_heads")


async def test_a_branch_that_is_up_to_date_is_not_rebased(github: GitHub, jobs: Jobs) -> None:
    """Its commits stay what they are."""
    github.repository.allowed = {"rebase"}
    tip = github.repository.branches["topic"]
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.merge_base.sha, done.merge_base.message) == (tip, "topic is up to date with main")
    assert github.count("POST", "/graphql") == 0


async def test_a_rebase_with_conflicts_is_a_conflict(github: GitHub, jobs: Jobs) -> None:
    """As a merge with conflicts is."""
    github.repository.allowed = {"rebase"}
    github.repository.commit("main", "Go another way", {"src/theme.ts": "light"})
    with pytest.raises(MergeConflict, match="Rebasing topic onto main failed: merge conflict"):
        await jobs.run(AutoPullRequest, branch="topic", base="main")


@pytest.mark.usefixtures("_base_moved")
@pytest.mark.parametrize("fault", [Cut(Moment.RECEIVED), Cut(Moment.HANDLED), Answer(502, b"<html>")])
async def test_a_lost_answer_of_a_rebase_is_not_noticed(
    github: GitHub, jobs: Jobs, fault: Cut | Answer
) -> None:
    """Asked again, GitHub says that the head is another one: it is the one that it made."""
    github.repository.allowed = {"rebase"}
    github.faults.add(fault, "/graphql")
    assert (await jobs.run(AutoPullRequest, branch="topic", base="main")).step == "branch_deleted"
    assert is_linear(github)


@pytest.mark.usefixtures("_base_moved")
async def test_an_enterprise_has_graphql_beside_its_rest_api(github: GitHub, env: dict[str, str]) -> None:
    """At /api/graphql, where /api/v3 is the REST API."""
    jobs = Jobs(Services.from_settings(from_env(env | {"GITHUB_API_URL": f"{github.origin}{ENTERPRISE}"})))
    github.repository.allowed = {"rebase"}
    assert (await jobs.run(AutoPullRequest, branch="topic", base="main")).step == "branch_deleted"


@pytest.mark.usefixtures("_base_moved")
async def test_a_limit_of_graphql_has_status_200(github: GitHub, jobs: Jobs) -> None:
    """It is waited for as any other, or ends the job if it lasts too long."""
    github.repository.allowed = {"rebase"}
    body = b'{"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}'
    limit = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999"}
    github.faults.add(Answer(200, body, limit), "/graphql")
    with pytest.raises(RateLimited):
        await jobs.run(AutoPullRequest, branch="topic", base="main")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"errors": [{"type": "FORBIDDEN", "message": "Resource not accessible"}]}', PermissionDenied),
        (b'{"errors": [{"type": "INSUFFICIENT_SCOPES", "message": "Your token"}]}', PermissionDenied),
        (b'{"errors": [{"message": "Something went wrong while executing your query"}]}', RemoteUnavailable),
        (b"<html>", RemoteUnavailable),
    ],
)
def test_the_errors_of_a_query_are_typed(body: bytes, error: type[Exception]) -> None:
    """GitHub gives them a type, its own failures none."""
    with pytest.raises(error):
        check(ApiResponse(200, {}, body), "Rebasing")
    check(ApiResponse(200, {}, b'{"data": {}, "errors": null}'), "Rebasing")
