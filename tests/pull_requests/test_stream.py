"""The three endpoints in the worker's own life."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.support.github import TOKEN, GitHub
from tests.support.worker import Worker


def test_a_worker_takes_a_branch_to_its_base_and_exits(
    github: GitHub, env: dict[str, str], tmp_path: Path
) -> None:
    """The stream has the stages, the result twice, and no token; the process then ends with 0."""
    body = {"owner": "octocat", "repo": "hello-world", "branch": "topic", "base": "main"}
    with Worker(env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        answer = httpx.post(
            f"{worker.base_url}/auto-pull-request",
            json=body | {"accessToken": TOKEN},
            trust_env=False,
            timeout=30,
        )
        assert worker.wait() == 0
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    completed = events[-1]
    assert completed["type"] == "completed"
    assert completed["step"] == completed["data"]["step"] == "branch_deleted"
    assert completed["pr"] == {"number": 1, "htmlUrl": "https://github.com/octocat/hello-world/pull/1"}
    assert completed["mergePr"]["sha"] == github.repository.branches["main"]
    assert completed["mergeBase"]["message"] == "topic is up to date with main"
    assert TOKEN not in answer.text + (tmp_path / "worker.log").read_text()


def test_a_failure_says_what_was_achieved(github: GitHub, env: dict[str, str], tmp_path: Path) -> None:
    """The `error` event has the code, the stage, and the pull request that was opened."""
    github.repository.commit("main", "Go another way", {"src/theme.ts": "light"})
    body = {"owner": "octocat", "repo": "hello-world", "branch": "topic", "base": "main"}
    with Worker(env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        answer = httpx.post(
            f"{worker.base_url}/auto-pull-request",
            json=body | {"githubAccessToken": TOKEN},
            trust_env=False,
            timeout=30,
        )
    failed = json.loads(answer.text.strip().splitlines()[-1][6:])
    assert (failed["type"], failed["code"], failed["stage"]) == ("error", "MERGE_CONFLICT", "merging_base")
    assert failed["data"]["pr"]["number"] == 1
