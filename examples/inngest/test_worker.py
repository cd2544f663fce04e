"""The Inngest worker, called as Inngest's server calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from examples.coding.agent import Agent
from examples.inngest.demo import calling_worker
from examples.inngest.server import InngestServer
from examples.lab import Lab

WRITES = "echo run >>$LOG; cat >prompt.txt; echo Reading; echo 'x = 1' >hello/theme.py; echo Added a theme"
APPROVES = """echo spoilt >README.md; echo '{"approved": true, "feedback": "Fine", "issues": ["a nit"]}'"""
PASSES = """ls tests; echo '{"passed": false, "testResults": "1 failed", "bugs": ["it greets nobody"]}'"""


class Setting:
    """A worker, Inngest's server, and a lab; `agent` is what the worker runs."""

    def __init__(self, lab: Lab, server: InngestServer) -> None:
        self.lab, self.server = lab, server

    @classmethod
    async def start(cls, stack: AsyncExitStack, lab: Lab, script: str) -> Setting:
        """Start both, and let the server ask the worker for its functions."""
        server = await stack.enter_async_context(calling_worker(lab, agent(lab, script)))
        return cls(lab, server)

    def sent(self, name: str) -> list[dict[str, Any]]:
        """Return the data of the events of a name."""
        return [event["data"] for event in self.server.events if event["name"] == name]


def agent(lab: Lab, script: str) -> Agent:
    """Return an agent that is a script."""
    return Agent(["sh", "-c", script], {"LOG": str(lab.folder / "runs")}, time_limit=60)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Yield what is started in a test, and ended after it."""
    async with AsyncExitStack() as started:
        yield started


def start(lab: Lab, **data: Any) -> dict[str, Any]:
    """Return the event that starts an implementation, with all that the design gives it."""
    fields = {
        "projectId": "p1",
        "projectSlug": "hello",
        "projectPath": "/projects/hello",
        "sprintNumber": 2,
        "sprintName": "Themes",
        "handoffContent": "Add a dark theme",
        "backlogContent": "Themes",
        "architectureContent": "One page",
        "gitRepo": lab.repo_url,
        "gitBranch": "main",
    }
    return {"name": "worker/implementation.start", "data": fields | data}


def later(role: str) -> dict[str, Any]:
    """Return the event that starts a review or QA."""
    fields = {"projectId": "p1", "projectPath": "/projects/hello", "sprintNumber": 2}
    summaries = {"implementationSummary": "Added a theme", "reviewSummary": "Fine"}
    return {"name": f"worker/{role}.start", "data": fields | summaries}


async def test_an_implementation_ends_in_a_pull_request(lab: Lab, stack: AsyncExitStack) -> None:
    """The steps are called one by one, progress comes meanwhile, and the outcome is to the letter."""
    setting = await Setting.start(stack, lab, WRITES)
    assert await setting.server.run(start(lab)) == {"success": True}
    (opened,) = lab.pull_requests
    (complete,) = setting.sent("worker/implementation.complete")
    duration = complete.pop("duration")
    assert complete == {
        "projectId": "p1",
        "success": True,
        "summary": "Added a theme",
        "filesChanged": ["hello/theme.py", "prompt.txt"],
        "commitSha": lab.repository.branches()[opened.head],
        "prUrl": "https://github.com/octocat/hello-world/pull/1",
    }
    assert isinstance(duration, int)
    assert (opened.title, opened.body) == ("Sprint 2: Implementation", "Added a theme")
    assert lab.repository.log(opened.head)[0].subject == "Sprint 2 implementation"
    assert b"Add a dark theme" in lab.repository.read(opened.head, "prompt.txt")
    progress = setting.sent("worker/progress")
    assert [told["outputChunk"] for told in progress] == ["Reading", "Added a theme"]
    assert {(told["projectId"], told["role"], told["status"]) for told in progress} == {
        ("p1", "Implementer", "running")
    }
    assert setting.server.calls == 6  # five steps, and the end


async def test_the_same_run_again_does_nothing_twice(lab: Lab, stack: AsyncExitStack) -> None:
    """A run whose answers were all lost is called again from its first step: one agent, one commit."""
    setting = await Setting.start(stack, lab, WRITES)
    for _ in range(2):
        assert await setting.server.run(start(lab), run_id="01RUN") == {"success": True}
    (opened,) = lab.pull_requests
    assert len(lab.repository.log(opened.head)) == 2
    assert (lab.folder / "runs").read_text() == "run\n"


async def test_an_agent_that_dies_is_reported(lab: Lab, stack: AsyncExitStack) -> None:
    """The sprint has failed with what the agent said last, and nothing is committed."""
    setting = await Setting.start(stack, lab, "echo out of ideas; exit 1")
    assert await setting.server.run(start(lab)) == {"success": False}
    (complete,) = setting.sent("worker/implementation.complete")
    assert (complete["success"], complete["summary"]) == (False, "out of ideas")
    assert "session p1-sprint-2" in complete["error"]
    assert lab.pull_requests == []


async def test_a_push_that_is_refused_to_the_last_is_reported(lab: Lab, stack: AsyncExitStack) -> None:
    """Inngest tries the step again; after the last time the outcome says why, and where the work is."""
    setting = await Setting.start(stack, lab, WRITES)
    lab.repository.reject_pushes("the office is closed")
    assert await setting.server.run(start(lab)) == {"success": False}
    (complete,) = setting.sent("worker/implementation.complete")
    assert "the office is closed" in complete["error"]
    assert "session p1-sprint-2" in complete["error"]
    lab.repository.accept_pushes()
    assert await setting.server.run(start(lab)) == {"success": True}
    (opened,) = lab.pull_requests
    assert lab.repository.read(opened.head, "hello/theme.py") == b"x = 1\n"


async def test_without_a_repository_to_push_to_the_session_is_worked_in(
    lab: Lab, stack: AsyncExitStack
) -> None:
    """An implementation without `gitRepo` edits the project's session, and commits nothing."""
    setting = await Setting.start(stack, lab, WRITES)
    await setting.server.run(start(lab))
    before = lab.repository.branches()
    assert await setting.server.run(start(lab, gitRepo=None)) == {"success": True}
    assert lab.repository.branches() == before
    assert "commitSha" not in setting.sent("worker/implementation.complete")[1]


