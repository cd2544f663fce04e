"""Repositories of other forges than GitHub: their paths, and the user name that their tokens go with."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from github_worker.contract import CreatePullRequest, RepositoryUrl, decode_request
from github_worker.errors import UnsupportedRepository
from github_worker.settings import from_env
from github_worker.workspace.branch import session_path
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.repositories import git
from tests.support.sessions import SessionFolder, metadata, pack

_URLS = {
    "https://gitlab.com/group/sub/group/demo": ("group/sub/group", "demo", "group__sub__group__demo__b"),
    "git@gitlab.com:group/sub/demo.git": ("group/sub", "demo", "group__sub__demo__b"),
    "https://bitbucket.example/scm/PROJ/demo.git": ("PROJ", "demo", "PROJ__demo__b"),
    "https://bitbucket.example/scm/~ann/demo": ("~ann", "demo", "~ann__demo__b"),
    "https://dev.azure.com/org/my%20project/_git/demo": (
        "org/my-project",
        "demo",
        "org__my-project__demo__b",
    ),
}


@pytest.mark.parametrize(("url", "parts"), _URLS.items())
def test_a_path_of_another_forge_is_read(url: str, parts: tuple[str, str, str]) -> None:
    """Its groups and its name are known, and it is asked for as the forge has it."""
    parsed = RepositoryUrl.parse(url)
    assert (parsed.groups, parsed.name, session_path(parsed, "b")) == parts
    assert str(parsed).endswith("/_git/demo" if "_git" in url else "/demo.git")


@pytest.mark.parametrize("url", ["https://github.com/o/r/tree/main", "https://gitlab.com/g/r/-/tree/main"])
def test_a_page_of_a_repository_is_none(url: str) -> None:
    """What was copied out of a browser's address is refused in words."""
    with pytest.raises(ValueError, match="must be https://host/owner/repo"):
        RepositoryUrl.parse(url)


@pytest.mark.parametrize(
    ("origin", "username"),
    [
        ("https://github.com", "x-access-token"),
        ("https://gitlab.com", "oauth2"),
        ("https://gitlab.example.org:8443", "oauth2"),
        ("https://bitbucket.org", "x-token-auth"),
        ("https://notgitlab.example", "x-access-token"),
        ("https://git.example", "me"),
        ("https://gitlab.example", "other"),
    ],
)
def test_a_token_goes_with_its_forge_s_user_name(origin: str, username: str) -> None:
    """By the host, unless the settings say another one."""
    settings = from_env({"GIT_USERNAMES": "git.example=me,gitlab.example=other"})
    assert settings.username_for(origin) == username


async def test_a_repository_in_groups_is_cloned_branched_and_committed(
    worker_env: dict[str, str], git_server: GitServer, sessions: SessionFolder, tmp_path: Path
) -> None:
    """The server sees the user name that was set for it, and the session's path names the groups."""
    origin = git_server.seed("group/sub", "demo", {"a.txt": "1\n"})
    host = git_server.origin.removeprefix("http://")
    runner = JobRunner(worker_env | {"GIT_USERNAMES": f"{host}=oauth2"})
    made = await runner.init(origin.url)
    assert made.session_path == f"group__sub__demo__{made.branch_name.replace('/', '-')}"
    sessions.edit(SESSION, {"a.txt": "2\n"})
    assert (await runner.commit()).pushed
    assert origin.read(made.branch_name, "a.txt") == b"2\n"
    assert sessions.get(SESSION).metadata["repositoryOwner"] == "group/sub"
    headers = {request.authorization for request in git_server.requests if request.authorization}
    assert headers == {f"Basic {base64.b64encode(f'oauth2:{WRITE_TOKEN}'.encode()).decode()}"}
    worktree = sessions.get(SESSION).extract(tmp_path)
    assert git("-C", worktree, "remote", "get-url", "origin").decode().strip() == origin.url


async def test_a_pull_request_of_an_unknown_forge_is_refused_in_words(
    worker_env: dict[str, str], sessions: SessionFolder
) -> None:
    """The token is sent nowhere."""
    github = {"repoUrl": "https://bitbucket.org/group/demo.git", "baseBranch": "main", "clonedPath": "demo"}
    sessions.put(SESSION, pack(metadata(SESSION, github=github, branch="topic")))
    body = f'{{"sessionId":"{SESSION}","base":"main","githubAccessToken":"{WRITE_TOKEN}"}}'
    runner = JobRunner(worker_env | {"GIT_ALLOWED_HOSTS": "bitbucket.org"})
    with pytest.raises(UnsupportedRepository, match="Bitbucket"):
        await runner.run(decode_request(CreatePullRequest, body.encode()))
