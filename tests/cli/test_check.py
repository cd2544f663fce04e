"""`github-worker check`, against real stores, servers and a worker."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from github_worker.cli.reach import reach_forge, reach_host, reach_repository
from github_worker.cli.store_probe import probe_store
from github_worker.cli.verdict import Verdict, fails, note, works
from github_worker.redaction import Secret
from github_worker.settings import from_env
from tests.cli.api import Api, ForbiddingS3
from tests.cli.command import hide_package, run, run_in_terminal
from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.model import Model, Say
from tests.support.repositories import Repository
from tests.support.s3 import S3Server
from tests.support.sessions import SessionFolder
from tests.support.storage_worker import StorageWorker
from tests.support.worker import ReservedPort, Worker

MODEL = {"ANTHROPIC_API_KEY": "sk-ant-api-0123456789"}
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Yield an S3 server."""
    with S3Server() as server:
        yield server


@pytest.fixture
def api() -> Iterator[Api]:
    """Yield GitHub's API, which knows the token."""
    with Api({WRITE_TOKEN: "repo, workflow"}) as api:
        yield api


@pytest.fixture
def port() -> Iterator[ReservedPort]:
    """Yield a port that nobody else takes."""
    port = ReservedPort()
    yield port
    port.close()


@pytest.fixture
def check_env(env: dict[str, str], api: Api, port: ReservedPort) -> dict[str, str]:
    """Return an environment in which everything works."""
    address = {"HOST": "127.0.0.1", "PORT": str(port.number)}
    return env | {"GITHUB_API_URL": api.origin} | address


def lines(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the last line of each part, its mark first."""
    found = {}
    for line in ended.stdout.splitlines():
        mark, part, text = line[:6].strip(), line[8:21].strip(), line[23:]
        found[part] = f"{mark}: {text}"
    return found


def probe(env: dict[str, str], **changes: str) -> list[Verdict]:
    """Return what is found of a store."""
    return list(probe_store(from_env(env | changes)))


def through(server: ForbiddingS3, s3: S3Server) -> dict[str, str]:
    """Return the variables of a new bucket behind a server that forbids."""
    bucket = s3.create_bucket()
    return s3.variables | {"AWS_ENDPOINT_URL": server.origin, "STORAGE_URL": f"s3://{bucket}/sessions"}


def without_store(env: dict[str, str]) -> dict[str, str]:
    """Return the environment without its store."""
    return {name: value for name, value in env.items() if name != "STORAGE_URL"}


def test_what_works_is_told_line_by_line(
    check_env: dict[str, str], origin: Repository, model: Model, sessions: SessionFolder
) -> None:
    """Every part is there, the status is 0, and nothing is left in the store or the scratch space."""
    model.script(Say.json(title="Add dark mode toggle", slug="add-dark-mode"))
    ended = run("check", "--repo-url", origin.url, **check_env, **MODEL)
    found = lines(ended)
    assert ended.returncode == 0, ended.stdout
    assert list(found) == [
        *("configuration", "scratch space", "port", "sandbox", "session store"),
        *("git host", "repository", "GitHub's API", "model"),
    ]
    assert found["repository"].endswith("it has 1 branch")
    assert found["GitHub's API"] == "ok: the token has the scopes repo, workflow"
    assert (
        found["session store"] == f"ok: {sessions.url}: it reads, writes, and compares before it overwrites"
    )
    assert not any(path.is_file() for path in sessions.path.rglob("*"))
    assert list(Path(check_env["TMP_DIR"]).iterdir()) == []


def test_a_variable_that_cannot_be_read_ends_it() -> None:
    """It is named, and the status is 1."""
    ended = run("check", JOB_TIMEOUT="soon")
    assert ended.returncode == 1
    assert lines(ended).keys() == {"configuration"}
    assert "JOB_TIMEOUT" in ended.stdout


def test_a_port_that_is_taken_fails(check_env: dict[str, str]) -> None:
    """Unless a GitHub Worker has it, which is what was wanted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = run("check", **(check_env | {"PORT": str(listener.getsockname()[1])}))
    assert ended.returncode == 1
    assert lines(ended)["port"].startswith("failed: ")


def test_a_port_of_a_worker_is_told(check_env: dict[str, str], worker: Worker) -> None:
    """With what the worker does."""
    ended = run("check", **(check_env | {"PORT": str(worker.port)}))
    assert lines(ended)["port"] == f"note: {worker.port} is a GitHub Worker's already, which is idle"


@pytest.mark.parametrize("etags", [True, False])
def test_a_storage_worker_is_probed(env: dict[str, str], etags: bool) -> None:
    """It compares by ETags, or by what it says of a session."""
    with StorageWorker(etags=etags) as storage:
        found = probe(without_store(env), STORAGE_WORKER_URL=storage.origin)
    assert found == [works("it reads, writes, and compares before it overwrites")]


@pytest.mark.parametrize(
    ("forbidden", "hides", "right"),
    [
        ({"PUT"}, False, "s3:PutObject"),
        ({"GET"}, False, "s3:GetObject"),
        (set(), True, "s3:ListBucket"),
    ],
)
def test_the_right_that_a_store_misses_is_named(
    env: dict[str, str], s3: S3Server, forbidden: set[str], hides: bool, right: str
) -> None:
    """In the store's own word for it."""
    with ForbiddingS3(s3.endpoint, forbidden, hides=hides) as server:
        [verdict, *_] = probe(env, **through(server, s3))
    assert verdict.mark == "failed"
    assert f"this needs the right {right}" in verdict.text


def test_a_probe_that_cannot_be_deleted_is_told(env: dict[str, str], s3: S3Server) -> None:
    """A worker never deletes, so that this alone is no failure."""
    with ForbiddingS3(s3.endpoint, {"DELETE", "POST"}) as server:
        [verdict, left] = probe(env, **through(server, s3))
    assert (verdict.mark, left.mark) == ("ok", "note")
    assert "github-worker-check-" in left.text


def test_a_store_that_does_not_compare_fails(env: dict[str, str], s3: S3Server) -> None:
    """Workers would undo each other's work."""
    with ForbiddingS3(s3.endpoint, set()) as server:
        server.ignores_conditions = True
        [verdict] = probe(env, **through(server, s3))
    assert verdict.mark == "failed"
    assert "does not compare before it overwrites" in verdict.text


def test_a_store_that_is_away_fails(env: dict[str, str]) -> None:
    """With its reason."""
    [verdict, _] = probe(without_store(env), STORAGE_WORKER_URL=NOBODY)
    assert verdict.mark == "failed"


@pytest.mark.parametrize(
    ("scopes", "verdict"),
    [
        ("repo, workflow", works("the token has the scopes repo, workflow")),
        (
            "repo",
            works("the token has the scopes repo; to push changes of .github/workflows it lacks workflow"),
        ),
        (
            "public_repo",
            note("the token has the scope public_repo alone: private repositories need repo"),
        ),
        ("gist", fails("the token lacks the scope repo; it has gist")),
        ("", fails("the token lacks the scope repo; it has none")),
    ],
)
async def test_the_scopes_of_a_token_are_told(
    check_env: dict[str, str], api: Api, scopes: str, verdict: Verdict
) -> None:
    """And what they do not suffice for."""
    api.scopes[WRITE_TOKEN] = scopes
    assert await reach_forge(from_env(check_env), Secret(WRITE_TOKEN)) == verdict


async def test_a_fine_grained_token_has_no_scopes(check_env: dict[str, str], api: Api) -> None:
    """GitHub does not tell what it may do, so that it is told what it needs."""
    api.scopes[WRITE_TOKEN] = None
    verdict = await reach_forge(from_env(check_env), Secret(WRITE_TOKEN))
    assert verdict.mark == "ok"
    assert "it needs contents and pull requests" in verdict.text


async def test_a_token_that_is_refused_fails(check_env: dict[str, str]) -> None:
    """In words; without a token the API is only reached."""
    settings = from_env(check_env)
    refused = await reach_forge(settings, Secret("old-token-0123456789"))
    assert (refused.mark, "does not take the token" in refused.text) == ("failed", True)
    assert await reach_forge(settings, None) == works(
        f"{settings.github_api_url} answers; no GITHUB_TOKEN to try"
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://example.com/a/b", "GIT_ALLOWED_HOSTS does not allow https://example.com"),
        ("nowhere", "--repo-url must be https://host/owner/repo"),
    ],
)
async def test_a_repository_that_may_not_be_asked_fails(
    check_env: dict[str, str], url: str, told: str
) -> None:
    """Before a token is sent."""
    verdict = await reach_repository(from_env(check_env), url, Secret(WRITE_TOKEN))
    assert verdict.mark == "failed"
    assert verdict.text.startswith(told)


