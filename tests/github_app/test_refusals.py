"""What the app cannot do is said in words, before anything is touched."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from github_worker.contract import CommitAndPush, RepositoryUrl
from github_worker.errors import (
    AuthenticationFailed,
    HostNotAllowed,
    JobError,
    PermissionDenied,
    RemoteUnavailable,
    RepositoryNotFound,
)
from github_worker.github.app import AppToken
from github_worker.progress import Report
from github_worker.redaction import scrub
from github_worker.services import Services
from github_worker.settings import from_env
from tests.github_app.conftest import AppRunner, made
from tests.operations.conftest import SESSION
from tests.support.app_forge import AppForge
from tests.support.faults import Answer
from tests.support.github_app import App, make_key
from tests.support.repositories import Repository as Origin
from tests.support.sessions import SessionFolder


def _uninstall(app: App) -> None:
    app.installations[0].repositories.clear()


def _suspend(app: App) -> None:
    app.installations[0].suspended = True


def _deny(app: App) -> None:
    app.installations[0].permissions = {"metadata": "read", "contents": "read"}


def _replace_key(app: App) -> None:
    app.key = make_key()


def _slow_down(app: App) -> None:
    app.behind = 3600.0


def _speed_up(app: App) -> None:
    app.behind = -3600.0


def _give_away(app: App) -> None:
    app.installations[0].owner = "somebody"


REFUSALS: dict[str, tuple[Callable[[App], None], type[JobError], str]] = {
    "not installed": (_uninstall, RepositoryNotFound, "not installed there, or there is no such repository"),
    "suspended": (_suspend, PermissionDenied, "suspended on octo"),
    "not granted": (_deny, PermissionDenied, "was not granted contents: write by octo"),
    "another key": (_replace_key, AuthenticationFailed, "is GITHUB_APP_PRIVATE_KEY a key of the app"),
    "clock ahead": (_slow_down, AuthenticationFailed, r"clock is \d+ seconds ahead of GitHub's"),
    "clock behind": (_speed_up, AuthenticationFailed, r"clock is \d+ seconds behind GitHub's"),
    "another owner": (_give_away, RepositoryNotFound, "not installed there"),
}


@pytest.mark.parametrize(("change", "kind", "words"), REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_of_githubs_is_said_in_words(
    runner: AppRunner,
    forge: AppForge,
    origin: Origin,
    sessions: SessionFolder,
    change: Callable[[App], None],
    kind: type[JobError],
    words: str,
) -> None:
    """The job ends in what fits; no token is made, the remote hears nothing, and no session is begun."""
    change(forge.app)
    with pytest.raises(kind, match=words):
        await runner.init(origin.url)
    assert made(forge) == []
    assert forge.requests == [request for request in forge.requests if "/api/v3/" in request.path]
    assert not sessions.archive(SESSION).exists()


async def test_a_name_that_is_anothers_now_is_refused(
    runner: AppRunner, forge: AppForge, origin: Origin
) -> None:
    """GitHub leads from a repository that was given away to its new owner's installation."""
    other = forge.app.install("stranger", "gone", "demo")
    forge.app.moved["/repos/octo/demo"] = other
    with pytest.raises(RepositoryNotFound, match="octo/demo belongs to somebody else now"):
        await runner.init(origin.url)
    assert made(forge) == []


async def test_an_api_that_falters_is_asked_again(runner: AppRunner, forge: AppForge, origin: Origin) -> None:
    """As for every other request to GitHub."""
    forge.faults.add(Answer(502), "/access_tokens")
    assert (await runner.clone(origin.url)).was_cloned


async def test_an_api_that_is_down_ends_the_job(runner: AppRunner, forge: AppForge, origin: Origin) -> None:
    """The same request may succeed later."""
    forge.faults.add(Answer(502), "/installation", times=5)
    with pytest.raises(RemoteUnavailable):
        await runner.clone(origin.url)


async def test_a_signature_goes_to_the_apis_origin_alone(
    runner: AppRunner, forge: AppForge, origin: Origin, tmp_path: Path
) -> None:
    """Whoever is redirected to could make tokens with it."""
    with AppForge(tmp_path / "evil", {}) as evil:
        forge.faults.add(Answer(302, headers={"Location": f"{evil.origin}/api/v3/installation"}), "GET /api")
        with pytest.raises(HostNotAllowed):
            await runner.clone(origin.url)
        assert evil.requests == []


async def test_a_commit_without_a_token_is_not_begun(
    runner: AppRunner, forge: AppForge, origin: Origin, sessions: SessionFolder
) -> None:
    """What was edited stays so, for the next one."""
    await runner.init(origin.url)
    sessions.edit(SESSION, {"README.md": "# Edited\n"})
    before = sessions.get(SESSION).data
    _uninstall(forge.app)
    with pytest.raises(RepositoryNotFound):
        await runner.commit()
    assert sessions.get(SESSION).data == before


async def test_what_is_made_is_masked(app_env: dict[str, str], forge: AppForge, origin: Origin) -> None:
    """Wherever it is said, by itself or as git sends it, and the one before it too."""
    services = Services.from_settings(from_env(app_env))
    request = CommitAndPush(session_id="s1")
    token = services.token_for(request, RepositoryUrl.parse(origin.url), Report(lambda event: None))
    assert isinstance(token, AppToken)
    await token.grant()
    await token.grant(workflows="write")
    assert len(forge.app.grants) == 2
    for each in forge.app.grants:
        basic = base64.b64encode(f"x-access-token:{each}".encode()).decode()
        assert scrub(f"{each} {basic}") == "*** ***"
    assert str(token) == "***"
    await services.cleanup()


@pytest.mark.parametrize("patterns", ["acme/*", "octo/other,octo/dem", "oct/demo"])
async def test_a_session_of_a_repository_outside_is_refused(
    runner: AppRunner, forge: AppForge, origin: Origin, patterns: str
) -> None:
    """A session says its repository; it gives nobody a right to it."""
    await runner.init(origin.url)
    runner.env |= {"GITHUB_APP_REPOSITORIES": patterns}
    before = len(forge.requests)
    for job in (runner.branch, runner.commit):
        with pytest.raises(PermissionDenied, match="makes no token for octo/demo: bring one"):
            await job()
    assert len(forge.requests) == before


async def test_the_case_of_names_is_not_heeded(runner: AppRunner, origin: Origin) -> None:
    """GitHub heeds none."""
    runner.env |= {"GITHUB_APP_REPOSITORIES": "nobody/x, OCTO/D?mo"}
    assert (await runner.clone(origin.url)).was_cloned


async def test_a_token_that_cannot_be_revoked_is_in_the_log(
    runner: AppRunner, forge: AppForge, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller has the job's outcome; the token ends by itself."""
    forge.faults.add(Answer(500), "DELETE")
    assert (await runner.clone(origin.url)).was_cloned
    assert "a token of the app is not revoked: it ends by itself" in caplog.messages
    [token] = forge.app.grants
    assert token not in caplog.text
