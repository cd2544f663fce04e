"""Waiting for checks: those that are there, and those that GitHub says will come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from github_worker.contract import AutoPullRequest
from github_worker.errors import PullRequestNotMergeable, PullRequestTimeout
from github_worker.forge.pull_request import FullName
from github_worker.forge.waiting import MergeWait, choose_limit
from github_worker.github.client import open_github
from github_worker.github.repository import Repository
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.settings import from_env
from tests.pull_requests.conftest import Jobs
from tests.support.github import TOKEN, GitHub

_SETTLING = 0.1  # seconds


@pytest.fixture
async def repository(github: GitHub, env: dict[str, str]) -> AsyncIterator[Repository]:
    """Yield the repository, with a pull request of its topic."""
    github.repository.open("topic", "main", "Mine")
    async with open_github(from_env(env), Secret(TOKEN), Report(lambda _: None)) as api:
        yield Repository(api, FullName("octocat", "hello-world"))


def waiting(repository: Repository, limit: float | None = None) -> MergeWait:
    """Return a wait for all checks that settle fast."""
    report = Report(lambda _: None)
    return MergeWait(repository, 1, report, limit=limit, required=set(), settling=_SETTLING)


async def test_a_check_that_begins_late_is_waited_for(github: GitHub, jobs: Jobs) -> None:
    """A head without checks is not merged at once: here one appears at the third look."""
    github.repository.checks = {"build": ["", "", "in_progress", "failure"]}
    with pytest.raises(PullRequestNotMergeable, match="checks failed: build"):
        await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert (github.count("GET", "/check-runs"), github.count("PUT", "/merge")) == (4, 0)


async def test_a_head_without_checks_is_merged_when_it_has_settled(
    github: GitHub, repository: Repository
) -> None:
    """Where nothing comes in the settling time, there is nothing to wait for."""
    assert (await waiting(repository).until_mergeable(None)).number == 1
    assert github.count("GET", "/check-runs") == 2


async def test_a_workflow_that_is_queued_is_waited_for(github: GitHub, jobs: Jobs) -> None:
    """Its checks do not exist before it runs; those that passed already are not all."""
    github.repository.checks = {"lint": ["success"]}
    github.repository.workflows = {"CI": ["queued", "in_progress", "success"], "Docs": ["success"]}
    await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert github.count("GET", "/actions/runs") == 3


async def test_a_workflow_that_cannot_start_is_a_failed_check(github: GitHub, jobs: Jobs) -> None:
    """It never has checks that could fail."""
    github.repository.workflows = {"CI": ["queued", "startup_failure"]}
    with pytest.raises(PullRequestNotMergeable, match="checks failed: CI"):
        await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)


async def test_an_app_that_has_not_reported_yet_is_waited_for(github: GitHub, jobs: Jobs) -> None:
    """A queued suite is GitHub's word that checks will come."""
    github.repository.checks = {"lint": ["success"]}
    github.repository.suites = {"Builder": ["queued", "completed"]}
    await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert github.count("GET", "/check-suites") == 2


async def test_an_app_that_never_reports_is_not_waited_for_long(
    github: GitHub, repository: Repository
) -> None:
    """Apps without anything to say leave their suites queued for ever."""
    github.repository.suites = {"Silent": ["queued"]}
    assert (await waiting(repository).until_mergeable(None)).number == 1
    assert github.count("GET", "/check-suites") > 1


async def test_actions_always_report(github: GitHub, repository: Repository) -> None:
    """Their suite is waited for even where the token may not see their workflows."""
    github.repository.suites = {"GitHub-Actions": ["queued"]}
    github.refuse("/actions/runs", 403, "Resource not accessible by personal access token", times=100)
    with pytest.raises(PullRequestTimeout, match="checks: GitHub-Actions"):
        await waiting(repository, limit=1.0).until_mergeable(None)


async def test_what_a_token_may_not_see_is_not_waited_for(github: GitHub, repository: Repository) -> None:
    """Fine-grained tokens may lack the permission for suites, older servers the workflows."""
    github.refuse("/check-suites", 403, "Resource not accessible by personal access token", times=100)
    github.refuse("/actions/runs", 404, "Not Found", times=100)
    assert (await waiting(repository).until_mergeable(None)).number == 1


async def test_where_checks_are_required_only_they_count(github: GitHub, jobs: Jobs) -> None:
    """A workflow that goes on without being required does not hold the merge, as on GitHub."""
    github.repository.required = {"build"}
    github.repository.checks = {"build": ["", "success"]}
    github.repository.workflows = {"CI": ["queued"]}
    assert (await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)).merge_pr.merged
    assert github.count("GET", "/actions/runs") == 0


@pytest.mark.parametrize(
    ("timeout", "wait_for_checks", "limit"),
    [(None, False, 30.0), (None, True, None), (5, False, 5), (5, True, 5)],
)
def test_the_wait_is_as_long_as_it_is_said(
    timeout: int | None, wait_for_checks: bool, limit: float | None
) -> None:
    """Thirty seconds are the default, and for checks there is none but the job's own."""
    assert choose_limit(timeout, wait_for_checks=wait_for_checks) == limit
