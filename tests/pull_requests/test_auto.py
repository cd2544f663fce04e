"""auto-pull-request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from github_worker.contract import AutoPullRequest, Progress
from github_worker.errors import (
    BranchNotFound,
    MergeConflict,
    NoCommits,
    PullRequestNotMergeable,
    PullRequestTimeout,
)
from github_worker.services import Services
from github_worker.settings import from_env
from tests.pull_requests.conftest import Jobs
from tests.support.faults import Hang, Meanwhile, Moment
from tests.support.github import GitHub

_API = "/repos/octocat/hello-world"


async def test_a_branch_goes_all_the_way(github: GitHub, jobs: Jobs) -> None:
    """The pull request is opened, the base merged in, the branch merged and deleted, each step told."""
    github.repository.commit("main", "Meanwhile", {"other": "1"})
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    main = github.repository.branches["main"]
    assert (done.step, done.pr.number, done.merge_pr.merged, done.merge_pr.sha) == (
        "branch_deleted",
        1,
        True,
        main,
    )
    assert done.merge_base is not None
    assert done.merge_base.sha in github.repository.commits[main].parents
    assert done.merge_base.message == "Merged main into topic"
    assert github.repository.commits[main].tree.keys() == {"README.md", "other", "src/theme.ts"}
    assert "topic" not in github.repository.branches
    assert jobs.stages == [
        "creating_pr",
        "pr_created",
        "merging_base",
        "base_merged",
        "waiting_mergeable",
        "merging_pr",
        "pr_merged",
        "deleting_branch",
    ]


async def test_an_open_pull_request_is_used(github: GitHub, jobs: Jobs) -> None:
    """No second one is opened; a branch that has its base's commits is up to date."""
    github.repository.open("topic", "main", "Mine")
    tip = github.repository.branches["topic"]
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert "pr_found" in jobs.stages
    assert (done.merge_base.sha, done.merge_base.message) == (tip, "topic is up to date with main")
    assert len(github.repository.pulls) == 1


async def test_a_conflict_with_the_base_merges_nothing(github: GitHub, jobs: Jobs) -> None:
    """The error is `MERGE_CONFLICT`, names the pull request, and both branches stay as they are."""
    github.repository.commit("main", "Go another way", {"src/theme.ts": "light"})
    before = dict(github.repository.branches)
    with pytest.raises(MergeConflict) as raised:
        await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert github.repository.branches == before
    assert raised.value.data["pr"]["number"] == 1
    assert raised.value.data["step"] == "pr_created"


async def test_an_undecided_pull_request_is_asked_for_and_told_once(github: GitHub, jobs: Jobs) -> None:
    """`mergeable` is null at first: it is asked for until GitHub knows, and a person reads one line of it."""
    github.repository.mergeable_after = 3
    await jobs.run(AutoPullRequest, branch="topic", base="main")
    polls = [e for e in jobs.events if isinstance(e, Progress) and e.stage == "waiting_mergeable"]
    assert len(polls) == 1
    assert github.count("GET", "/pulls/1") >= 4


async def test_a_head_that_github_has_not_seen_yet_is_waited_for(github: GitHub, jobs: Jobs) -> None:
    """Just after the base was merged in, the pull request may show what it was before: that is not merged."""
    github.repository.commit("main", "Meanwhile", {"other": "1"})
    github.repository.open("topic", "main", "Mine")
    github.repository.seen_after = 3
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert done.step == "branch_deleted"
    assert github.count("PUT", "/merge") == 1


async def test_a_commit_that_no_check_saw_is_not_merged(github: GitHub, jobs: Jobs) -> None:
    """A commit that arrives after the checks passed gets checks of its own first."""
    github.repository.checks = {"build": ["success"]}
    push = Meanwhile(lambda: github.repository.commit("topic", "More", {"src/more.ts": "more"}))
    for fault in (Meanwhile(lambda: None), push):  # the first one asks whether it can be merged
        github.faults.add(fault, f"GET {_API}/pulls/1")
    await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert github.count("GET", "/check-runs") == 2


