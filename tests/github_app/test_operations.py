"""Tokens of the app: one for each job, for its repository, and for no more than it needs."""

from __future__ import annotations

import pytest

from github_worker.contract import InspectSession, NewTag, SwitchBranch, SyncBranch
from github_worker.errors import BranchNotFound
from github_worker.redaction import Secret
from tests.conftest import WRITE_TOKEN
from tests.github_app.conftest import AppRunner, made
from tests.operations.conftest import SESSION
from tests.support.app_forge import AppForge
from tests.support.faults import Answer, Meanwhile, Moment
from tests.support.repositories import Repository as Origin
from tests.support.sessions import SessionFolder

METADATA = {"metadata": "read"}
READ = {"contents": "read"} | METADATA
WRITE = {"contents": "write"} | METADATA
WORKFLOW = ".github/workflows/ci.yml"


async def test_a_clone_may_only_read(runner: AppRunner, forge: AppForge, origin: Origin) -> None:
    """Its token is for the one repository, and is revoked when the job is over."""
    await runner.clone(origin.url)
    [token] = made(forge)
    assert (token.repository, token.permissions, token.revoked) == ("octo/demo", READ, True)
    assert forge.app.asked == [
        "GET /repos/octo/demo/installation",
        "POST /app/installations/1/access_tokens",
        "DELETE /installation/token",
    ]


async def test_a_session_is_begun_worked_in_and_pushed(
    runner: AppRunner, forge: AppForge, origin: Origin, sessions: SessionFolder
) -> None:
    """Each job has a token of its own, by which the remote takes what is pushed."""
    await runner.clone(origin.url)
    branch = (await runner.branch()).branch_name
    sessions.edit(SESSION, {"src/app.py": "print('dark')\n"})
    committed = await runner.commit()
    assert committed.pushed
    assert origin.git("rev-parse", branch).decode().strip() == committed.commit_hash
    assert [token.permissions for token in made(forge)] == [READ, WRITE, WRITE]
    assert all(token.revoked for token in made(forge))


async def test_a_clone_is_brought_up_to_date(runner: AppRunner, forge: AppForge, origin: Origin) -> None:
    """The repository that is there already is fetched with a token that may read."""
    await runner.clone(origin.url)
    origin.commit({"new.txt": "new\n"}, "Add a file")
    assert (await runner.clone(origin.url)).pulled
    assert [token.permissions for token in made(forge)] == [READ, READ]


async def test_nothing_to_commit_needs_no_token(runner: AppRunner, forge: AppForge, origin: Origin) -> None:
    """A job that asks nobody anything asks for no token either."""
    await runner.init(origin.url)
    before = len(forge.app.asked)
    assert (await runner.commit()).skipped
    assert len(forge.app.asked) == before


@pytest.mark.parametrize("text", ["on: push\n", None], ids=["changed", "deleted"])
async def test_workflows_are_asked_for_where_they_change(
    runner: AppRunner, forge: AppForge, origin: Origin, sessions: SessionFolder, text: str | None
) -> None:
    """GitHub takes no workflow of an app that may not change them."""
    origin.commit({WORKFLOW: "on: [push]\n"}, "Add a workflow")
    await runner.init(origin.url)
    sessions.edit(SESSION, {WORKFLOW: text})
    assert (await runner.commit()).pushed
    assert [token.permissions for token in made(forge)] == [WRITE, WRITE | {"workflows": "write"}]


async def test_workflows_that_are_on_the_remote_are_not_asked_for(
    runner: AppRunner, forge: AppForge, origin: Origin, sessions: SessionFolder
) -> None:
    """What the remote has is not changed by a commit beside it."""
    origin.commit({WORKFLOW: "on: [push]\n"}, "Add a workflow")
    await runner.init(origin.url)
    sessions.edit(SESSION, {"README.md": "# Other\n"})
    assert (await runner.commit()).pushed
    assert "workflows" not in made(forge)[-1].permissions


async def test_an_unpushed_workflow_is_pushed_with_a_new_branch(
    runner: AppRunner, forge: AppForge, origin: Origin, sessions: SessionFolder
) -> None:
    """The branch brings the commit of a push that failed, so its token is widened then."""
    await runner.clone(origin.url)
    origin.commit({"README.md": "# Moved\n"}, "Move on")
    sessions.edit(SESSION, {WORKFLOW: "on: push\n", "README.md": "# Ours\n"})
    assert not (await runner.commit()).pushed
    created = await runner.branch()
    assert created.pushed
    assert [token.permissions for token in made(forge)][-2:] == [WRITE, WRITE | {"workflows": "write"}]
    assert all(token.revoked for token in made(forge))


