"""What pull requests are on every forge beside GitHub, whichever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from github_worker.contract import AutoPullRequest, CreatePullRequest, MergePullRequest, Request
from github_worker.errors import (
    AuthenticationFailed,
    BranchNotFound,
    HostNotAllowed,
    JobError,
    MergeConflict,
    NoCommits,
    PermissionDenied,
    PullRequestExists,
    PullRequestNotMergeable,
    RateLimited,
    RemoteUnavailable,
    RepositoryNotFound,
)
from tests.forges.conftest import ForgeJobs, url_of
from tests.support.faults import Answer, Cut, Meanwhile, Moment, Redirect
from tests.support.forge import Forge
from tests.support.gitea import Gitea
from tests.support.gitlab import GitLab
from tests.support.sessions import SessionFolder, metadata, pack

_TEXTS = {"head": "topic", "base": "main", "title": "Title", "body": "body"}
_PULLS = {GitLab: "/merge_requests", Gitea: "/pulls"}
_STAGES = [
    "creating_pr",
    "pr_created",
    "merging_base",
    "base_merged",
    "waiting_mergeable",
    "merging_pr",
    "pr_merged",
    "deleting_branch",
]


@pytest.fixture
def elsewhere() -> Iterator[GitLab]:
    """Yield another server."""
    with GitLab() as gitlab:
        yield gitlab


def _pulls(forge: Forge) -> str:
    return _PULLS[type(forge)]


async def test_a_branch_goes_all_the_way(forge: Forge, jobs: ForgeJobs) -> None:
    """It is opened, merged and deleted, with the stages that it has on GitHub."""
    tip = forge.repository.branches["topic"]
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    main = forge.repository.branches["main"]
    assert (done.step, done.pr.number, done.merge_pr.sha) == ("branch_deleted", 1, main)
    assert done.merge_base.sha == tip
    assert "src/theme.ts" in forge.repository.commits[main].tree
    assert "topic" not in forge.repository.branches
    assert jobs.stages == _STAGES


async def test_a_merged_branch_is_recognized(forge: Forge, jobs: ForgeJobs) -> None:
    """Asked again, with the branch gone or there, nothing is opened."""
    tip = forge.repository.branches["topic"]
    await jobs.run(AutoPullRequest, branch="topic", base="main")
    forge.repository.branches["topic"] = tip
    for _ in range(2):
        done = await jobs.run(AutoPullRequest, branch="topic", base="main")
        assert (done.step, done.pr.number, done.merge_base) == ("branch_deleted", 1, None)
    assert len(forge.repository.pulls) == 1


async def test_title_and_body_are_written_from_the_commits(forge: Forge, jobs: ForgeJobs) -> None:
    """A commit gives its own words where the request has none, newer ones of others show the convention."""
    made = await jobs.run(CreatePullRequest, head="topic", base="main")
    assert (made.title, made.state, made.merged) == ("Add dark mode toggle", "open", False)
    assert made.head.sha == forge.repository.branches["topic"]
    assert made.base.sha == forge.repository.branches["main"]
    assert made.html_url.startswith("https://")


async def test_a_session_stands_for_its_repository(
    forge: Forge, jobs: ForgeJobs, sessions: SessionFolder
) -> None:
    """Its URL says the forge, and its groups are the owner."""
    repository = {"repoUrl": f"{url_of(forge)}.git", "clonedPath": forge.repository.name}
    owner = {"repositoryOwner": forge.repository.owner, "repositoryName": forge.repository.name}
    sessions.put("s-1", pack(metadata("s-1", branch="topic", github=repository, **owner)))
    made = await jobs.run(CreatePullRequest, sessionId="s-1", base="main")
    assert (made.number, made.head.ref) == (1, "topic")


async def test_an_open_one_is_named_or_updated(forge: Forge, jobs: ForgeJobs) -> None:
    """A second one is not opened; with `update` the first one gets the words, and a draft stays one."""
    made = await jobs.run(CreatePullRequest, **_TEXTS, draft=True)
    assert (made.title, forge.repository.pulls[1].draft) != ("Title", False)
    with pytest.raises(PullRequestExists) as raised:
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert raised.value.data["number"] == 1
    again = await jobs.run(CreatePullRequest, head="topic", base="main", title="New", update=True)
    assert (again.number, forge.repository.pulls[1].draft) == (1, True)
    assert again.title.endswith(": New")
    assert forge.repository.pulls[1].body == "body"


async def test_one_that_is_opened_meanwhile_is_found(forge: Forge, jobs: ForgeJobs) -> None:
    """The forge refuses the second one, and the first one is gone on with."""
    opened = Meanwhile(lambda: forge.repository.open("topic", "main", "Theirs"))
    forge.faults.add(opened, f"POST {forge.root}")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert (done.pr.number, len(forge.repository.pulls)) == (1, 1)
    assert "pr_found" in jobs.stages


async def test_a_lost_answer_opens_no_second_one(forge: Forge, jobs: ForgeJobs) -> None:
    """What became of it is looked up."""
    forge.faults.add(Cut(Moment.HANDLED), f"POST {forge.root}")
    made = await jobs.run(CreatePullRequest, **_TEXTS)
    assert (made.number, len(forge.repository.pulls)) == (1, 1)
    assert forge.count("POST", _pulls(forge)) == 1


async def test_a_lost_request_is_sent_again(forge: Forge, jobs: ForgeJobs) -> None:
    """Nothing came of the first one."""
    forge.faults.add(Cut(Moment.RECEIVED), f"POST {forge.root}")
    made = await jobs.run(CreatePullRequest, **_TEXTS)
    assert (made.number, forge.count("POST", _pulls(forge))) == (1, 2)


async def test_a_lost_answer_and_a_late_list_open_one(forge: Forge, jobs: ForgeJobs) -> None:
    """The forge refuses the second one before it lists the first: that is the one that was asked for."""
    forge.faults.add(Cut(Moment.HANDLED), f"POST {forge.root}")
    forge.faults.add(Answer(200, b"[]"), f"{_pulls(forge)}?", times=2)
    made = await jobs.run(CreatePullRequest, **_TEXTS)
    assert (made.number, len(forge.repository.pulls), forge.count("POST", _pulls(forge))) == (1, 1, 2)


async def test_an_opening_that_stays_unknown_is_told(forge: Forge, jobs: ForgeJobs) -> None:
    """It may be tried again: nothing is opened twice."""
    forge.faults.add(Cut(Moment.RECEIVED), f"POST {forge.root}", times=2)
    with pytest.raises(RemoteUnavailable, match="what became of it"):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert forge.repository.pulls == {}


async def test_a_lost_answer_of_a_merge_is_looked_up(forge: Forge, jobs: ForgeJobs) -> None:
    """What is merged already is reported so."""
    forge.repository.open("topic", "main", "Mine")
    forge.faults.add(Cut(Moment.HANDLED), "1/merge")
    merged = await jobs.run(MergePullRequest, pullNumber=1)
    assert (merged.merged, merged.sha) == (True, forge.repository.branches["main"])


async def test_a_branch_without_commits_is_not_opened(forge: Forge, jobs: ForgeJobs) -> None:
    """The forge would open one; GitHub does not."""
    forge.repository.branches["topic"] = forge.repository.branches["main"]
    with pytest.raises(NoCommits):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert forge.repository.pulls == {}


@pytest.mark.parametrize("missing", ["topic", "main"])
@pytest.mark.parametrize("texts", [_TEXTS, {"head": "topic", "base": "main"}], ids=["given", "written"])
async def test_a_missing_branch_is_an_error_of_its_own(
    forge: Forge, jobs: ForgeJobs, missing: str, texts: dict[str, str]
) -> None:
    """Whether it is compared for the words or to open it."""
    del forge.repository.branches[missing]
    with pytest.raises(BranchNotFound):
        await jobs.run(CreatePullRequest, **texts)


async def test_branches_with_difficult_names_arrive_whole(forge: Forge, jobs: ForgeJobs) -> None:
    """Slashes, percent and number signs of a branch are its name, not the address's."""
    forge.repository.commit("fix/50%#1", "Fix", {"fix": "1"})
    done = await jobs.run(AutoPullRequest, branch="fix/50%#1", base="main", title="t", body="b")
    assert done.step == "branch_deleted"


