"""The live service against its own description: schemathesis asks, and workers end and start meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from requests.exceptions import ConnectionError as NobodyThere
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
)

from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.github import TOKEN, GitHub
from tests.support.sessions import SessionFolder, clone, metadata, pack
from tests.support.worker import RestartLoop

EXAMPLES = settings().max_examples // 20  # a valid one takes a worker
ANSWERED = 30.0  # seconds
# The allowed hosts are configuration, and an event is not the body that schemathesis takes it for.
NOT_HELD = [positive_data_acceptance, response_schema_conformance]
TOO_LARGE = [*NOT_HELD, negative_data_rejection]  # which does not know that 413 is a refusal
POSTS = [
    "/clone-repository",
    "/create-branch",
    "/commit-and-push",
    "/init-session",
    "/create-pull-request",
    "/merge-pull-request",
    "/auto-pull-request",
]
Fields = dict[str, Any]


@pytest.fixture
def worker_env(worker_env: dict[str, str]) -> Iterator[dict[str, str]]:
    """Yield an environment with a GitHub in it, and without long waits."""
    with GitHub() as github:
        yield worker_env | {"GITHUB_API_URL": github.origin, "JOB_TIMEOUT": "20", "GIT_TIMEOUT": "5"}


@pytest.fixture
def places(git_server: GitServer, sessions: SessionFolder, tmp_path: Any) -> list[Fields]:
    """Return fields that name what there is: a session with changes, a repository, a pull request's place."""
    origin = git_server.seed("octo", "demo", {"README.md": "# Demo\n"})
    worktree = clone(origin.url, WRITE_TOKEN, tmp_path / "demo")
    (worktree / "new.txt").write_text("new\n")
    sessions.put("held", pack(metadata("held"), worktree))
    git = {"sessionId": "held", "repoUrl": origin.url, "githubAccessToken": WRITE_TOKEN}
    return [{}, git, {"owner": "octocat", "repo": "hello-world", "githubAccessToken": TOKEN}]


@pytest.mark.parametrize("path", [*POSTS, "/health", "/status"])
def test_the_service_is_as_it_describes_itself(
    path: str, restart_loop: RestartLoop, places: list[Fields]
) -> None:
    """Valid or not, a request is answered in time and as described, and every worker ends with status 0."""
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{restart_loop.base_url}/openapi.json")
    operation = schema[path]["POST" if path in POSTS else "GET"]
    modes = GenerationMode if path in POSTS else [GenerationMode.POSITIVE]
    streams: list[str] = []

    @settings(max_examples=EXAMPLES)
    @given(st.one_of(*map(operation.as_strategy, modes)), st.sampled_from(places))
    def ask(case: Case[Any], place: Fields) -> None:
        if case.meta and case.meta.generation.mode.is_positive and isinstance(case.body, dict):
            case.body.update({name: place[name] for name in case.body.keys() & place.keys()})
        response = answer(case, restart_loop)
        case.validate_response(
            response, excluded_checks=NOT_HELD if response.status_code != 413 else TOO_LARGE
        )
        if response.headers["content-type"][0].startswith("text/event-stream"):
            streams.append(response.content.decode())
            assert_stream(streams[-1], schema.raw_schema, path)

    ask()
    restart_loop.wait_until_ended(len(streams))
    assert {generation.exit_status for generation in restart_loop.ended} <= {0}
    restart_loop.wait_until_healthy()


def answer(case: Case[Any], loop: RestartLoop) -> Response:
    """Ask the worker of this moment, or the next one."""
    deadline = time.monotonic() + ANSWERED
    while True:
        try:
            return case.call(base_url=loop.base_url, timeout=ANSWERED)
        except NobodyThere:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def assert_stream(text: str, description: Fields, path: str) -> None:
    """Fail unless each event is as described, and the last one alone is an outcome."""
    content = description["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]
    validator = Draft202012Validator(content["schema"] | {"components": description["components"]})
    lines = [line for line in text.split("\n") if line and not line.startswith(":")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    for event in events:
        validator.validate(event)
    assert [event["type"] in ("completed", "error") for event in events] == [False] * (len(events) - 1) + [
        True
    ]
    assert events[-1].get("code") not in ("internal", "timeout")
