"""What an empty repository's default branch is, asked of a real git server."""

from __future__ import annotations

import asyncio

import pytest

from github_worker.contract import RepositoryUrl
from github_worker.errors import UnsupportedRepository
from github_worker.git.clone import default_branch
from github_worker.redaction import Secret
from github_worker.settings import Settings, from_env
from tests.conftest import WRITE_TOKEN
from tests.support.faults import Answer, Cut, Fault, Hang, Redirect
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin

ASK, LIST = "GET /octo/empty.git/info/refs", "POST /octo/empty.git/git-upload-pack"


@pytest.fixture
def empty(git_server: GitServer) -> Origin:
    """Return an empty repository whose HEAD names `trunk`."""
    return git_server.create("octo", "empty", default="trunk")


@pytest.fixture
def settings(git_server: GitServer) -> Settings:
    """Return settings that give a server a second."""
    return from_env({"GIT_ALLOWED_HOSTS": git_server.origin, "GIT_TIMEOUT": "1"})


async def ask(origin: Origin, settings: Settings, token: str | None = WRITE_TOKEN) -> str | None:
    """Ask for the default branch."""
    return await default_branch(RepositoryUrl.parse(origin.url), Secret(token) if token else None, settings)


async def test_it_is_what_head_names(empty: Origin, settings: Settings) -> None:
    """A private repository's, too, also where the name has slashes or is not of ASCII."""
    assert await ask(empty, settings) == "trunk"
    empty.git("symbolic-ref", "HEAD", "refs/heads/release/é")
    assert await ask(empty, settings) == "release/é"


async def test_a_public_repository_is_asked_without_a_token(
    git_server: GitServer, settings: Settings
) -> None:
    """The token goes only where it is asked for."""
    public = git_server.create("octo", "public", default="trunk", public=True)
    assert await ask(public, settings) == await ask(public, settings, token=None) == "trunk"
    assert {request.authorization for request in git_server.requests} == {None}


async def test_a_server_that_does_not_tell(empty: Origin, settings: Settings) -> None:
    """An older git has `ls-refs` without `unborn`."""
    empty.configure("lsrefs.unborn", "ignore")
    assert await ask(empty, settings) is None


async def test_a_name_that_no_branch_can_have(empty: Origin, settings: Settings) -> None:
    """It is the server's, and is not believed."""
    (empty.path / "HEAD").write_text("ref: refs/heads/-x\n")
    assert await ask(empty, settings) is None


@pytest.mark.parametrize(
    "fault",
    [
        Answer(503),
        Answer(200, b"nonsense"),
        Answer(200, b"ffff" * 100_000),
        Answer(302, headers={"Location": "http://[::1"}),
        Answer(302, headers={"Location": "/\x7f"}),
        Cut(),
        Hang(),
    ],
    ids=str,
)
@pytest.mark.parametrize("request_line", [ASK, LIST])
async def test_a_server_that_fails(
    empty: Origin, settings: Settings, git_server: GitServer, fault: Fault, request_line: str
) -> None:
    """What cannot be had is not known, and nothing worse."""
    git_server.faults.add(fault, request_line, times=9)
    async with asyncio.timeout(10):
        assert await ask(empty, settings) is None


async def test_the_token_stays_with_its_origin(
    empty: Origin, settings: Settings, git_server: GitServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A redirect within it is followed, one to another is not, before a token or after."""
    moved = git_server.create("octo", "moved", default="develop")
    git_server.faults.add(Redirect(moved.url), ASK)
    assert await ask(empty, settings) == "develop"
    with GitServer(tmp_path_factory.mktemp("other"), {WRITE_TOKEN: "write"}) as other:
        target = other.create("octo", "empty", default="stolen").url
        git_server.faults.add(Redirect(target), ASK)
        assert await ask(empty, settings) is None
        git_server.faults.add(Redirect(target), LIST)
        assert await ask(empty, settings) is None
        assert other.requests == []


async def test_a_token_that_is_refused_is_sent_once(
    empty: Origin, settings: Settings, git_server: GitServer
) -> None:
    """It would be refused again."""
    assert await ask(empty, settings, token="wrong-token-0123") is None
    assert [request.token for request in git_server.requests] == [None, "wrong-token-0123"]


async def test_a_repository_by_sha256_says_so(git_server: GitServer, settings: Settings) -> None:
    """Nothing that is committed here could be pushed to it."""
    with pytest.raises(UnsupportedRepository, match="SHA-256"):
        await ask(git_server.create("octo", "empty", object_format="sha256"), settings)