async def test_labels_and_people_are_added(forge: Forge, jobs: ForgeJobs) -> None:
    """Those who are assigned stay."""
    forge.repository.open("topic", "main", "Mine").assignees = ["ada"]
    people = {"assignees": ["grace"], "reviewers": ["ada", "grace"], "labels": ["ui", "urgent"]}
    await jobs.run(CreatePullRequest, **_TEXTS, update=True, **people)
    pull = forge.repository.pulls[1]
    assert (pull.assignees, pull.reviewers, pull.labels) == (
        ["ada", "grace"],
        ["ada", "grace"],
        ["ui", "urgent"],
    )
    assert jobs.warnings == []


async def test_strangers_are_warnings(forge: Forge, jobs: ForgeJobs) -> None:
    """The pull request stands."""
    made = await jobs.run(CreatePullRequest, **_TEXTS, assignees=["stranger"], reviewers=["stranger"])
    assert made.number == 1
    assert jobs.warnings == ["not_assigned", "reviewers_not_asked"]


async def test_a_conflict_with_the_base_merges_nothing(forge: Forge, jobs: ForgeJobs) -> None:
    """The error names the pull request, and both branches stay as they are."""
    forge.repository.commit("main", "Go another way", {"src/theme.ts": "light"})
    before = dict(forge.repository.branches)
    with pytest.raises(MergeConflict) as raised:
        await jobs.run(AutoPullRequest, branch="topic", base="main")
    assert forge.repository.branches == before
    assert raised.value.data["pr"]["number"] == 1