async def test_hosts_are_reached_or_not(git_server: GitServer, check_env: dict[str, str]) -> None:
    """Each by its own words; all of them cannot be."""
    settings = from_env(check_env)
    assert (await reach_host(settings, git_server.origin)).mark == "ok"
    assert (await reach_host(settings, NOBODY)).mark == "failed"
    assert (await reach_host(settings, "*")).mark == "note"


def test_what_fails_is_told_line_by_line(check_env: dict[str, str], git_server: GitServer) -> None:
    """Each part by its name; a token is not shown, a sandbox that is off is a note, and the status is 1."""
    changes = {"GITHUB_API_URL": NOBODY, "ANTHROPIC_BASE_URL": NOBODY, "SANDBOX": "off"}
    ended = run("check", "--repo-url", f"{git_server.origin}/acme/none", **(check_env | MODEL | changes))
    found = lines(ended)
    assert ended.returncode == 1
    for part in ("repository", "GitHub's API", "model"):
        assert found[part].startswith("failed: "), found
    assert found["sandbox"] == "note: off"
    assert WRITE_TOKEN not in ended.stdout


def test_the_apis_of_forges_are_asked(check_env: dict[str, str], git_server: GitServer) -> None:
    """Those of the hosts that may have a token, each by its kind."""
    hosts = f"{check_env['GIT_ALLOWED_HOSTS']},http://gitea.invalid"
    forges = f"{git_server.origin}=gitlab,http://gitea.invalid=forgejo:{NOBODY},http://b.invalid=gitea"
    found = lines(run("check", **(check_env | {"GIT_ALLOWED_HOSTS": hosts, "FORGES": forges})))
    assert found["gitlab's API"].startswith("ok: ")
    assert found["forgejo's API"].startswith("failed: ")
    assert "gitea's API" not in found


def test_a_terminal_has_colours(check_env: dict[str, str]) -> None:
    """Green for what works, unless NO_COLOR."""
    assert "\033[32mok" in run_in_terminal("check", **check_env)[1]
    assert "\033" not in run_in_terminal("check", **check_env, NO_COLOR="1")[1]


def test_without_the_server_it_says_what_to_install(check_env: dict[str, str], tmp_path: Path) -> None:
    """What is checked is the server's configuration."""
    ended = run("check", **check_env, **hide_package("starlette", tmp_path))
    assert ended.returncode == 2
    assert "pip install 'github-worker[server]'" in ended.stderr
