"""create-pull-request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from github_worker.contract import CreatePullRequest, Warned
from github_worker.errors import (
    BranchNotFound,
    NoCommits,
    NoRepository,
    PullRequestExists,
    PullRequestNotMergeable,
    SessionNotFound,
)
from tests.pull_requests.conftest import Jobs, metadata_of
from tests.support.faults import Answer, Cut, Meanwhile, Moment
from tests.support.github import GitHub
from tests.support.model import Model, Say
from tests.support.sessions import SessionFolder, metadata, pack


async def test_a_pull_request_is_opened_as_it_is_asked_for(github: GitHub, jobs: Jobs) -> None:
    """Title, body and draft are what the request says, and the answer is what GitHub made."""
    made = await jobs.run(
        CreatePullRequest, head="topic", base="main", title="Dark <mode>", body="As asked.", draft=True
    )
    pull = github.repository.pulls[1]
    assert (pull.title, pull.body, pull.draft) == ("Dark <mode>", "As asked.", True)
    assert (made.number, made.title, made.state, made.merged) == (1, "Dark <mode>", "open", False)
    assert made.html_url == "https://github.com/octocat/hello-world/pull/1"
    assert (made.head.ref, made.base.ref) == ("topic", "main")
    assert made.head.sha == github.repository.branches["topic"]
    assert jobs.stages == ["creating_pr", "pr_created"]
    assert github.count("GET", "main...topic") == 0


async def test_an_open_pull_request_is_named_by_the_error(github: GitHub, jobs: Jobs) -> None:
    """A second pull request for the same branches is refused with the number and address of the first."""
    github.repository.open("topic", "main", "First")
    with pytest.raises(PullRequestExists) as raised:
        await jobs.run(CreatePullRequest, head="topic", base="main")
    assert raised.value.data == {"number": 1, "htmlUrl": "https://github.com/octocat/hello-world/pull/1"}


async def test_a_pull_request_into_another_base_is_in_nobodys_way(github: GitHub, jobs: Jobs) -> None:
    """Only the same head and the same base make it the same pull request."""
    github.repository.commit("release", "Prepare", {"VERSION": "2"})
    github.repository.open("topic", "release", "Other")
    made = await jobs.run(CreatePullRequest, head="topic", base="main")
    assert made.number == 2


@pytest.mark.parametrize("texts", [{}, {"title": "Given", "body": "given"}])
async def test_branches_without_a_difference_have_no_commits(
    github: GitHub, jobs: Jobs, texts: dict[str, str]
) -> None:
    """Whether we compare or GitHub does, the code is the same."""
    github.repository.branches["same"] = github.repository.branches["main"]
    with pytest.raises(NoCommits, match="same"):
        await jobs.run(CreatePullRequest, head="same", base="main", **texts)


@pytest.mark.parametrize("texts", [{}, {"title": "Given", "body": "given"}])
@pytest.mark.parametrize(("head", "base"), [("nowhere", "main"), ("topic", "nowhere")])
async def test_a_missing_branch_is_an_error_of_its_own(
    jobs: Jobs, head: str, base: str, texts: dict[str, str]
) -> None:
    """A branch that does not exist is named."""
    with pytest.raises(BranchNotFound, match="nowhere"):
        await jobs.run(CreatePullRequest, head=head, base=base, **texts)


async def test_one_commit_gives_its_own_title(github: GitHub, jobs: Jobs) -> None:
    """Without a model the only commit's subject is the title, and the body names the file."""
    made = await jobs.run(CreatePullRequest, head="topic", base="main")
    assert made.title == "Add dark mode toggle"
    assert "src/theme.ts" in github.repository.pulls[1].body
    assert jobs.warnings == ["fallback"]


async def test_more_commits_are_summed_up_and_listed(github: GitHub, jobs: Jobs) -> None:
    """Without a model the body lists the commits."""
    github.repository.commit("topic", "Remember the theme\n\nIn a cookie.", {"src/cookie.ts": "yes"})
    made = await jobs.run(CreatePullRequest, head="topic", base="main")
    assert made.title == "Add dark mode toggle and 1 other change"
    body = github.repository.pulls[1].body
    assert "- Add dark mode toggle\n- Remember the theme" in body
    assert "2 files" in body