async def test_an_undecided_one_is_asked_for_again(forge: Forge, jobs: ForgeJobs) -> None:
    """The forge finds out in a while, whether it is asked for or merged."""
    forge.repository.mergeable_after = 2
    await jobs.run(AutoPullRequest, branch="topic", base="main")
    forge.repository.commit("other", "Other", {"other": "1"})
    forge.repository.open("other", "main", "Other")
    assert (await jobs.run(MergePullRequest, pullNumber=2)).merged


async def test_a_draft_is_not_merged(forge: Forge, jobs: ForgeJobs) -> None:
    """The sentence says why."""
    await jobs.run(CreatePullRequest, **_TEXTS, draft=True)
    with pytest.raises(PullRequestNotMergeable, match=r"draft|[Ww]ork in progress"):
        await jobs.run(MergePullRequest, pullNumber=1)


async def test_a_head_that_moves_is_not_merged_unseen(forge: Forge, jobs: ForgeJobs) -> None:
    """With `expectedHead` it is refused; auto-pull-request looks at the new one first."""
    old = forge.repository.branches["topic"]
    forge.repository.open("topic", "main", "Mine")
    new = forge.repository.commit("topic", "More", {"more": "1"})
    with pytest.raises(PullRequestNotMergeable, match=old):
        await jobs.run(MergePullRequest, pullNumber=1, expectedHead=old)
    move = Meanwhile(lambda: forge.repository.commit("topic", "Late", {"late": "1"}))
    forge.faults.add(move, "1/merge")
    await jobs.run(AutoPullRequest, branch="topic", base="main")
    tree = forge.repository.commits[forge.repository.branches["main"]].tree
    assert {"more", "late"} <= tree.keys()
    assert new in forge.repository.commits


async def test_an_unknown_number_is_not_mergeable(forge: Forge, jobs: ForgeJobs) -> None:
    """As it is on GitHub; an unknown repository is an error of its own."""
    with pytest.raises(PullRequestNotMergeable, match="no pull request #9"):
        await jobs.run(MergePullRequest, pullNumber=9)
    with pytest.raises(RepositoryNotFound):
        await jobs.run(MergePullRequest, pullNumber=9, repoUrl=f"{forge.origin}/acme/unknown")
    with pytest.raises((RepositoryNotFound, BranchNotFound)):
        await jobs.run(AutoPullRequest, branch="b", base="main", repoUrl=f"{forge.origin}/acme/unknown")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationFailed),
        (403, PermissionDenied),
        (404, RepositoryNotFound),
        (418, PermissionDenied),
        (500, RemoteUnavailable),
    ],
)
async def test_refusals_have_the_codes_that_they_have_on_github(
    forge: Forge, jobs: ForgeJobs, status: int, error: type[JobError]
) -> None:
    """In the forge's own words, without the token."""
    forge.refuse("", status, f"no {forge.token}", times=100)
    with pytest.raises(error) as raised:
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert forge.token not in str(raised.value)


