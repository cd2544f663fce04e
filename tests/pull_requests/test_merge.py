"""merge-pull-request."""

from __future__ import annotations

from typing import Any

import pytest

from github_worker.contract import MergePullRequest
from github_worker.errors import PullRequestNotMergeable, PullRequestTimeout, RepositoryNotFound
from tests.pull_requests.conftest import Jobs
from tests.support.faults import Cut, Meanwhile, Moment
from tests.support.github import GitHub

_MERGE = "PUT /repos/octocat/hello-world/pulls/1/merge"


@pytest.fixture(autouse=True)
def _opened(github: GitHub) -> None:
    github.repository.open("topic", "main", "Add dark mode toggle")


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
async def test_a_pull_request_is_merged_as_it_is_asked_for(github: GitHub, jobs: Jobs, method: str) -> None:
    """The method and the message go to GitHub, and its merge commit comes back."""
    merged = await jobs.run(
        MergePullRequest, pullNumber=1, mergeMethod=method, commitTitle="Dark", commitMessage="mode"
    )
    main = github.repository.branches["main"]
    assert (merged.merged, merged.sha, merged.message) == (True, main, "Pull Request successfully merged")
    assert jobs.stages == ["merging_pr", "pr_merged"]
    sent = next(asked.body for asked in github.asked if asked.method == "PUT")
    assert (sent["merge_method"], sent["commit_title"], sent["commit_message"]) == (method, "Dark", "mode")


async def test_without_a_method_one_is_used_that_the_repository_allows(github: GitHub, jobs: Jobs) -> None:
    """A repository that only squashes gets a squash."""
    github.repository.allowed = {"squash"}
    merged = await jobs.run(MergePullRequest, pullNumber=1)
    assert merged.sha == github.repository.branches["main"]


async def test_what_is_not_given_is_left_to_github(github: GitHub, jobs: Jobs) -> None:
    """The head is all that is sent: method, title and message are GitHub's own."""
    head = github.repository.branches["topic"]
    await jobs.run(MergePullRequest, pullNumber=1)
    assert [asked.body for asked in github.asked if asked.method == "PUT"] == [{"sha": head}]


@pytest.mark.parametrize(("allowed", "method"), [({"squash", "rebase"}, "squash"), ({"rebase"}, "rebase")])
async def test_where_nothing_is_merged_plainly_a_squash_comes_first(
    github: GitHub, jobs: Jobs, allowed: set[str], method: str
) -> None:
    """GitHub takes a plain merge for granted; then come the methods that the repository allows."""
    github.repository.allowed = allowed
    assert (await jobs.run(MergePullRequest, pullNumber=1)).merged
    sent = [asked.body.get("merge_method") for asked in github.asked if asked.method == "PUT"]
    assert sent == [None, method]


@pytest.mark.parametrize(
    ("rules", "methods"),
    [
        ({"linear": True}, [None, "squash"]),
        ({"linear": True, "allowed": {"merge", "rebase"}}, [None, "rebase"]),
        ({"ruled_methods": {"rebase"}}, [None, "rebase"]),
        ({"ruled_methods": {"squash", "rebase"}, "allowed": {"merge", "rebase"}}, [None, "rebase"]),
    ],
)
async def test_the_rules_of_the_base_choose_the_method(
    github: GitHub, jobs: Jobs, rules: dict[str, Any], methods: list[str | None]
) -> None:
    """A base without merge commits, or with methods of its own, gets what it and the repository allow."""
    for name, value in rules.items():
        setattr(github.repository, name, value)
    assert (await jobs.run(MergePullRequest, pullNumber=1)).merged
    sent = [asked.body.get("merge_method") for asked in github.asked if asked.method == "PUT"]
    assert sent == methods


