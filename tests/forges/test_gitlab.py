"""What is GitLab's own: pipelines, projects that want a rebase, what it has not."""

from __future__ import annotations

from typing import Any

import pytest

from github_worker.contract import AutoPullRequest, CreatePullRequest, MergePullRequest
from github_worker.errors import (
    JobError,
    MergeConflict,
    PermissionDenied,
    PullRequestNotMergeable,
    PullRequestTimeout,
    RemoteUnavailable,
    UnsupportedRepository,
)
from github_worker.gitlab.responses import MergeRequest, Pipeline, Project
from tests.forges.conftest import ForgeJobs
from tests.support.faults import Cut, Moment
from tests.support.gitlab import GitLab

_TEXTS = {"head": "topic", "base": "main", "title": "Title", "body": "body"}
_AUTO = {"branch": "topic", "base": "main"}


async def test_a_project_without_rebases_keeps_the_branch_as_it_is(
    gitlab: GitLab, gitlab_jobs: ForgeJobs
) -> None:
    """It is behind its base and pushed: it is not rewritten where nobody asks for it."""
    gitlab.repository.commit("main", "Meanwhile", {"other": "1"})
    tip = gitlab.repository.branches["topic"]
    done = await gitlab_jobs.run(AutoPullRequest, **_AUTO)
    assert done.merge_base.sha == tip
    assert "as it is" in done.merge_base.message
    assert gitlab.count("PUT", "/rebase") == 0
    assert done.merge_pr.merged


@pytest.mark.parametrize("method", ["rebase_merge", "ff"])
async def test_a_project_that_wants_it_gets_a_rebase(
    gitlab: GitLab, gitlab_jobs: ForgeJobs, method: str
) -> None:
    """The branch is rebased, which is waited for, and then merged."""
    gitlab.repository.merge_method, gitlab.repository.rebasing = method, 2
    gitlab.repository.commit("main", "Meanwhile", {"other": "1"})
    done = await gitlab_jobs.run(AutoPullRequest, **_AUTO)
    assert done.merge_base.message == "Rebased topic onto main"
    assert gitlab.count("PUT", "/rebase") == 1
    tree = gitlab.repository.commits[gitlab.repository.branches["main"]].tree
    assert {"other", "src/theme.ts"} <= tree.keys()


