"""The coding worker shows every line of progress to a person, and stores it."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.callers.conftest import CodingWorker
from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.sessions import SessionFolder
from tests.support.worker import RestartLoop

_NOISE = random.Random(0).randbytes(2**20)  # noqa: S311
_JOB = {"sessionId": "s-1", "githubAccessToken": WRITE_TOKEN}


@pytest.fixture
def caller(restart_loop: RestartLoop) -> CodingWorker:
    """Return a coding worker."""
    return CodingWorker(restart_loop.base_url)


def test_a_session_s_life_has_one_line_for_each_stage(
    caller: CodingWorker, git_server: GitServer, sessions: SessionFolder
) -> None:
    """However large it is: what is counted comes in events that this caller passes over."""
    origin = git_server.seed("octo", "demo", {f"noise-{number}": _NOISE for number in range(8)})
    caller.call("init-session", **_JOB, repoUrl=origin.url, userRequest="Add dark mode")
    assert once_each(caller)
    assert {event["type"] for event in caller.passed_over} == {"transfer"}
    assert {event["stage"] for event in caller.passed_over if event.get("percent") == 100} == {
        *("downloading_session", "cloning", "uploading")
    }

    sessions.edit("s-1", {"new.txt": "new\n"})
    done = caller.call("commit-and-push", **_JOB, message="Add a file\n\nBecause.")
    assert once_each(caller)
    assert f"Committed {done['commitHash'][:7]}: Add a file" in caller.shown
    [told] = [event for event in caller.events if event.get("stage") == "committed"]
    assert told["commitHash"] == done["commitHash"]

    assert caller.call("commit-and-push", **_JOB)["skipped"]
    assert caller.shown[-1] == "There is nothing to commit"


def once_each(caller: CodingWorker) -> bool:
    """Tell whether each stage was told once, in words of its own."""
    stages = Counter(event["stage"] for event in caller.events if event["type"] == "progress")
    return set(stages.values()) == {1} and len(set(caller.shown)) == len(caller.shown)


def test_every_transfer_of_a_stage_ends_at_100(caller: CodingWorker, git_server: GitServer) -> None:
    """The last one of each stage says so, whoever reads them."""
    origin = git_server.seed("octo", "demo", {"README.md": "# Demo\n"})
    caller.call("clone-repository", sessionId="s-1", repoUrl=origin.url, accessToken=WRITE_TOKEN)
    last = {event["stage"]: event for event in caller.passed_over}
    assert [event["percent"] for event in last.values()] == [100, 100, 100]
    assert all(event["received"] == event["total"] for event in last.values())