async def test_every_method_is_tried_before_it_fails(github: GitHub, jobs: Jobs) -> None:
    """Classic protection is told to administrators alone: what it refuses is known by its refusals."""
    github.refuse(_MERGE, 405, "This branch must not contain merge commits.")
    github.refuse(_MERGE, 405, "Squash merges are not allowed on this repository.")
    assert (await jobs.run(MergePullRequest, pullNumber=1)).merged
    sent = [asked.body.get("merge_method") for asked in github.asked if asked.method == "PUT"]
    assert sent == [None, "squash", "rebase"]


async def test_rules_that_allow_no_method_of_the_repository_merge_nothing(github: GitHub, jobs: Jobs) -> None:
    """GitHub's own refusal is the answer."""
    github.repository.ruled_methods, github.repository.allowed = {"squash"}, {"merge"}
    with pytest.raises(PullRequestNotMergeable, match="Merge method merge is not allowed"):
        await jobs.run(MergePullRequest, pullNumber=1)


async def test_a_repository_that_allows_nothing_merges_nothing(github: GitHub, jobs: Jobs) -> None:
    """GitHub's own refusal is the answer."""
    github.repository.allowed = set()
    with pytest.raises(PullRequestNotMergeable, match="Merge merges are not allowed"):
        await jobs.run(MergePullRequest, pullNumber=1)


async def test_a_method_that_is_asked_for_is_not_replaced(github: GitHub, jobs: Jobs) -> None:
    """Nothing is merged in a way that was not asked for."""
    github.repository.allowed = {"squash"}
    with pytest.raises(PullRequestNotMergeable, match="Rebase merges are not allowed"):
        await jobs.run(MergePullRequest, pullNumber=1, mergeMethod="rebase")


async def test_a_merged_pull_request_is_reported_as_merged(github: GitHub, jobs: Jobs) -> None:
    """Asked twice, it answers twice with the same commit, and GitHub is asked to merge once."""
    first = await jobs.run(MergePullRequest, pullNumber=1)
    second = await jobs.run(MergePullRequest, pullNumber=1)
    assert (second.merged, second.sha) == (True, first.sha)
    assert github.count("PUT", "/merge") == 1


async def test_a_merge_whose_answer_is_lost_is_a_merge(github: GitHub, jobs: Jobs) -> None:
    """GitHub merged and the connection broke: the second try is refused, but the work is done."""
    github.faults.add(Cut(Moment.HANDLED), _MERGE)
    merged = await jobs.run(MergePullRequest, pullNumber=1)
    assert merged.sha == github.repository.branches["main"]
    assert github.count("PUT", "/merge") == 2


async def test_a_pull_request_with_conflicts_cannot_be_merged(github: GitHub, jobs: Jobs) -> None:
    """GitHub's 405 is `pr_not_mergeable`, with its own sentence."""
    github.repository.commit("main", "Go another way", {"src/theme.ts": "light"})
    with pytest.raises(PullRequestNotMergeable, match="Pull Request is not mergeable"):
        await jobs.run(MergePullRequest, pullNumber=1)


async def test_a_base_that_moved_meanwhile_is_merged_into_again(github: GitHub, jobs: Jobs) -> None:
    """GitHub's passing 405 is tried again."""
    github.refuse(_MERGE, 405, "Base branch was modified. Review and try the merge again.")
    assert (await jobs.run(MergePullRequest, pullNumber=1)).merged


async def test_a_branch_that_moved_meanwhile_is_merged_as_it_is_now(github: GitHub, jobs: Jobs) -> None:
    """A commit that arrives between looking and merging is part of what was asked for."""
    push = Meanwhile(lambda: github.repository.commit("topic", "More", {"src/more.ts": "more"}))
    github.faults.add(push, _MERGE)
    assert (await jobs.run(MergePullRequest, pullNumber=1)).merged
    assert "src/more.ts" in github.repository.commits[github.repository.branches["main"]].tree


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (409, "Head branch is out of date. Review and try the merge again."),
        (409, "Head branch was modified. Review and try the merge again."),
        (409, "Base branch was modified. Review and try the merge again."),
        (405, "Base branch was modified. Review and try the merge again."),
    ],
)
async def test_a_branch_that_moved_is_merged_at_the_next_try(
    github: GitHub, jobs: Jobs, status: int, message: str
) -> None:
    """GitHub asks to try again, and it works."""
    github.refuse(_MERGE, status, message, times=2)
    assert (await jobs.run(MergePullRequest, pullNumber=1)).merged
    assert github.count("PUT", "/merge") == 3


