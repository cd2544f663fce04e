"""create-pull-request."""

from __future__ import annotations

from typing import Any

import pytest

from github_worker.contract import CreatePullRequest
from github_worker.errors import BranchNotFound, NoCommits, NoRepository, PullRequestExists, SessionNotFound
from tests.pull_requests.conftest import Jobs, metadata_of
from tests.support.faults import Cut, Moment
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
    """Only what is missing is written; an empty body is a body."""
    await jobs.run(CreatePullRequest, head="topic", base="main", title="Mine")
    assert github.repository.pulls[1].title == "Mine"
    assert "src/theme.ts" in github.repository.pulls[1].body
    github.repository.commit("other", "Other", {"other": "1"})
    await jobs.run(CreatePullRequest, head="other", base="main", body="")
    assert (github.repository.pulls[2].title, github.repository.pulls[2].body) == ("Other", "")


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


def store(sessions: SessionFolder, session_id: str, fields: dict[str, Any]) -> None:
    """Put a session without a repository into the store."""
    archive = sessions.archive(session_id)
    archive.parent.mkdir(parents=True)
    archive.write_bytes(pack(metadata(session_id, **fields)))
