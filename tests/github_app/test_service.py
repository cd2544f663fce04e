"""The service with an app, as a process: what it refuses, describes, and leaves behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.github_app.conftest import made
from tests.support.app_forge import AppForge
from tests.support.faults import Hang, Meanwhile
from tests.support.github_app import private_key
from tests.support.repositories import Repository as Origin
from tests.support.worker import Worker

CALLER = "caller-token-0123456789"
Start = Callable[..., Worker]


@pytest.fixture
def start(app_env: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts a service with the app; the rest is its environment."""
    with ExitStack() as services:

        def start_one(**env: str) -> Worker:
            env = {"GITHUB_WORKER_TOKEN": CALLER, "HOST": "127.0.0.1", **env}
            worker = services.enter_context(Worker(app_env | env, tmp_path / "worker.log"))
            worker.wait_until_healthy()
            return worker

        yield start_one


def ask(worker: Worker, operation: str, **fields: Any) -> httpx.Response:
    """Ask for a job without a token for the repository, and read its stream to the end."""
    headers = {"Authorization": f"Bearer {CALLER}"}
    url = f"{worker.base_url}/{operation}"
    return httpx.post(url, json=fields, headers=headers, trust_env=False, timeout=60)


def outcome(answer: httpx.Response) -> dict[str, Any]:
    """Return the last event of a stream."""
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    event: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
    return event


@pytest.mark.parametrize("workers", ["", "2"], ids=["one job", "--workers"])
def test_a_token_is_revoked_behind_the_stream(
    start: Start, forge: AppForge, origin: Origin, workers: str
) -> None:
    """The client has its last byte before GitHub is asked, and the process ends when it is."""
    ended = threading.Event()
    forge.faults.add(Meanwhile(lambda: ended.wait(60)), "DELETE /api/v3/installation/token")
    worker = start(WORKERS=workers)
    answer = ask(worker, "clone-repository", sessionId="s1", repoUrl=origin.url)
    ended.set()
    assert outcome(answer)["type"] == "completed"
    if workers:
        worker.terminate()
    assert worker.wait(60) == 0
    assert [token.revoked for token in made(forge)] == [True]


def test_neither_key_nor_token_is_told_to_anybody(start: Start, forge: AppForge, origin: Origin) -> None:
    """Not to the caller, not to the log, not to the session: whatever a hostile API echoes."""
    worker = start(LOG_LEVEL="debug")
    answer = ask(worker, "init-session", sessionId="s1", repoUrl=origin.url, userRequest="Add a mode")
    assert outcome(answer)["pushed"]
    assert worker.wait(60) == 0
    said = answer.text + worker.log.read_text()
    secrets = [*forge.app.grants, *private_key().splitlines()[1:-1]]
    assert not [secret for secret in secrets if secret in said]
    assert "eyJ" not in said


def test_jobs_beside_each_other_have_their_own_tokens(start: Start, forge: AppForge, origin: Origin) -> None:
    """Each process makes its own, for its repository alone."""
    forge.app.installations[0].repositories.add("other")
    other = forge.seed("octo", "other")
    worker = start(WORKERS="2")
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(
            target=lambda url=url, number=number: answers.append(
                ask(worker, "clone-repository", sessionId=f"s{number}", repoUrl=url)
            )
        )
        for number, url in enumerate((origin.url, other.url))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome(answer)["type"] for answer in answers] == ["completed", "completed"]
    used = {
        (request.token, request.path.split("/")[2].removesuffix(".git"))
        for request in forge.requests
        if request.token
    }
    assert used == {(token, grant.repository.partition("/")[2]) for token, grant in forge.app.grants.items()}


def test_a_job_that_takes_too_long_leaves_no_token(start: Start, forge: AppForge, origin: Origin) -> None:
    """Its process gives the token back, although its git hangs."""
    forge.faults.add(Hang(), "git-upload-pack", times=10)
    worker = start(JOB_TIMEOUT="4")
    answer = ask(worker, "clone-repository", sessionId="s1", repoUrl=origin.url)
    assert outcome(answer)["code"] == "timeout"
    assert worker.wait(60) == 0
    assert all(token.revoked for token in made(forge))


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "outside by its URL": (
        "clone-repository",
        {"sessionId": "s1", "repoUrl": "{origin}/acme/shop"},
        "`repoUrl` says acme/shop, for which this service makes no token: bring one in `githubAccessToken`",
    ),
    "outside by its name": (
        "merge-pull-request",
        {"owner": "acme", "repo": "shop", "pullNumber": 1},
        "`owner` says acme/shop, for which this service makes no token: bring one in `githubAccessToken`",
    ),
    "another forge": (
        "merge-pull-request",
        {"repoUrl": "https://gitlab.com/octo/demo", "pullNumber": 1},
        "`githubAccessToken` is missing",
    ),
    "deeper than GitHub has it": (
        "clone-repository",
        {"sessionId": "s1", "repoUrl": "{origin}/octo/x/demo"},
        "`repoUrl` says octo/x/demo, for which this service makes no token: bring one in `githubAccessToken`",
    ),
}


def test_a_repository_outside_is_refused_before_anything_is_touched(
    start: Start, forge: AppForge, origin: Origin
) -> None:
    """The refusal names the field; GitHub and the remote hear nothing, and the worker is still there."""
    worker = start(GIT_ALLOWED_HOSTS=f"{forge.origin},gitlab.com")
    for operation, fields, words in REFUSED.values():
        url = str(fields.get("repoUrl", "")).replace("{origin}", forge.origin)
        answer = ask(worker, operation, **fields | ({"repoUrl": url} if url else {}))
        assert (answer.status_code, answer.json()["message"]) == (400, words)
    assert forge.requests == []
    assert worker.exit_status is None


def test_its_description_lets_the_token_be_absent(start: Start) -> None:
    """As the service does: a request may have one token at most."""
    described = httpx.get(f"{start().base_url}/openapi.json", trust_env=False).json()
    for name in ("CommitAndPush", "CreateBranch", "InitSession", "MergePullRequest", "CloneRepository"):
        schema = described["components"]["schemas"][name]
        assert "oneOf" not in schema
        assert schema["not"] == {"required": ["accessToken", "githubAccessToken"]}
        assert not {"accessToken", "githubAccessToken"} & set(schema["required"])


def test_without_an_app_a_token_is_missing_as_ever(app_env: dict[str, str], tmp_path: Path) -> None:
    """To the letter."""
    env = {name: text for name, text in app_env.items() if not name.startswith("GITHUB_APP_")}
    with Worker(env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        for absent in ({}, {"githubAccessToken": None}, {"githubAccessToken": ""}):
            answer = ask(worker, "commit-and-push", sessionId="s1", **absent)
            assert answer.status_code == 400
            words = "is missing" if not absent else "must be a string"
            assert answer.json()["message"].startswith(f"`githubAccessToken` {words}")