async def test_a_branch_that_keeps_moving_is_a_timeout(github: GitHub, jobs: Jobs) -> None:
    """It is no conflict: to ask later helps."""
    github.refuse(_MERGE, 409, "Head branch is out of date. Review and try the merge again.", times=100)
    with pytest.raises(PullRequestTimeout, match="out of date"):
        await jobs.run(MergePullRequest, pullNumber=1)
    assert github.count("PUT", "/merge") == 6


async def test_a_closed_pull_request_cannot_be_merged(github: GitHub, jobs: Jobs) -> None:
    """It is not opened again for that."""
    github.repository.pulls[1].state = "closed"
    with pytest.raises(PullRequestNotMergeable, match="#1 is closed"):
        await jobs.run(MergePullRequest, pullNumber=1)


async def test_a_draft_cannot_be_merged(github: GitHub, jobs: Jobs) -> None:
    """Its author has not finished."""
    github.repository.pulls[1].draft = True
    with pytest.raises(PullRequestNotMergeable, match="draft"):
        await jobs.run(MergePullRequest, pullNumber=1)


async def test_a_pull_request_that_is_not_there_is_not_mergeable(jobs: Jobs) -> None:
    """It is not the repository that is missing, and the message says which number was asked for."""
    with pytest.raises(PullRequestNotMergeable, match="octocat/hello-world has no pull request #7"):
        await jobs.run(MergePullRequest, pullNumber=7)


async def test_a_pull_request_of_no_repository_is_not_found(jobs: Jobs) -> None:
    """A repository that the token may not see is the same to GitHub."""
    with pytest.raises(RepositoryNotFound, match="octocat/other"):
        await jobs.run(MergePullRequest, pullNumber=1, repo="other")


async def test_the_head_that_is_expected_is_merged(github: GitHub, jobs: Jobs) -> None:
    """Even if GitHub shows the pull request as it was before, for a moment."""
    github.repository.seen_after = 2
    head = github.repository.commit("topic", "More", {"src/more.ts": "more"})
    assert (await jobs.run(MergePullRequest, pullNumber=1, expectedHead=head)).merged
    assert [asked.body for asked in github.asked if asked.method == "PUT"] == [{"sha": head}]


async def test_another_head_than_the_expected_one_is_not_merged(github: GitHub, jobs: Jobs) -> None:
    """Somebody pushed: the error says what is there instead."""
    expected = github.repository.branches["topic"]
    head = github.repository.commit("topic", "More", {"src/more.ts": "more"})
    with pytest.raises(PullRequestNotMergeable, match=expected) as raised:
        await jobs.run(MergePullRequest, pullNumber=1, expectedHead=expected)
    assert (raised.value.data, github.count("PUT", "/merge")) == ({"head": head}, 0)


async def test_a_head_that_moves_from_the_expected_one_is_not_merged(github: GitHub, jobs: Jobs) -> None:
    """Nothing is merged that was not looked at, whenever it comes."""
    expected = github.repository.branches["topic"]
    push = Meanwhile(lambda: github.repository.commit("topic", "More", {"src/more.ts": "more"}))
    github.faults.add(push, "PUT ")
    with pytest.raises(PullRequestTimeout, match="Head branch was modified"):
        await jobs.run(MergePullRequest, pullNumber=1, expectedHead=expected)
    assert github.count("PUT", "/merge") == 1