async def test_a_workflow_that_the_app_may_not_change_is_refused_in_the_remotes_words(
    runner: AppRunner, forge: AppForge, origin: Origin, sessions: SessionFolder
) -> None:
    """The commit is in the session, and the result says why it is not on the remote."""
    [installation] = forge.app.installations
    installation.permissions = WRITE
    await runner.init(origin.url)
    sessions.edit(SESSION, {WORKFLOW: "on: push\n"})
    committed = await runner.commit()
    assert not committed.pushed
    assert "without `workflows` permission" in committed.push_error.message


async def test_a_token_is_renewed_before_it_ends(runner: AppRunner, forge: AppForge, origin: Origin) -> None:
    """A job that outlives its token goes on with the next one, and none is left when it is over."""
    forge.app.life = 2.0

    def outlive() -> None:
        forge.app.wait_for(2)
        first, *_ = made(forge)
        first.ends_at = 0.0

    forge.faults.add(Meanwhile(outlive, at=Moment.HANDLED), "POST /octo/demo.git/git-upload-pack")
    assert (await runner.init(origin.url)).pushed
    assert len(made(forge)) >= 2
    assert not [token for token in made(forge) if token.is_good]


async def test_a_renewal_that_fails_is_tried_again(
    runner: AppRunner, forge: AppForge, origin: Origin
) -> None:
    """The token is good for minutes yet when it is renewed."""
    forge.app.life = 2.0

    def outlive() -> None:
        forge.faults.add(
            Answer(403, b'{"message": "Not now"}'), "GET /api/v3/repos/octo/demo/installation", 2
        )
        forge.app.wait_for(2)

    forge.faults.add(Meanwhile(outlive, at=Moment.HANDLED), "POST /octo/demo.git/git-upload-pack")
    assert (await runner.init(origin.url)).pushed
    asked = [line for line in forge.requests if line.path.endswith("/installation")]
    assert len(asked) >= 4
    assert not [token for token in made(forge) if token.is_good]


async def test_a_token_of_the_request_is_used_as_before(
    runner: AppRunner, forge: AppForge, origin: Origin
) -> None:
    """The app is not asked for what the caller brings."""
    await runner.clone(origin.url, access_token=Secret(WRITE_TOKEN))
    assert forge.app.asked == []
    assert {request.token for request in forge.requests} == {None, WRITE_TOKEN}


async def test_a_token_is_revoked_when_the_job_fails(
    runner: AppRunner, forge: AppForge, origin: Origin
) -> None:
    """However a job ends, nothing is left that somebody could use."""
    await runner.clone(origin.url)
    with pytest.raises(BranchNotFound):
        await runner.branch(base_branch="nowhere")
    assert all(token.revoked for token in made(forge))


async def test_a_tag_is_looked_for_with_the_token_too(
    runner: AppRunner, forge: AppForge, origin: Origin, sessions: SessionFolder
) -> None:
    """Before it is known what is pushed: a thread that needs the token has it made."""
    await runner.init(origin.url)
    sessions.edit(SESSION, {"README.md": "# Release\n", WORKFLOW: "on: push\n"})
    committed = await runner.commit(tag=NewTag(name="v1"))
    assert committed.tag.pushed
    assert [token.permissions for token in made(forge)][1:] == [WRITE, WRITE | {"workflows": "write"}]
    assert all(token.revoked for token in made(forge))


async def test_a_branch_is_switched_to_and_brought_up_to_date(
    runner: AppRunner, forge: AppForge, origin: Origin, sessions: SessionFolder
) -> None:
    """With the right to read, until what was rebased is pushed again."""
    branch = (await runner.init(origin.url)).branch_name
    sessions.edit(SESSION, {WORKFLOW: "on: push\n"})
    await runner.commit()
    await runner.run(SwitchBranch(session_id=SESSION, branch="main"))
    await runner.run(SwitchBranch(session_id=SESSION, branch=branch))
    assert (await runner.run(SyncBranch(session_id=SESSION))).outcome == "up-to-date"
    assert {token.permissions["contents"] for token in made(forge)[2:]} == {"read"}
    origin.commit({"more.txt": "more\n"}, "Move on")
    forced = SyncBranch(session_id=SESSION, method="rebase", force_with_lease=True)
    assert (await runner.run(forced)).force_pushed
    assert made(forge)[-1].permissions == WRITE | {"workflows": "write"}
    before = len(forge.app.asked)
    await runner.run(InspectSession(session_id=SESSION))
    assert len(forge.app.asked) == before
