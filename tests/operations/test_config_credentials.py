"""Sessions of the first version keep a token in `.git/config`: what is saved here has none."""

from __future__ import annotations

import pytest

from github_worker.contract import Warned
from tests.operations.conftest import SESSION, JobRunner
from tests.support.faults import Meanwhile
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.sessions import SessionFolder, edit

_TOKEN = "x-access-token:gho_0123456789abcdef"
_REST = "[user]\n\tname = Ann ; she\n[alias]\n\tst = status\r\n"


@pytest.fixture
async def config(runner: JobRunner, origin: Origin, sessions: SessionFolder) -> str:
    """Make a session as the first version left it, and return its config as it should be."""
    await runner.init(origin.url)
    clean = config_of(sessions) + _REST
    kept = clean.replace("http://", f"http://{_TOKEN}@")
    assert kept != clean
    sessions.edit(SESSION, {".git/config": kept})
    return clean


def config_of(sessions: SessionFolder) -> str:
    """Return the config in the stored session."""
    session = sessions.get(SESSION)
    return session.read(session.worktree(".git/config")).decode()


def warnings(runner: JobRunner) -> list[str]:
    """Return the codes of the last job's warnings."""
    return [event.code for event in runner.events if isinstance(event, Warned)]


async def test_a_session_that_is_saved_keeps_no_token(
    runner: JobRunner, sessions: SessionFolder, config: str
) -> None:
    """The rest of the config is as it was, byte for byte, and a warning says so once."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    assert (await runner.commit()).pushed
    assert config_of(sessions) == config
    assert "credentials_removed" in warnings(runner)
    sessions.edit(SESSION, {"new.txt": "newer\n"})
    assert (await runner.commit()).pushed
    assert "credentials_removed" not in warnings(runner)


async def test_a_session_that_is_not_saved_is_left_alone(
    runner: JobRunner, sessions: SessionFolder, config: str
) -> None:
    """There is nothing to commit, and nothing to warn of."""
    before = sessions.get(SESSION).data
    assert (await runner.commit()).skipped
    assert sessions.get(SESSION).data == before
    assert warnings(runner) == []


@pytest.mark.parametrize("job", ["branch", "init", "clone"])
async def test_each_job_that_saves_removes_it(
    job: str, runner: JobRunner, origin: Origin, sessions: SessionFolder, config: str
) -> None:
    """A branch is made, a session begun again, a repository brought up to date."""
    branch = sessions.get(SESSION).metadata["branch"]
    origin.commit({"theirs.txt": "1\n"}, branch=branch)
    if job == "branch":
        await runner.branch("Something else")
    else:
        await getattr(runner, job)(origin.url)
    assert _TOKEN not in config_of(sessions)
    assert "credentials_removed" in warnings(runner)


async def test_a_session_that_was_saved_meanwhile_keeps_no_token_either(
    runner: JobRunner, git_server: GitServer, sessions: SessionFolder, config: str
) -> None:
    """Whoever saved it put the token back."""
    newer = sessions.get(SESSION).data
    sessions.edit(SESSION, {"new.txt": "new\n"})
    git_server.faults.add(Meanwhile(lambda: sessions.put(SESSION, newer)), "POST")
    assert (await runner.commit()).pushed
    assert _TOKEN not in config_of(sessions)


async def test_a_session_without_metadata_is_found_by_its_remote(
    runner: JobRunner, sessions: SessionFolder, config: str
) -> None:
    """The token in the remote's URL does not hide which repository it is."""
    sessions.edit(SESSION, {"new.txt": "new\n"})
    session = sessions.get(SESSION)
    sessions.put(SESSION, edit(session.data, {"workspace/.session-metadata.json": None}))
    assert (await runner.commit()).pushed
