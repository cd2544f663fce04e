"""Which forge a repository is on: by its URL's origin and `FORGES`, and never by what it says itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from github_worker.contract import REQUESTS, CreatePullRequest, MergePullRequest, decode_request
from github_worker.errors import ConfigurationError, HostNotAllowed, JobError, UnsupportedRepository
from github_worker.sandbox import _find_ports
from github_worker.services import Services
from github_worker.settings import Forge, from_env
from tests.forges.conftest import environment, url_of
from tests.pull_requests.conftest import Jobs
from tests.support.github import GitHub
from tests.support.gitlab import GitLab
from tests.support.sessions import SessionFolder, metadata, pack

_MERGE = {"pullNumber": 1, "githubAccessToken": "t"}
_URL = "https://gitlab.com/acme/web/shop"


def _forges(tmp_path: Path, text: str) -> Any:
    return from_env({"TMP_DIR": str(tmp_path), "FORGES": text})


@pytest.mark.parametrize(
    ("text", "origin", "forge"),
    [
        ("", "https://gitlab.com", Forge("gitlab", "https://gitlab.com/api/v4")),
        ("", "https://codeberg.org", Forge("forgejo", "https://codeberg.org/api/v1")),
        ("", "https://github.com", Forge("github", "https://api.github.com")),
        ("", "https://git.acme.org", None),
        ("", "http://gitlab.com", None),
        ("", "https://gitlab.com:8443", None),
        ("git.acme.org=gitea", "https://git.acme.org", Forge("gitea", "https://git.acme.org/api/v1")),
        ("Git.Acme.org=GitLab", "https://git.acme.org", Forge("gitlab", "https://git.acme.org/api/v4")),
        (
            "git.acme.org=gitlab:https://a.b/x/api/v4/",
            "https://git.acme.org",
            Forge("gitlab", "https://a.b/x/api/v4"),
        ),
        (
            "http://127.0.0.1:3000=gitea",
            "http://127.0.0.1:3000",
            Forge("gitea", "http://127.0.0.1:3000/api/v1"),
        ),
        (
            "gitlab.com=gitlab:https://proxy/api/v4",
            "https://gitlab.com",
            Forge("gitlab", "https://proxy/api/v4"),
        ),
        ("a.b=gitea, c.d=forgejo", "https://c.d", Forge("forgejo", "https://c.d/api/v1")),
    ],
)
def test_a_host_is_a_forge(tmp_path: Path, text: str, origin: str, forge: Forge | None) -> None:
    """Two are known; a setting adds to them or stands in their place; another port is another server."""
    assert _forges(tmp_path, text).forge_of(origin) == forge


@pytest.mark.parametrize(
    "text",
    [
        "gitlab.com",
        "=gitlab",
        "a.b=github",
        "a.b=gitlab:ftp://a.b",
        "a.b=gitea:https://",
        "a.b/x=gitea",
        "a:0x=gitea",
        "a:99999=gitea",
    ],
)
def test_a_wrong_setting_stops_the_start(tmp_path: Path, text: str) -> None:
    """By its name."""
    with pytest.raises(ConfigurationError, match="FORGES"):
        _forges(tmp_path, text)


def test_the_sandbox_reaches_a_forges_port(tmp_path: Path) -> None:
    """That of its API, which may be another than that of git."""
    assert 8929 in (_find_ports(_forges(tmp_path, "a.b=gitlab:http://a.b:8929/api/v4")) or ())


@pytest.fixture
def env(github: GitHub, gitlab: GitLab, sessions: SessionFolder, tmp_path: Path) -> dict[str, str]:
    """Return the settings of a worker that knows a GitLab."""
    return environment(github, sessions, tmp_path, gitlab)


async def _refused(env: dict[str, str], kind: Any, **fields: Any) -> JobError:
    with pytest.raises(JobError) as raised:
        await Jobs(Services.from_settings(from_env(env))).run(kind, **fields)
    return raised.value


async def test_a_host_that_is_not_allowed_is_asked_nothing(gitlab: GitLab, env: dict[str, str]) -> None:
    """`FORGES` says what a host is, `GIT_ALLOWED_HOSTS` whether it gets a token."""
    env["GIT_ALLOWED_HOSTS"] = "github.com"
    error = await _refused(env, MergePullRequest, repoUrl=url_of(gitlab), pullNumber=1)
    assert isinstance(error, HostNotAllowed)
    assert gitlab.asked == []


async def test_a_host_of_no_forge_is_as_it_was(gitlab: GitLab, env: dict[str, str]) -> None:
    """GitLab by its name, or any other: neither gets the token, and GitHub does not either."""
    del env["FORGES"]
    error = await _refused(env, MergePullRequest, repoUrl=url_of(gitlab), pullNumber=1)
    assert isinstance(error, HostNotAllowed)
    env["GIT_ALLOWED_HOSTS"] = "gitlab.acme.org"
    error = await _refused(env, MergePullRequest, repoUrl="https://gitlab.acme.org/a/b", pullNumber=1)
    assert isinstance(error, UnsupportedRepository)
    assert "FORGES" in str(error)
    assert gitlab.asked == []


async def test_a_session_on_a_forge_that_is_not_allowed_is_refused(
    gitlab: GitLab, env: dict[str, str], sessions: SessionFolder
) -> None:
    """Its metadata are a stranger's: they choose among what the settings name, and add nothing to it."""
    repository = {"repoUrl": url_of(gitlab), "clonedPath": "shop"}
    sessions.put("s-1", pack(metadata("s-1", branch="topic", github=repository)))
    env["GIT_ALLOWED_HOSTS"] = "github.com"
    error = await _refused(env, CreatePullRequest, sessionId="s-1", base="main")
    assert isinstance(error, HostNotAllowed)
    assert gitlab.asked == []


@pytest.mark.parametrize("owner", ["acme%20x/web", "acme/x..y", "~acme/web"])
async def test_a_strange_owner_stays_one_part_of_the_path(
    gitlab: GitLab, env: dict[str, str], owner: str
) -> None:
    """What a URL's groups say leads to no other request."""
    await _refused(env, MergePullRequest, repoUrl=f"{gitlab.origin}/{owner}/shop", pullNumber=1)
    assert all(asked.path.startswith("/api/v4/projects/") for asked in gitlab.asked)
    assert all(asked.path.count("/") <= 6 for asked in gitlab.asked)


@pytest.mark.parametrize(
    ("operation", "body", "field"),
    [
        ("merge-pull-request", _MERGE | {"repoUrl": _URL, "owner": "acme"}, "owner"),
        ("merge-pull-request", _MERGE | {"repoUrl": _URL, "repo": "shop"}, "repo"),
        ("merge-pull-request", _MERGE | {"repoUrl": "gitlab.com/acme/shop"}, "repoUrl"),
        ("merge-pull-request", _MERGE | {"repoUrl": "https://u:p@gitlab.com/acme/shop"}, "repoUrl"),
        ("merge-pull-request", _MERGE, "owner"),
        ("create-pull-request", {"repoUrl": _URL, "base": "main", "accessToken": "t"}, "head"),
        ("auto-pull-request", {"repoUrl": _URL, "base": "main", "accessToken": "t"}, "branch"),
        (
            "auto-pull-request",
            {"repoUrl": _URL, "sessionId": "s", "base": "main", "accessToken": "t"},
            "repoUrl",
        ),
    ],
)
def test_a_repository_is_said_in_one_way(operation: str, body: dict[str, Any], field: str) -> None:
    """By its URL, by owner and name, or by the session."""
    with pytest.raises(ValueError, match=field):
        decode_request(REQUESTS[operation], msgspec.json.encode(body))
