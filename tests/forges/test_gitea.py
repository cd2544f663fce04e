"""What is Gitea's and Forgejo's own: merging the base in, patterns of checks, what they have not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from github_worker.contract import AutoPullRequest, CreatePullRequest, MergePullRequest
from github_worker.errors import (
    MergeConflict,
    PullRequestNotMergeable,
    PullRequestTimeout,
    UnsupportedRepository,
)
from github_worker.gitea.responses import CombinedStatus, GiteaPullRequest, MergeSettings
from tests.forges.conftest import ForgeJobs
from tests.support.faults import Cut, Moment
from tests.support.gitea import Gitea

_TEXTS = {"head": "topic", "base": "main", "title": "Title", "body": "body"}
_AUTO = {"branch": "topic", "base": "main"}


async def test_the_base_is_merged_into_the_branch(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """As on GitHub."""
    gitea.repository.commit("main", "Meanwhile", {"other": "1"})
    done = await gitea_jobs.run(AutoPullRequest, **_AUTO)
    main = gitea.repository.commits[gitea.repository.branches["main"]]
    assert done.merge_base.message == "Merged main into topic"
    assert done.merge_base.sha in main.parents


async def test_a_rebase_is_made_where_merges_are_refused(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """The repository takes nothing else."""
    gitea.repository.allowed = {"rebase"}
    gitea.repository.commit("main", "Meanwhile", {"other": "1"})
    done = await gitea_jobs.run(AutoPullRequest, **_AUTO)
    assert done.merge_base.message == "Rebased topic onto main"
    assert done.merge_pr.merged


@pytest.mark.parametrize("method", ["merge", "rebase"])
async def test_a_conflict_while_it_is_brought_up_to_date(
    gitea: Gitea, gitea_jobs: ForgeJobs, method: str
) -> None:
    """Merging or rebasing, it is a conflict of the contract's."""
    gitea.repository.commit("main", "Another way", {"src/theme.ts": "light"})
    with pytest.raises(MergeConflict, match=f"{method} failed because of conflict"):
        await gitea_jobs.run(AutoPullRequest, **_AUTO, mergeMethod=method)