async def test_the_model_writes_in_the_repositorys_convention(
    github: GitHub, jobs: Jobs, model: Model
) -> None:
    """The model sees the commits, the files, their diff and recent titles; its text is used."""
    github.repository.commit("old", "Old", {"old": "1"})
    github.repository.open("old", "main", "feat(ui): add a footer")
    model.script(Say.json(title="feat(ui): add dark mode", body="Adds a toggle."))
    made = await jobs.run(
        CreatePullRequest, head="topic", base="main", claudeCredentials="sk-ant-api03-key-of-a-test"
    )
    assert made.title == "feat(ui): add dark mode"
    assert github.repository.pulls[2].body == "Adds a toggle."
    prompt = model.requests[0].prompt
    assert all(
        part in prompt for part in ("feat(ui): add a footer", "Add dark mode toggle", "src/theme.ts", "+dark")
    )
    assert jobs.warnings == []


async def test_ten_titles_show_the_convention(github: GitHub, jobs: Jobs, model: Model) -> None:
    """The newest ones, open or not."""
    for number in range(11):
        github.repository.commit(f"b-{number}", "Old", {f"f-{number}": "1"})
        github.repository.open(f"b-{number}", "main", f"feat: number-{number:02}").state = "closed"
    model.script(Say.json(title="feat: add dark mode", body="Adds a toggle."))
    await jobs.run(
        CreatePullRequest, head="topic", base="main", claudeCredentials="sk-ant-api03-key-of-a-test"
    )
    shown = [number for number in range(11) if f"number-{number:02}" in model.requests[0].prompt]
    assert shown == list(range(1, 11))


async def test_a_given_title_is_kept_when_the_body_is_written(github: GitHub, jobs: Jobs) -> None:
    """Only what is missing is written; an empty body is missing too."""
    await jobs.run(CreatePullRequest, head="topic", base="main", title="Mine")
    assert github.repository.pulls[1].title == "Mine"
    assert "src/theme.ts" in github.repository.pulls[1].body
    github.repository.commit("other", "Other", {"other": "1"})
    await jobs.run(CreatePullRequest, head="other", base="main", body="")
    assert github.repository.pulls[2].title == "Other"
    assert "other" in github.repository.pulls[2].body


async def test_a_session_stands_for_its_repository_and_branch(
    github: GitHub, jobs: Jobs, sessions: SessionFolder
) -> None:
    """With a session's id, owner, repository and branch are those of its metadata."""
    named = {"repositoryOwner": "Octocat", "repositoryName": "hello-world"}
    store(sessions, "s-1", metadata_of(github, **named))
    made = await jobs.run(CreatePullRequest, sessionId="s-1", base="main", title="From a session", body="")
    assert (made.head.ref, github.repository.pulls[1].title) == ("topic", "From a session")


async def test_a_session_without_a_repository_has_no_pull_request(
    jobs: Jobs, sessions: SessionFolder
) -> None:
    """A session that holds nothing, or does not exist, is said to."""
    store(sessions, "s-1", {})
    with pytest.raises(NoRepository):
        await jobs.run(CreatePullRequest, sessionId="s-1", base="main")
    with pytest.raises(SessionNotFound):
        await jobs.run(CreatePullRequest, sessionId="s-2", base="main")


async def test_a_lost_answer_opens_no_second_pull_request(github: GitHub, jobs: Jobs) -> None:
    """The pull request was opened, and the connection broke: the same one is reported."""
    github.faults.add(Cut(Moment.HANDLED), "POST /repos/octocat/hello-world/pulls")
    made = await jobs.run(CreatePullRequest, head="topic", base="main")
    assert (made.number, len(github.repository.pulls)) == (1, 1)


async def test_a_lost_request_is_sent_again(github: GitHub, jobs: Jobs) -> None:
    """The connection broke before GitHub did anything: the pull request is opened once."""
    github.faults.add(Cut(Moment.RECEIVED), "POST /repos/octocat/hello-world/pulls")
    made = await jobs.run(CreatePullRequest, head="topic", base="main")
    assert (made.number, len(github.repository.pulls)) == (1, 1)


@pytest.mark.parametrize("status", [500, 503, 404])
async def test_what_github_cannot_compare_is_described_by_what_is_known(
    github: GitHub, jobs: Jobs, status: int
) -> None:
    """A diff that takes GitHub too long is no reason not to open the pull request."""
    github.refuse("GET /repos/octocat/hello-world/compare", status, "Server Error", times=100)
    made = await jobs.run(CreatePullRequest, head="topic", base="main")
    assert made.title == "Add dark mode toggle"
    assert jobs.warnings == ["not_compared", "fallback"]