async def test_required_checks_are_waited_for(github: GitHub, jobs: Jobs) -> None:
    """Check runs and statuses that protection or a rule requires are awaited, others are not."""
    github.repository.required, github.repository.ruled = {"build"}, {"legacy"}
    github.repository.checks = {"build": ["queued", "in_progress", "success"], "slow": ["in_progress"]}
    github.repository.statuses = {"legacy": ["pending", "success"], "coverage": ["failure"]}
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert done.merge_pr.merged
    assert github.count("GET", "/check-runs") == 3


async def test_checks_that_run_are_waited_for_where_none_is_required(github: GitHub, jobs: Jobs) -> None:
    """Who asks to wait gets to wait, even if GitHub would merge at once."""
    github.repository.checks = {"build": ["in_progress", "success"]}
    await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert github.count("GET", "/check-runs") == 2


async def test_all_pages_of_checks_are_read(github: GitHub, jobs: Jobs) -> None:
    """A check on the second page counts."""
    github.repository.checks = {f"check-{n:03}": ["success"] for n in range(100)} | {"last": ["failure"]}
    with pytest.raises(PullRequestNotMergeable, match="checks failed: last"):
        await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)


async def test_a_failed_check_stops_it(github: GitHub, jobs: Jobs) -> None:
    """Nothing is merged over a required check that failed, and the error names it."""
    github.repository.required = {"build"}
    github.repository.checks = {"build": ["in_progress", "failure"]}
    with pytest.raises(PullRequestNotMergeable, match="checks failed: build") as raised:
        await jobs.run(AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert raised.value.data["step"] == "base_merged"
    assert github.count("PUT", "/merge") == 0


async def test_without_being_asked_to_it_waits_for_no_checks(github: GitHub, jobs: Jobs) -> None:
    """GitHub decides, and its sentence is passed on."""
    github.repository.required = {"build"}
    with pytest.raises(PullRequestNotMergeable, match='Required status check "build" is expected'):
        await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert github.count("GET", "/check-runs") == 0


@pytest.mark.parametrize(
    ("env_change", "fields"),
    [({"JOB_TIMEOUT": "1"}, {}), ({"JOB_TIMEOUT": "1"}, {"waitForChecks": True}), ({}, {"waitTimeout": 1})],
)
async def test_waiting_ends_in_a_timeout(
    github: GitHub, env: dict[str, str], env_change: dict[str, str], fields: dict[str, Any]
) -> None:
    """Before the job's time is over, or earlier if it is asked to; what was achieved stands beside it."""
    github.repository.mergeable_after = 1000
    jobs = Jobs(Services.from_settings(from_env(env | env_change)))
    with pytest.raises(PullRequestTimeout, match="#1 waits for GitHub to find out") as raised:
        await jobs.run(AutoPullRequest, branch="topic", base="main", **fields)
    assert (raised.value.code, raised.value.retryable) == ("TIMEOUT", True)
    assert (raised.value.data["step"], raised.value.data["pr"]["number"]) == ("base_merged", 1)
    assert github.repository.pulls[1].state == "open"


@pytest.mark.parametrize("moment", [Moment.RECEIVED, Moment.HANDLED])
@pytest.mark.parametrize(
    "call",
    [
        f"POST {_API}/pulls",
        f"POST {_API}/merges",
        f"GET {_API}/pulls/1",
        f"PUT {_API}/pulls/1/merge",
        f"DELETE {_API}/git/refs/heads/topic",
    ],
)
async def test_a_second_call_goes_on_where_the_first_one_died(
    github: GitHub, jobs: Jobs, call: str, moment: Moment
) -> None:
    """The second job ends with the branch merged, once, and gone, whatever the first one asked last."""
    github.repository.commit("main", "Meanwhile", {"other": "1"})
    github.faults.add(Hang(moment), call)
    first = asyncio.create_task(jobs.run(AutoPullRequest, branch="topic", base="main"))
    await asyncio.to_thread(github.faults.wait_until_struck)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    github.faults.release()

    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.step, done.merge_pr.merged, done.pr.number) == ("branch_deleted", True, 1)
    assert done.merge_pr.sha == github.repository.branches["main"]
    assert len(github.repository.pulls) == 1
    assert "topic" not in github.repository.branches


