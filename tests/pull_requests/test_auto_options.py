"""What auto-pull-request can be told: how to merge, whom to ask, what to leave to GitHub."""

from __future__ import annotations

from typing import Any

import pytest

from github_worker.contract import AutoPullRequest
from github_worker.errors import PullRequestNotMergeable
from tests.pull_requests.conftest import Jobs
from tests.support.faults import Answer, Cut, Meanwhile, Moment
from tests.support.github import GitHub


async def test_a_branch_is_merged_as_it_is_asked_for(github: GitHub, jobs: Jobs) -> None:
    """The method, the title and the message go to GitHub; labels and people to the pull request."""
    done = await jobs.run(
        AutoPullRequest,
        branch="topic",
        base="main",
        mergeMethod="squash",
        commitTitle="Dark",
        commitMessage="mode",
        labels=["ui"],
        reviewers=["ada"],
        assignees=["grace"],
    )
    sent = next(asked.body for asked in github.asked if asked.method == "PUT")
    assert (sent["merge_method"], sent["commit_title"], sent["commit_message"]) == ("squash", "Dark", "mode")
    pull = github.repository.pulls[1]
    assert (pull.labels, pull.reviewers, pull.assignees) == (["ui"], ["ada"], ["grace"])
    assert (done.step, jobs.warnings) == ("branch_deleted", ["fallback"])


async def test_people_who_are_refused_do_not_stop_it(github: GitHub, jobs: Jobs) -> None:
    """They are a warning, and the branch is merged."""
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", reviewers=["stranger"])
    assert (done.step, jobs.warnings) == ("branch_deleted", ["fallback", "reviewers_not_asked"])


async def test_a_method_that_is_asked_for_is_not_replaced(github: GitHub, jobs: Jobs) -> None:
    """Nothing is merged in a way that was not asked for."""
    github.repository.allowed = {"squash"}
    with pytest.raises(PullRequestNotMergeable, match="Merge merges are not allowed"):
        await jobs.run(AutoPullRequest, branch="topic", base="main", mergeMethod="merge")


async def test_a_branch_is_kept_if_asked_to(github: GitHub, jobs: Jobs) -> None:
    """The last step is then the merge."""
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", deleteBranch=False)
    assert (done.step, done.merge_pr.merged, jobs.stages[-1]) == ("pr_merged", True, "pr_merged")
    assert "topic" in github.repository.branches


async def test_one_that_somebody_opens_meanwhile_is_used(github: GitHub, jobs: Jobs) -> None:
    """What was asked for is there."""
    someone = Meanwhile(lambda: github.repository.open("topic", "main", "Theirs"))
    github.faults.add(someone, "POST /repos/octocat/hello-world/pulls")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", title="Ours", body="")
    assert (done.pr.number, done.step) == (1, "branch_deleted")
    assert jobs.stages[:2] == ["creating_pr", "pr_found"]


@pytest.fixture
def _blocked(github: GitHub) -> None:
    github.repository.required = {"build"}


@pytest.mark.usefixtures("_blocked")
@pytest.mark.parametrize(
    ("fields", "method"),
    [({}, "squash"), ({"mergeMethod": "rebase", "commitTitle": "Dark", "commitMessage": "mode"}, "rebase")],
)
async def test_a_merge_is_left_to_github(
    github: GitHub, jobs: Jobs, fields: dict[str, Any], method: str
) -> None:
    """The job ends before the rules are met, without having merged; the method is one that is allowed."""
    github.repository.allowed = {"squash", "rebase"}
    github.repository.commit("main", "Meanwhile", {"other": "1"})
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", autoMerge=True, **fields)
    assert (done.step, done.pr.number) == ("auto_merge_enabled", 1)
    assert (done.merge_pr.merged, done.merge_pr.sha) == (False, None)
    assert done.merge_base.sha == github.repository.branches["topic"]
    assert github.repository.pulls[1].auto_merge == method
    assert jobs.stages[-1] == "merging_pr"
    assert (github.count("PUT", "/merge"), "topic" in github.repository.branches) == (0, True)


@pytest.mark.usefixtures("_blocked")
async def test_a_merge_that_github_has_already_is_left_to_it(github: GitHub, jobs: Jobs) -> None:
    """Asked again, the answer is the same, and GitHub is not."""
    first = await jobs.run(AutoPullRequest, branch="topic", base="main", autoMerge=True)
    again = await jobs.run(AutoPullRequest, branch="topic", base="main", autoMerge=True)
    assert (again.step, again.pr) == (first.step, first.pr)
    assert github.count("POST", "/graphql") == 1


async def test_a_merge_queue_is_used(github: GitHub, jobs: Jobs) -> None:
    """A base that is merged into by its queue alone takes the pull request so."""
    github.repository.queue = True
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", autoMerge=True)
    assert done.step == "auto_merge_enabled"
    assert github.repository.pulls[1].auto_merge == "merge"


async def test_a_merge_queue_is_named_where_it_is_not_asked_for(github: GitHub, jobs: Jobs) -> None:
    """GitHub's sentence is passed on."""
    github.repository.queue = True
    with pytest.raises(PullRequestNotMergeable, match="through the merge queue"):
        await jobs.run(AutoPullRequest, branch="topic", base="main")


async def test_what_can_be_merged_at_once_is(github: GitHub, jobs: Jobs) -> None:
    """GitHub does not take what it would have nothing to wait for."""
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", autoMerge=True)
    assert (done.step, done.merge_pr.merged) == ("branch_deleted", True)


@pytest.mark.usefixtures("_blocked")
async def test_a_repository_without_auto_merge_says_so(github: GitHub, jobs: Jobs) -> None:
    """The pull request stands, and the error names it."""
    github.repository.auto_merge_allowed = False
    with pytest.raises(PullRequestNotMergeable, match="Auto merge is not allowed") as raised:
        await jobs.run(AutoPullRequest, branch="topic", base="main", autoMerge=True)
    assert (raised.value.data["pr"]["number"], raised.value.data["step"]) == (1, "base_merged")


@pytest.mark.usefixtures("_blocked")
async def test_a_head_that_github_does_not_see_yet_is_asked_for_again(github: GitHub, jobs: Jobs) -> None:
    """GraphQL says so of what was pushed, or opened, just before; a lost answer does no harm either."""
    body = b'{"errors": [{"type": "NOT_FOUND", "message": "Could not resolve to a node with the global id"}]}'
    github.faults.add(Answer(200, body), "/graphql")
    github.faults.add(Cut(Moment.HANDLED), "/graphql")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", autoMerge=True)
    assert (done.step, github.count("POST", "/graphql")) == ("auto_merge_enabled", 3)
