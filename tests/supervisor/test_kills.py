"""SIGKILL of a job's process at many moments, beside jobs that go on, and the same request again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import WRITE_TOKEN
from tests.life.conftest import events
from tests.supervisor.conftest import children, eventually
from tests.support.git_server import GitServer
from tests.support.sessions import SessionFolder
from tests.support.worker import Worker

SEED, KILLS, KILLS_OF_ONE_REQUEST = 20261121, 50, 5


@pytest.fixture
def service(worker_env: dict[str, str], tmp_path: Path) -> Iterator[Worker]:
    """Yield a service of two workers."""
    with Worker(worker_env | {"WORKERS": "2"}, tmp_path / "worker.log") as service:
        service.wait_until_healthy()
        yield service


def ask(service: Worker, operation: str, **fields: Any) -> list[dict[str, Any]]:
    """Do a job to its end, and return its events."""
    body = {"githubAccessToken": WRITE_TOKEN, **fields}
    answer = httpx.post(f"{service.base_url}/{operation}", json=body, trust_env=False, timeout=30)
    return events(answer.text)


def kill_after(service: Worker, seconds: float, **fields: Any) -> None:
    """Ask for a commit, and kill the process that makes it, which is there already, so many seconds later."""
    _, *spare = sorted(children(service.pid))  # the first one is the acceptor
    body = {"githubAccessToken": WRITE_TOKEN, **fields}
    url = f"{service.base_url}/commit-and-push"
    alarm = time.monotonic() + seconds
    with suppress(httpx.TransportError), httpx.stream("POST", url, json=body, trust_env=False, timeout=30):
        time.sleep(max(0.0, alarm - time.monotonic()))
        for child in spare:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def test_killed_at_any_moment_a_commit_is_made_once(
    service: Worker, git_server: GitServer, sessions: SessionFolder, worker_env: dict[str, str]
) -> None:
    """Fifty kills, spread over the time that a job takes, five for each request before it may complete."""
    origin = git_server.seed("octo", "demo", {"README.md": "# Demo\n"})
    session = "session-abcd1234"
    started = ask(service, "init-session", sessionId=session, repoUrl=origin.url, userRequest="Add a mode")
    branch = started[-1]["branchName"]
    chance = random.Random(SEED)  # noqa: S311 (no secret)
    moments = [0.4 * (number + chance.random()) / KILLS for number in range(KILLS)]
    chance.shuffle(moments)
    for number in range(KILLS // KILLS_OF_ONE_REQUEST):
        sessions.edit(session, {f"file-{number}.txt": "edited\n"})
        fields = {"sessionId": session, "requestId": f"r-{number}"}
        for _ in range(KILLS_OF_ONE_REQUEST):
            kill_after(service, moments.pop(), **fields)
        last = ask(service, "commit-and-push", **fields)[-1]
        assert (last["type"], last.get("filesChanged")) == ("completed", 1), last
        assert len(origin.log(branch)) == 2 + number
        assert origin.branches()[branch] == last["commitHash"]
        assert origin.read(branch, f"file-{number}.txt") == b"edited\n"
    eventually(lambda: len(children(service.pid)) == 3)
    service.terminate()
    assert service.wait(5) == 0
    assert not list(Path(worker_env["TMP_DIR"]).glob("*github-worker-*"))