async def test_unrelated_histories_are_not_mergeable(github: GitHub, jobs: Jobs) -> None:
    """Neither branch is missing, and the repository is there: that is what the error says."""
    github.refuse("/compare/", 404, "No common ancestor between main and topic.")
    with pytest.raises(PullRequestNotMergeable, match="No common ancestor"):
        await jobs.run(CreatePullRequest, head="topic", base="main")


_OPEN = "POST /repos/octocat/hello-world/pulls"
_LIST = "GET /repos/octocat/hello-world/pulls"
_TEXTS = {"title": "Given", "body": "given"}


async def test_one_that_is_listed_late_is_looked_for_again(github: GitHub, jobs: Jobs) -> None:
    """GitHub refuses a second one before its list has the first: the error has its number all the same."""
    github.repository.open("topic", "main", "First")
    github.faults.add(Answer(200, b"[]"), _LIST, times=2)
    with pytest.raises(PullRequestExists) as raised:
        await jobs.run(CreatePullRequest, head="topic", base="main", **_TEXTS)
    assert raised.value.data["number"] == 1


async def test_one_that_is_not_listed_by_its_head_is_found_by_its_base(github: GitHub, jobs: Jobs) -> None:
    """As with a fork that has the owner of its parent."""
    github.repository.open("topic", "main", "First")
    github.faults.add(Answer(200, b"[]"), "head=octocat%3Atopic", times=100)
    with pytest.raises(PullRequestExists) as raised:
        await jobs.run(CreatePullRequest, head="topic", base="main", **_TEXTS)
    assert raised.value.data["number"] == 1


async def test_one_that_is_never_listed_exists_without_a_number(github: GitHub, jobs: Jobs) -> None:
    """The code is what callers act upon."""
    github.repository.open("topic", "main", "First")
    github.faults.add(Answer(200, b"[]"), _LIST, times=100)
    with pytest.raises(PullRequestExists, match="already exists for octocat:topic") as raised:
        await jobs.run(CreatePullRequest, head="topic", base="main", **_TEXTS)
    assert raised.value.data == {}


async def test_a_lost_answer_and_a_late_list_open_one_pull_request(github: GitHub, jobs: Jobs) -> None:
    """The list does not have yet what was opened, and a second one is refused: it is ours."""
    github.faults.add(Cut(Moment.HANDLED), _OPEN)
    github.faults.add(Answer(200, b"[]"), _LIST, times=2)
    made = await jobs.run(CreatePullRequest, head="topic", base="main", **_TEXTS)
    assert (made.number, len(github.repository.pulls)) == (1, 1)


@pytest.mark.parametrize(
    ("texts", "title", "body"),
    [
        ({"title": "New", "body": "new"}, "New", "new"),
        ({"title": "New"}, "New", "old"),
        ({"body": "new"}, "Old", "new"),
    ],
)
async def test_an_open_pull_request_is_updated_if_asked_to(
    github: GitHub, jobs: Jobs, texts: dict[str, str], title: str, body: str
) -> None:
    """Title and body become what the request gives, and what it does not give stays."""
    github.repository.open("topic", "main", "Old", "old")
    made = await jobs.run(CreatePullRequest, head="topic", base="main", update=True, **texts)
    pull = github.repository.pulls[1]
    assert (made.number, made.title, pull.title, pull.body) == (1, title, title, body)
    assert jobs.stages == ["creating_pr", "pr_found"]


async def test_one_that_somebody_opens_meanwhile_is_updated_if_asked_to(github: GitHub, jobs: Jobs) -> None:
    """Two callers that both ask to update end with one pull request, and neither of them with an error."""
    opens = Meanwhile(lambda: github.repository.open("topic", "main", "Theirs"))
    github.faults.add(opens, "POST /repos/octocat/hello-world/pulls")
    made = await jobs.run(CreatePullRequest, head="topic", base="main", update=True, title="Ours")
    assert (made.number, github.repository.pulls[1].title) == (1, "Ours")
    assert jobs.stages == ["creating_pr", "pr_found"]


async def test_nothing_to_update_opens_a_pull_request(github: GitHub, jobs: Jobs) -> None:
    """A caller that always asks to update does not have to look first."""
    made = await jobs.run(CreatePullRequest, head="topic", base="main", update=True, title="New")
    assert (made.number, jobs.stages) == (1, ["creating_pr", "pr_created"])