@pytest.mark.parametrize(
    ("role", "script", "report"),
    [
        ("review", APPROVES, {"approved": True, "feedback": "Fine", "issues": ["a nit"]}),
        ("qa", PASSES, {"passed": False, "testResults": "1 failed", "bugs": ["it greets nobody"]}),
        (
            "review",
            "echo looks good to me",
            {"approved": False, "feedback": "looks good to me", "issues": []},
        ),
        ("qa", "echo broken; exit 1", {"passed": False, "testResults": "broken", "bugs": []}),
    ],
)
async def test_review_and_qa_read_the_session_and_push_nothing(
    lab: Lab, stack: AsyncExitStack, role: str, script: str, report: dict[str, Any]
) -> None:
    """They see what was implemented; what they change is thrown away; an unreadable verdict is a no."""
    implementing = await Setting.start(stack, lab, WRITES)
    await implementing.server.run(start(lab))
    branches, archive = lab.repository.branches(), lab.session("p1-sprint-2")
    judging = await Setting.start(stack, lab, f"test -f hello/theme.py || exit 9; {script}")
    await judging.server.run(later(role))
    (complete,) = judging.sent(f"worker/{role}.complete")
    assert isinstance(complete.pop("duration"), int)
    assert complete == {"projectId": "p1", **report}
    assert (lab.repository.branches(), lab.session("p1-sprint-2")) == (branches, archive)


async def test_a_review_of_what_was_never_implemented_is_a_no(lab: Lab, stack: AsyncExitStack) -> None:
    """There is no session: the outcome says so."""
    setting = await Setting.start(stack, lab, APPROVES)
    await setting.server.run(later("review"))
    (complete,) = setting.sent("worker/review.complete")
    assert complete["approved"] is False
    assert "p1-sprint-2" in complete["feedback"]


@pytest.mark.parametrize("signature", [None, "t=1&s=00"])
async def test_who_does_not_sign_is_refused(lab: Lab, stack: AsyncExitStack, signature: str | None) -> None:
    """Without Inngest's signature nothing runs."""
    setting = await Setting.start(stack, lab, WRITES)
    headers = {"X-Inngest-Server-Kind": "cloud"} | ({"X-Inngest-Signature": signature} if signature else {})
    answer = await setting.server.call("tpml-worker-worker-implementation", b"{}", headers)
    assert answer.status_code in {401, 500}
    assert not (lab.folder / "runs").exists()


async def test_no_token_is_in_what_inngest_keeps(lab: Lab, stack: AsyncExitStack) -> None:
    """The events have no token, though the agent prints all that it finds."""
    setting = await Setting.start(stack, lab, f"env; echo {lab.token}; echo done")
    await setting.server.run(start(lab))
    assert lab.token not in str(setting.server.events)