async def test_a_conflict_that_gitea_does_not_tell_is_a_timeout(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """To merge-pull-request it says "try again later", as while it is finding out; nothing is merged."""
    gitea.repository.open("topic", "main", "Mine")
    gitea.repository.commit("main", "Another way", {"src/theme.ts": "light"})
    with pytest.raises(PullRequestTimeout, match="try again later"):
        await gitea_jobs.run(MergePullRequest, pullNumber=1)


async def test_a_method_that_is_refused_gives_way_to_another(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """Unless it is the caller's own."""
    gitea.repository.allowed = {"squash"}
    gitea.repository.open("topic", "main", "Mine")
    with pytest.raises(PullRequestNotMergeable, match="merge style"):
        await gitea_jobs.run(MergePullRequest, pullNumber=1, mergeMethod="merge")
    assert (await gitea_jobs.run(MergePullRequest, pullNumber=1)).merged


async def test_the_merge_commits_words_arrive(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """Title and text apart."""
    words = {"commitTitle": "Dark mode", "commitMessage": "Closes #7."}
    await gitea_jobs.run(AutoPullRequest, **_AUTO, **words)
    assert gitea.repository.words == [("Dark mode", "Closes #7.")]


async def test_required_checks_are_patterns(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """All that fit one are waited for; others do not count."""
    gitea.repository.required = {"ci/*"}
    gitea.repository.statuses = {
        "ci/test": ["pending", "success"],
        "ci/lint": ["pending", "pending", "success"],
        "coverage": ["failure"],
    }
    done = await gitea_jobs.run(AutoPullRequest, **_AUTO, waitForChecks=True)
    assert done.merge_pr.merged


async def test_a_required_check_that_fails_or_never_comes(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """The one is refused, the other a timeout; both are named."""
    gitea.repository.required = {"ci/*"}
    with pytest.raises(PullRequestTimeout, match=r"ci/\*"):
        await gitea_jobs.run(AutoPullRequest, **_AUTO, waitForChecks=True, waitTimeout=1)
    gitea.repository.statuses = {"ci/test": ["failure"]}
    with pytest.raises(PullRequestNotMergeable, match=r"ci/\*"):
        await gitea_jobs.run(AutoPullRequest, **_AUTO, waitForChecks=True)


async def test_without_waiting_a_check_that_lacks_is_the_reason(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """In Gitea's words."""
    gitea.repository.required, gitea.repository.statuses = {"ci"}, {"ci": ["pending"]}
    with pytest.raises(PullRequestNotMergeable, match="required status checks"):
        await gitea_jobs.run(AutoPullRequest, **_AUTO)


async def test_the_merge_is_left_to_gitea(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """It merges when the checks succeed, and removes the branch then; asked again, it stays so."""
    gitea.repository.required, gitea.repository.statuses = {"ci"}, {"ci": ["pending"]}
    for _ in range(2):
        done = await gitea_jobs.run(AutoPullRequest, **_AUTO, autoMerge=True)
        assert (done.step, done.merge_pr.merged) == ("auto_merge_enabled", False)
    assert gitea.repository.removals == [1]


async def test_what_can_be_merged_at_once_is(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """No check is awaited; also if the answer that says so is lost."""
    done = await gitea_jobs.run(AutoPullRequest, **_AUTO, autoMerge=True)
    assert done.step == "branch_deleted"
    gitea.repository.commit("other", "Other", {"other": "1"})
    gitea.faults.add(Cut(Moment.HANDLED), "2/merge")
    done = await gitea_jobs.run(AutoPullRequest, branch="other", base="main", autoMerge=True)
    assert done.step == "branch_deleted"


async def test_an_older_server_gives_the_whole_list(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """Pull requests of other branches, into other bases, and of forks are not taken for the branch's."""
    hosted = gitea.repository
    hosted.filters = False
    hosted.branches["next"] = hosted.branches["main"]
    hosted.commit("other", "Other", {"other": "1"})
    hosted.commit("stranger:topic", "x", {"x": "1"})
    for head, base in [("other", "main"), ("topic", "next"), ("stranger:topic", "main")]:
        hosted.open(head, base, "Theirs")
    made = await gitea_jobs.run(CreatePullRequest, **_TEXTS)
    assert made.number == 4


async def test_a_forks_branch_is_proposed(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """As on GitHub, and found again."""
    gitea.repository.commit("stranger:fix/it", "Fix it", {"fix": "1"})
    head = {"head": "stranger:fix/it", "base": "main"}
    made = await gitea_jobs.run(CreatePullRequest, **head)
    again = await gitea_jobs.run(CreatePullRequest, **head, update=True, title="Fix")
    assert (made.title, made.number, again.number, again.title) == ("Fix it", 1, 1, "Fix")


async def test_teams_and_milestones_arrive(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """Gitea has them, by the name and the number that its pages show."""
    more: dict[str, Any] = {"teamReviewers": ["acme/frontend"], "milestone": 3}
    await gitea_jobs.run(CreatePullRequest, **_TEXTS, **more)
    pull = gitea.repository.pulls[1]
    assert (pull.teams, pull.milestone, gitea_jobs.warnings) == (["frontend"], 3, [])


async def test_what_gitea_passes_over_is_a_warning(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """A label or milestone that the repository has not, which it does silently."""
    await gitea_jobs.run(CreatePullRequest, **_TEXTS, labels=["ui", "unknown"], milestone=4)
    assert gitea_jobs.warnings == ["labels_not_added", "milestone_not_set"]
    assert gitea.repository.pulls[1].labels == ["ui"]


async def test_maintainers_edits_are_refused_before_anything(gitea: Gitea, gitea_jobs: ForgeJobs) -> None:
    """It is no option of opening one."""
    with pytest.raises(UnsupportedRepository, match="maintainerCanModify"):
        await gitea_jobs.run(CreatePullRequest, **_TEXTS, maintainerCanModify=False)
    assert gitea.repository.pulls == {}


def _pull_request(**fields: Any) -> GiteaPullRequest:
    branch = {"ref": "topic", "sha": "a", "label": "topic", "repo": {"full_name": "acme/shop"}}
    whole = {"number": 1, "title": "t", "state": "open", "html_url": "u", "head": branch, "base": branch}
    return msgspec.convert(whole | fields, GiteaPullRequest)


def test_what_gitea_does_not_know_or_tell_is_no_conflict() -> None:
    """It says `false` of both; a draft it never merges."""
    assert _pull_request(mergeable=True).read().mergeable is True
    assert _pull_request(mergeable=False).read().mergeable is None
    assert _pull_request(mergeable=False, draft=True).read().mergeable is False


def test_a_branch_that_is_gone_is_known_by_its_label() -> None:
    """And a fork that is gone is not the repository itself."""
    head = {"ref": "refs/pull/1/head", "sha": "a", "label": "topic", "repo": {"full_name": "acme/shop"}}
    assert _pull_request(head=head).read().is_from("topic")
    assert not _pull_request(head=head | {"repo": None, "repo_id": 9}).read().is_from("topic")


def test_a_check_goes_by_each_pattern_that_fits() -> None:
    """One that no pattern fits goes by its own name."""
    raw = {"statuses": [{"context": "ci/[x]/test", "status": "warning"}, {"context": "x", "status": "error"}]}
    checks = msgspec.convert(raw, CombinedStatus).read({"ci/*", "*/test"})
    assert {(check.name, check.state) for check in checks} == {
        ("ci/*", "passed"),
        ("*/test", "passed"),
        ("x", "failed"),
    }


def test_the_preferred_method_is_not_all_that_there_is() -> None:
    """A plain merge comes first."""
    assert MergeSettings(allow_merge_commits=False).methods == ["squash", "rebase"]