async def test_what_is_no_answer_of_a_forge_is_told(forge: Forge, jobs: ForgeJobs) -> None:
    """A proxy's page is not read as one."""
    forge.faults.add(Answer(200, b"<html>"))
    with pytest.raises(RemoteUnavailable, match=r"(GitLab|Forgejo)'s answer cannot be read"):
        await jobs.run(CreatePullRequest, **_TEXTS)


async def test_a_limit_is_waited_for_or_told(forge: Forge, jobs: ForgeJobs) -> None:
    """A short one is a warning, a long one the end."""
    forge.refuse("", 429, "Too many requests", headers={"Retry-After": "1"})
    await jobs.run(CreatePullRequest, **_TEXTS)
    assert jobs.warnings == ["rate_limited"]
    reset = {"RateLimit-Remaining": "0", "RateLimit-Reset": "99999999999"}
    forge.refuse("", 429, "Too many requests", headers=reset)
    with pytest.raises(RateLimited) as raised:
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert raised.value.data["retryAfter"] > 3600


async def test_the_token_goes_to_the_forges_origin_alone(
    forge: Forge, jobs: ForgeJobs, elsewhere: GitLab
) -> None:
    """A redirect elsewhere is not followed."""
    forge.faults.add(Redirect(elsewhere.origin))
    with pytest.raises(HostNotAllowed):
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert elsewhere.asked == []


async def test_a_branch_that_gets_commits_after_the_merge_is_kept(forge: Forge, jobs: ForgeJobs) -> None:
    """They are nowhere else."""
    late = Meanwhile(lambda: forge.repository.commit("topic", "Late", {"late": "1"}), Moment.HANDLED)
    forge.faults.add(late, "1/merge")
    done = await jobs.run(AutoPullRequest, branch="topic", base="main", title="t", body="b")
    assert (done.step, jobs.warnings) == ("pr_merged", ["branch_kept"])
    assert "topic" in forge.repository.branches


@pytest.mark.parametrize("size", [1, 2])
async def test_lists_are_read_to_their_end(forge: Forge, jobs: ForgeJobs, size: int) -> None:
    """The one that is looked for may be on a later page."""
    forge.repository.open("topic", "main", "Mine")
    for at in range(3):
        forge.repository.commit(f"stranger:topic-{at}", "x", {f"f{at}": "1"})
        forge.repository.commit("stranger:topic", "x", {f"f{at}": "1"})
        pull = forge.repository.open("stranger:topic", "main", "Theirs")
        pull.head = f"stranger{at}:topic"
    forge.repository.page_limit = size
    with pytest.raises(PullRequestExists) as raised:
        await jobs.run(CreatePullRequest, **_TEXTS)
    assert raised.value.data["number"] == 1


async def test_two_jobs_open_one(forge: Forge, jobs: ForgeJobs) -> None:
    """One of them is told of the other's."""
    results: list[Any] = await asyncio.gather(
        *(jobs.run(CreatePullRequest, **_TEXTS) for _ in range(2)), return_exceptions=True
    )
    assert len(forge.repository.pulls) == 1
    assert sorted(type(result).__name__ for result in results) == ["PullRequestExists", "PullRequestOpened"]


@pytest.mark.parametrize("kind", [CreatePullRequest, AutoPullRequest])
async def test_the_token_has_the_forges_scheme(forge: Forge, jobs: ForgeJobs, kind: type[Request]) -> None:
    """A bearer for GitLab, a token for Gitea."""
    branch = {"head" if kind is CreatePullRequest else "branch": "topic"}
    await jobs.run(kind, **branch, base="main")
    assert {asked.headers["authorization"] for asked in forge.asked} == {f"{forge.scheme} {forge.token}"}