async def test_a_merged_pull_request_is_reported_as_merged(github: GitHub, jobs: Jobs) -> None:
    """Asked again when all is done, it answers the same, without a base merge that it did not do."""
    first = await jobs.run(AutoPullRequest, branch="topic", base="main")
    again = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (again.step, again.pr, again.merge_pr) == (first.step, first.pr, first.merge_pr)
    assert again.merge_base is None


async def test_new_commits_on_a_merged_branch_get_a_pull_request_of_their_own(
    github: GitHub, jobs: Jobs
) -> None:
    """A branch's earlier pull request says nothing about what came after it."""
    await jobs.run(AutoPullRequest, branch="topic", base="main")
    github.repository.commit("topic", "Go on", {"src/more.ts": "more"})
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert done.pr.number == 2
    assert "src/more.ts" in github.repository.commits[github.repository.branches["main"]].tree


async def test_a_commit_during_the_merge_is_waited_for_again(github: GitHub, jobs: Jobs) -> None:
    """Only a head that was looked at is merged: one that moved is looked at again."""
    push = Meanwhile(lambda: github.repository.commit("topic", "More", {"src/more.ts": "more"}))
    github.faults.add(push, "PUT ")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert done.step == "branch_deleted"
    assert jobs.stages.count("waiting_mergeable") == 1
    assert github.count("PUT", "/merge") == 2
    assert "src/more.ts" in github.repository.commits[github.repository.branches["main"]].tree


async def test_a_branch_that_is_gone_already_is_fine(github: GitHub, jobs: Jobs) -> None:
    """A repository may delete merged branches itself."""
    github.faults.add(Meanwhile(lambda: github.repository.branches.pop("topic"), at=Moment.HANDLED), "PUT ")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.step, jobs.warnings) == ("branch_deleted", ["fallback"])


async def test_a_branch_that_goes_while_it_is_deleted_is_fine(github: GitHub, jobs: Jobs) -> None:
    """GitHub's 422 `Reference does not exist` is what was wanted."""
    github.faults.add(Meanwhile(lambda: github.repository.branches.pop("topic")), "DELETE ")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.step, jobs.warnings) == ("branch_deleted", ["fallback"])


async def test_a_branch_that_cannot_be_deleted_is_a_warning(github: GitHub, jobs: Jobs) -> None:
    """The work is done: the pull request is merged."""
    github.refuse("DELETE ", 403, "Resource not accessible by integration")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.step, done.merge_pr.merged) == ("pr_merged", True)
    assert jobs.warnings == ["fallback", "branch_not_deleted"]


async def test_commits_that_arrive_after_the_merge_are_kept(github: GitHub, jobs: Jobs) -> None:
    """A branch that got commits meanwhile is not deleted: that is a warning."""
    push = Meanwhile(lambda: github.repository.commit("topic", "Late", {"late": "1"}), at=Moment.HANDLED)
    github.faults.add(push, "PUT ")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.step, jobs.warnings) == ("pr_merged", ["fallback", "branch_kept"])
    assert "topic" in github.repository.branches


async def test_a_branch_that_never_was_is_not_found(jobs: Jobs) -> None:
    """There is nothing to open a pull request for."""
    with pytest.raises(BranchNotFound, match="nowhere"):
        await jobs.run(AutoPullRequest, branch="nowhere", base="main")


async def test_a_branch_without_commits_is_not_merged(github: GitHub, jobs: Jobs) -> None:
    """The code is `NO_COMMITS`, and the branch stays."""
    github.repository.branches["same"] = github.repository.branches["main"]
    with pytest.raises(NoCommits):
        await jobs.run(AutoPullRequest, branch="same", base="main")
    assert "same" in github.repository.branches


async def test_a_fork_of_the_same_branch_name_is_another_branch(github: GitHub, jobs: Jobs) -> None:
    """A pull request from a fork is not taken for the repository's own."""
    pull = github.repository.open("topic", "main", "Theirs")
    pull.head_repository = "stranger/hello-world"
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", title="Ours", body="")
    assert done.pr.number == 2