async def test_a_rebase_that_fails_is_a_conflict(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """GitLab says it where the merge request is asked for, some time after."""
    gitlab.repository.merge_method = "ff"
    gitlab.repository.commit("main", "Another way", {"src/theme.ts": "light"})
    with pytest.raises(MergeConflict, match="resolve all conflicts"):
        await gitlab_jobs.run(AutoPullRequest, **_AUTO)


async def test_a_branch_behind_is_not_merged_by_itself(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """merge-pull-request rebases nothing; the sentence says what it takes."""
    gitlab.repository.merge_method = "ff"
    gitlab.repository.open("topic", "main", "Mine")
    gitlab.repository.commit("main", "Meanwhile", {"other": "1"})
    with pytest.raises(PullRequestNotMergeable, match="need_rebase"):
        await gitlab_jobs.run(MergePullRequest, pullNumber=1)


@pytest.mark.parametrize(
    ("project", "method"),
    [
        ({"merge_method": "merge"}, "rebase"),
        ({"merge_method": "ff"}, "merge"),
        ({"squash_option": "never"}, "squash"),
        ({"squash_option": "always"}, "merge"),
    ],
)
async def test_a_method_that_the_project_has_not_is_refused(
    gitlab: GitLab, gitlab_jobs: ForgeJobs, project: dict[str, str], method: str
) -> None:
    """GitLab would merge in another way without a word; nothing is rewritten or merged for it."""
    for name, value in project.items():
        setattr(gitlab.repository, name, value)
    gitlab.repository.open("topic", "main", "Mine")
    gitlab.repository.commit("main", "Meanwhile", {"other": "1"})
    before = dict(gitlab.repository.branches)
    with pytest.raises(PullRequestNotMergeable, match=f"does not merge by {method}"):
        await gitlab_jobs.run(MergePullRequest, pullNumber=1, mergeMethod=method)
    assert gitlab.repository.branches == before


async def test_rebasing_is_refused_before_the_branch_is_rewritten(
    gitlab: GitLab, gitlab_jobs: ForgeJobs
) -> None:
    """`mergeMethod` rebase, of a project that makes merge commits."""
    gitlab.repository.commit("main", "Meanwhile", {"other": "1"})
    tip = gitlab.repository.branches["topic"]
    with pytest.raises(PullRequestNotMergeable, match="merge commit"):
        await gitlab_jobs.run(AutoPullRequest, **_AUTO, mergeMethod="rebase")
    assert gitlab.repository.branches["topic"] == tip


async def test_squashing_and_its_words_arrive(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """The title and the text are one message to GitLab."""
    words = {"commitTitle": "Dark mode", "commitMessage": "Closes #7."}
    await gitlab_jobs.run(AutoPullRequest, **_AUTO, mergeMethod="squash", **words)
    assert gitlab.repository.squashed == [1]
    assert set(gitlab.repository.messages) == {"Dark mode\n\nCloses #7."}


async def test_a_pipeline_is_waited_for(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """It is required, runs, and succeeds."""
    gitlab.repository.pipeline_required = True
    gitlab.repository.pipeline = ["pending", "running", "running", "success"]
    done = await gitlab_jobs.run(AutoPullRequest, **_AUTO, waitForChecks=True)
    assert done.merge_pr.merged


async def test_a_pipeline_that_fails_merges_nothing(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """Required or not, if it is waited for."""
    gitlab.repository.pipeline = ["running", "failed"]
    with pytest.raises(PullRequestNotMergeable, match="pipeline"):
        await gitlab_jobs.run(AutoPullRequest, **_AUTO, waitForChecks=True)


async def test_a_required_pipeline_that_never_comes_is_a_timeout(
    gitlab: GitLab, gitlab_jobs: ForgeJobs
) -> None:
    """It is named."""
    gitlab.repository.pipeline_required = True
    with pytest.raises(PullRequestTimeout, match="pipeline"):
        await gitlab_jobs.run(AutoPullRequest, **_AUTO, waitForChecks=True, waitTimeout=1)


async def test_without_waiting_a_running_pipeline_is_the_reason(
    gitlab: GitLab, gitlab_jobs: ForgeJobs
) -> None:
    """GitLab says 405 and no more; its merge request says why."""
    gitlab.repository.pipeline_required = True
    gitlab.repository.pipeline = ["running"]
    with pytest.raises(PullRequestNotMergeable, match="ci_still_running"):
        await gitlab_jobs.run(AutoPullRequest, **_AUTO)


@pytest.mark.parametrize("required", [True, False])
async def test_the_merge_is_left_to_gitlab(gitlab: GitLab, gitlab_jobs: ForgeJobs, required: bool) -> None:
    """It merges when the pipeline succeeds, and removes the branch then; asked again, it stays so."""
    gitlab.repository.pipeline_required = required
    gitlab.repository.pipeline = ["running"]
    for _ in range(2):
        done = await gitlab_jobs.run(AutoPullRequest, **_AUTO, autoMerge=True)
        assert (done.step, done.merge_pr.merged) == ("auto_merge_enabled", False)
    assert gitlab.repository.pulls[1].auto_merge
    assert gitlab.repository.removals == [1]


async def test_what_can_be_merged_at_once_is(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """No pipeline runs; also if the answer that says so is lost."""
    done = await gitlab_jobs.run(AutoPullRequest, **_AUTO, autoMerge=True)
    assert done.step == "branch_deleted"
    gitlab.repository.commit("other", "Other", {"other": "1"})
    gitlab.faults.add(Cut(Moment.HANDLED), "2/merge")
    done = await gitlab_jobs.run(AutoPullRequest, branch="other", base="main", autoMerge=True)
    assert done.step == "branch_deleted"


async def test_who_may_not_merge_is_told_so(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """GitLab answers 401, as to a token that it does not know."""
    gitlab.repository.may_merge = False
    with pytest.raises(PermissionDenied):
        await gitlab_jobs.run(AutoPullRequest, **_AUTO)


async def test_a_rebase_that_is_locked_may_be_tried_again(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """Another one is under way."""
    gitlab.repository.merge_method = "ff"
    gitlab.repository.commit("main", "Meanwhile", {"other": "1"})
    gitlab.refuse("/rebase", 409, "Failed to enqueue the rebase operation")
    with pytest.raises(RemoteUnavailable) as raised:
        await gitlab_jobs.run(AutoPullRequest, **_AUTO)
    assert raised.value.retryable


@pytest.mark.parametrize(
    "fields",
    [{"head": "stranger:topic"}, {"maintainerCanModify": True}],
    ids=["a fork's branch", "maintainers' edits"],
)
async def test_what_gitlab_has_not_is_refused_before_anything(
    gitlab: GitLab, gitlab_jobs: ForgeJobs, fields: dict[str, Any]
) -> None:
    """Nothing is opened."""
    with pytest.raises(UnsupportedRepository):
        await gitlab_jobs.run(CreatePullRequest, **_TEXTS | fields)
    assert {asked.method for asked in gitlab.asked} <= {"GET"}


async def test_what_gitlab_has_not_beside_is_a_warning(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """Teams, a milestone's number, a comma in a label: the merge request stands."""
    more = {"teamReviewers": ["acme/frontend"], "milestone": 3, "labels": ["a, b"]}
    made = await gitlab_jobs.run(CreatePullRequest, **_TEXTS, **more)
    assert made.number == 1
    assert gitlab_jobs.warnings == ["labels_not_added", "reviewers_not_asked", "milestone_not_set"]


async def test_people_whom_gitlab_passes_over_are_warnings(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """Without a licence it takes one of each, silently."""
    gitlab.repository.seats = 1
    people = ["ada", "grace"]
    await gitlab_jobs.run(CreatePullRequest, **_TEXTS, assignees=people, reviewers=people)
    assert gitlab_jobs.warnings == ["not_assigned", "reviewers_not_asked"]
    assert gitlab.repository.pulls[1].assignees == ["ada"]


async def test_a_forks_merge_request_is_not_the_branchs(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """Both have the same name."""
    gitlab.repository.commit("stranger:topic", "x", {"x": "1"})
    gitlab.repository.open("stranger:topic", "main", "Theirs")
    made = await gitlab_jobs.run(CreatePullRequest, **_TEXTS)
    assert made.number == 2


async def test_a_refusal_by_field_is_told(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """GitLab's sentences are lists by field at times."""
    gitlab.refuse("POST", 422, {"base": ["is odd", "is long"]})
    with pytest.raises(PermissionDenied, match="base is odd; is long"):
        await gitlab_jobs.run(CreatePullRequest, **_TEXTS)


@pytest.mark.parametrize(
    ("status", "mergeable", "state"),
    [
        ("mergeable", True, "mergeable"),
        ("ci_still_running", True, "ci_still_running"),
        ("unchecked", None, "unchecked"),
        ("conflict", False, "dirty"),
        ("not_approved", False, "not_approved"),
        ("a word of next year", False, "a word of next year"),
    ],
)
def test_gitlabs_words_are_any_forges(status: str, mergeable: bool | None, state: str) -> None:
    """What is not known is no reason to merge."""
    raw = MergeRequest(1, "t", "opened", "u", "topic", "main", detailed_merge_status=status)
    read = raw.read()
    assert (read.mergeable, read.mergeable_state) == (mergeable, state)


def test_an_older_gitlab_has_one_word() -> None:
    """Before 15.6 it says whether, not why not."""
    raw = MergeRequest(1, "t", "opened", "u", "topic", "main", merge_status="cannot_be_merged")
    assert raw.read().mergeable_state == "dirty"


@pytest.mark.parametrize(
    ("pipeline", "state"),
    [
        (Pipeline("success", "new", "topic"), "passed"),
        (Pipeline("manual", "new", "topic"), "pending"),
        (Pipeline("canceled", "new", "topic"), "failed"),
        (Pipeline("success", "old", "topic"), None),
        (Pipeline("success", "merged", "refs/merge-requests/1/merge"), "passed"),
    ],
)
def test_a_pipeline_is_the_check_of_its_head(pipeline: Pipeline, state: str | None) -> None:
    """An earlier head's says nothing of the new one; that of the merge result is of another commit."""
    check = pipeline.read("new")
    assert (check and check.state) == state


@pytest.mark.parametrize(
    ("project", "methods"),
    [
        (Project(), ["merge", "squash"]),
        (Project("ff"), ["rebase", "squash"]),
        (Project("rebase_merge", "never"), ["merge"]),
        (Project("merge", "always"), ["squash"]),
    ],
)
def test_a_project_has_one_way_beside_squashing(project: Project, methods: list[str]) -> None:
    """Which one is the project's to say."""
    assert project.methods == methods


@pytest.mark.parametrize("error", [401, 403])
async def test_a_refusal_of_the_user_search_is_a_warning(
    gitlab: GitLab, gitlab_jobs: ForgeJobs, error: int
) -> None:
    """A project's token may not see users."""
    gitlab.refuse("/users", error, "no")
    await gitlab_jobs.run(CreatePullRequest, **_TEXTS, assignees=["ada"])
    assert gitlab_jobs.warnings == ["not_assigned"]


async def test_a_rebase_without_the_right_to_push_is_told(gitlab: GitLab, gitlab_jobs: ForgeJobs) -> None:
    """It is a permission that lacks, with GitLab's words."""
    gitlab.repository.merge_method = "ff"
    gitlab.repository.commit("main", "Meanwhile", {"other": "1"})
    gitlab.refuse("/rebase", 403, "Cannot push to source branch")
    with pytest.raises(JobError, match="Cannot push") as raised:
        await gitlab_jobs.run(AutoPullRequest, **_AUTO)
    assert raised.value.code == "permission_denied"
