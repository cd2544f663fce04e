"""Pull requests by the app: what each of the three needs of a token, as GitHub gives it out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from github_worker.contract import (
    AutoPullRequest,
    CreatePullRequest,
    MergePullRequest,
    Request,
    decode_request,
)
from github_worker.errors import PermissionDenied
from github_worker.operations import run
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.settings import from_env
from tests.pull_requests.conftest import metadata_of
from tests.support.github import GitHub
from tests.support.github_app import APP_ID, private_key
from tests.support.model import Model
from tests.support.sessions import SessionFolder, metadata, pack

METADATA = {"metadata": "read"}
OPENING = {"contents": "read", "pull_requests": "write"} | METADATA
MERGING = {"contents": "write", "pull_requests": "read"} | METADATA
BOTH = {"contents": "write", "pull_requests": "write"} | METADATA
WAITING = BOTH | dict.fromkeys(("checks", "statuses", "actions"), "read")


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Yield a GitHub whose app is installed, with a branch to merge, and hold what was said against it."""
    with GitHub() as github:
        github.app.install("octocat", "hello-world")
        github.repository.commit("topic", "Add dark mode toggle", {"src/theme.ts": "dark"})
        yield github
    assert github.violations + github.app.violations == []


@pytest.fixture
def env(github: GitHub, model: Model, sessions: SessionFolder, tmp_path: Path) -> dict[str, str]:
    """Return the settings of a worker that has the app."""
    return {
        "HOST": "127.0.0.1",
        "TMP_DIR": str(tmp_path),
        "STORAGE_URL": sessions.url,
        "GITHUB_API_URL": github.origin,
        "GIT_ALLOWED_HOSTS": github.origin,
        "ANTHROPIC_BASE_URL": model.origin,
        "GITHUB_APP_ID": APP_ID,
        "GITHUB_APP_PRIVATE_KEY": private_key(),
        "GITHUB_APP_REPOSITORIES": "octocat/*",
    }


async def do(env: dict[str, str], kind: type[Request], **fields: Any) -> Any:
    """Do a job as its body comes over the wire, without a token."""
    place = {} if "sessionId" in fields else {"owner": "octocat", "repo": "hello-world"}
    request = decode_request(kind, msgspec.json.encode(place | fields), may_lack_token=True)
    services = Services.from_settings(from_env(env))
    try:
        return await run(request, services, Report(lambda event: None))
    finally:
        await services.cleanup()
        services.close()


def granted(github: GitHub) -> dict[str, str]:
    """Return what the one token was made for, and see that it is revoked."""
    [token] = github.app.grants.values()
    assert token.repository == "octocat/hello-world"
    assert token.revoked
    return token.permissions


async def test_opening_needs_to_read_and_to_open(env: dict[str, str], github: GitHub) -> None:
    """With labels, people and a milestone, which are a pull request's too."""
    more = {"labels": ["ui"], "reviewers": ["ada"], "assignees": ["grace"], "milestone": 3}
    opened = await do(env, CreatePullRequest, head="topic", base="main", **more)
    assert opened.number == 1
    assert granted(github) == OPENING


async def test_merging_needs_to_write_and_to_look(env: dict[str, str], github: GitHub) -> None:
    """It opens no pull request, so it may open none."""
    github.repository.open("topic", "main", "Dark mode")
    assert (await do(env, MergePullRequest, pullNumber=1)).merged
    assert granted(github) == MERGING


async def test_the_whole_way_needs_both(env: dict[str, str], github: GitHub) -> None:
    """From a branch to its base, the branch deleted."""
    github.repository.commit("main", "Move on", {"other.txt": "other"})
    assert (await do(env, AutoPullRequest, branch="topic", base="main")).step == "branch_deleted"
    assert granted(github) == BOTH


async def test_waiting_for_checks_needs_to_see_them(env: dict[str, str], github: GitHub) -> None:
    """Of both kinds, and the workflows that will bring some."""
    github.repository.checks = {"build": ["in_progress", "success"]}
    github.repository.required = {"build"}
    finished = await do(env, AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert finished.step == "branch_deleted"
    assert granted(github) == WAITING


async def test_merging_later_needs_no_more(env: dict[str, str], github: GitHub) -> None:
    """GitHub's other API takes the same token."""
    github.repository.required = {"build"}
    github.repository.checks = {"build": ["in_progress"]}
    finished = await do(env, AutoPullRequest, branch="topic", base="main", autoMerge=True)
    assert finished.step == "auto_merge_enabled"
    assert granted(github) == BOTH


async def test_what_is_of_use_alone_is_not_asked_for_in_vain(env: dict[str, str], github: GitHub) -> None:
    """An installation that does not show workflows is waited with as well."""
    [installation] = github.app.installations
    del installation.permissions["actions"]
    github.repository.checks = {"build": ["success"]}
    await do(env, AutoPullRequest, branch="topic", base="main", waitForChecks=True)
    assert granted(github) == {name: right for name, right in WAITING.items() if name != "actions"}


async def test_an_installation_without_checks_is_told_so(env: dict[str, str], github: GitHub) -> None:
    """To merge without them would be something else than was asked."""
    [installation] = github.app.installations
    del installation.permissions["checks"]
    with pytest.raises(PermissionDenied, match="was not granted checks: read by octocat"):
        await do(env, AutoPullRequest, branch="topic", base="main", waitForChecks=True)


async def test_a_session_says_the_repository(
    env: dict[str, str], github: GitHub, sessions: SessionFolder
) -> None:
    """Where it is one that callers have a right to."""
    described = metadata("s1", **metadata_of(github))
    sessions.put("s1", pack(described))
    assert (await do(env, CreatePullRequest, sessionId="s1", base="main")).number == 1
    outside = env | {"GITHUB_APP_REPOSITORIES": "acme/*"}
    with pytest.raises(PermissionDenied, match="makes no token for octocat/hello-world"):
        await do(outside, CreatePullRequest, sessionId="s1", base="main")
