"""Callers without a token: the client, its stand-in, and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_worker_client import GitHubWorker, InvalidRequest
from github_worker_client.testing import StandInWorker
from tests.cli.command import run
from tests.github_app.conftest import made
from tests.support.app_forge import AppForge
from tests.support.repositories import Repository as Origin


async def test_the_client_sends_no_token_where_it_has_none() -> None:
    """Whether one is needed is the service's to say."""
    with StandInWorker(has_app=True) as worker:
        async with GitHubWorker(worker.base_url) as client:
            assert (await client.commit_and_push(session_id="s1")).pushed
    [request] = worker.requests
    assert set(request.body) == {"sessionId", "requestId"}


async def test_a_service_without_an_app_refuses() -> None:
    """In its words, as before."""
    with StandInWorker() as worker:
        async with GitHubWorker(worker.base_url) as client:
            with pytest.raises(InvalidRequest, match="`githubAccessToken` is missing"):
                await client.commit_and_push(session_id="s1")


def test_a_worker_of_ones_own_may_have_the_app(
    app_env: dict[str, str], forge: AppForge, origin: Origin, tmp_path: Path
) -> None:
    """It is started with the settings of the environment."""
    options = ("--session", "s1", "--repo-url", origin.url, "--user-request", "Add a mode")
    ended = run("run", "init-session", *options, HOME=str(tmp_path), **app_env)
    assert ended.returncode == 0, ended.stderr
    assert all(token.revoked for token in made(forge))


def test_without_an_app_the_command_line_asks_for_a_token(tmp_path: Path) -> None:
    """Before anything is started, as before."""
    ended = run("run", "commit-and-push", "--session", "s1", HOME=str(tmp_path))
    words = "commit-and-push needs a token: set GITHUB_TOKEN, or GITHUB_TOKEN_FILE, or say --gh"
    assert words in ended.stderr
    assert ended.returncode == 2


def test_the_check_tries_the_app(app_env: dict[str, str], forge: AppForge, origin: Origin) -> None:
    """It signs, and says who GitHub takes it for."""
    env = app_env | {"GITHUB_WORKER_TOKEN": "caller-token-0123456789"}
    found = run("check", **env).stdout
    assert "GitHub App" in found
    assert "acts as octoapp, for octo/*" in found
    wrong = run("check", **env | {"GITHUB_APP_ID": "1"}).stdout
    assert "Integration not found" in wrong