@pytest.mark.parametrize("exists", [False, True])
async def test_labels_people_and_a_milestone_are_added(github: GitHub, jobs: Jobs, exists: bool) -> None:
    """To a new pull request, and to one that is updated."""
    if exists:
        github.repository.open("topic", "main", "Old")
    await jobs.run(
        CreatePullRequest,
        head="topic",
        base="main",
        update=True,
        labels=["ui", "dark mode"],
        reviewers=["ada"],
        teamReviewers=["acme/frontend"],
        assignees=["grace"],
        milestone=3,
        **_TEXTS,
    )
    pull = github.repository.pulls[1]
    assert (pull.labels, pull.reviewers, pull.teams) == (["ui", "dark mode"], ["ada"], ["frontend"])
    assert (pull.assignees, pull.milestone, jobs.warnings) == (["grace"], 3, [])


async def test_labels_and_people_that_are_refused_are_warnings(github: GitHub, jobs: Jobs) -> None:
    """The pull request stands, and what GitHub takes of them is added; it passes over some in silence."""
    github.refuse("/labels", 403, "Resource not accessible by integration")
    made = await jobs.run(
        CreatePullRequest,
        head="topic",
        base="main",
        labels=["ui"],
        reviewers=["stranger"],
        teamReviewers=["frontend"],
        assignees=["stranger", "grace"],
        milestone=4,
        **_TEXTS,
    )
    pull = github.repository.pulls[1]
    assert (made.number, pull.teams, pull.assignees) == (1, ["frontend"], ["grace"])
    assert jobs.warnings == ["labels_not_added", "not_assigned", "reviewers_not_asked", "milestone_not_set"]
    told = [event.message for event in jobs.events if isinstance(event, Warned)]
    assert "Resource not accessible" in told[0]
    assert "passed over stranger" in told[1]
    assert "Reviews may only be requested from collaborators" in told[2]


async def test_a_milestone_that_is_dropped_in_silence_is_a_warning(github: GitHub, jobs: Jobs) -> None:
    """As GitHub does where the token may not push."""
    issue: dict[str, Any] = {"number": 1, "milestone": None, "assignees": []}
    github.faults.add(Answer(200, json.dumps(issue).encode()), "PATCH ")
    await jobs.run(CreatePullRequest, head="topic", base="main", milestone=3, **_TEXTS)
    assert jobs.warnings == ["milestone_not_set"]


async def test_a_pull_request_that_is_too_new_is_labelled_a_little_later(github: GitHub, jobs: Jobs) -> None:
    """Parts of GitHub do not see it at once: that is no refusal."""
    github.refuse("/labels", 422, "Could not resolve to a node with the global id of 'PR_1'.", times=2)
    await jobs.run(CreatePullRequest, head="topic", base="main", labels=["ui"], **_TEXTS)
    assert (github.repository.pulls[1].labels, jobs.warnings) == (["ui"], [])


@pytest.mark.parametrize("may", [None, True, False])
async def test_a_forks_branch_is_proposed(github: GitHub, jobs: Jobs, may: bool | None) -> None:
    """It is named with its owner, and is another one than the repository's own of that name."""
    github.repository.commit("stranger:topic", "Offer dark mode", {"src/theme.ts": "black"})
    github.repository.open("topic", "main", "Ours")
    fields = {} if may is None else {"maintainerCanModify": may}
    made = await jobs.run(CreatePullRequest, head="stranger:topic", base="main", **fields)
    assert (made.number, made.title, made.head.ref) == (2, "Offer dark mode", "topic")
    assert github.repository.pulls[2].maintainer_can_modify is may
    with pytest.raises(PullRequestExists) as raised:
        await jobs.run(CreatePullRequest, head="stranger:topic", base="main")
    assert raised.value.data["number"] == 2


async def test_a_forks_branch_that_cannot_be_compared_is_named_after_itself(
    github: GitHub, jobs: Jobs
) -> None:
    """Its commits are not the repository's."""
    github.repository.commit("stranger:fix/dark-mode_toggle", "Offer", {"src/theme.ts": "black"})
    github.refuse("/compare/", 404, "Not Found")
    made = await jobs.run(CreatePullRequest, head="stranger:fix/dark-mode_toggle", base="main")
    assert made.title == "Dark mode toggle"


def store(sessions: SessionFolder, session_id: str, fields: dict[str, Any]) -> None:
    """Put a session without a repository into the store."""
    archive = sessions.archive(session_id)
    archive.parent.mkdir(parents=True)
    archive.write_bytes(pack(metadata(session_id, **fields)))
