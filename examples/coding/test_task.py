"""A task from its request to a pull request, and after all that can end it in the middle."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from examples.coding.agent import Agent, claude_code
from examples.coding.task import AgentSaid, Coder, Event, Permission, StepBegan, Task, TaskFailed
from examples.lab import Lab
from github_worker_client import GitHubWorker, Progress
from github_worker_client.sessions import SessionStore
from tests.support.model import Say, UseTool

WRITES = "echo run >>$LOG; echo 'x = 1' >hello/theme.py; echo Added a theme"
STEPS = ["prepare", "code", "commit", "propose"]


@pytest.fixture
async def coder(lab: Lab) -> AsyncIterator[Coder]:
    """Yield a coder whose agent writes one file, and counts its runs in the lab's folder."""
    async with GitHubWorker(lab.worker_url, token=lab.worker_token) as worker:
        yield Coder(worker, SessionStore(lab.store_url), shell(lab, WRITES))


@pytest.fixture
def task(lab: Lab) -> Task:
    """Return a task on the lab's repository."""
    return Task("task-1", "session-1", lab.repo_url, "Add a dark mode toggle", lab.token)


def shell(lab: Lab, script: str) -> Agent:
    """Return an agent that is a script."""
    return Agent(["sh", "-c", script], {"LOG": str(lab.folder / "runs")})


def runs(lab: Lab) -> int:
    """Return how often the agent was run."""
    return len((lab.folder / "runs").read_text().splitlines())


async def test_a_task_ends_in_a_pull_request(lab: Lab, coder: Coder, task: Task) -> None:
    """One commit is on the branch, the pull request tells of it, and the events are one stream."""
    events: list[Event] = []
    result = await coder.run(task, events.append)
    (opened,) = lab.pull_requests
    assert [event.step for event in events if isinstance(event, StepBegan)] == STEPS
    assert [event.text for event in events if isinstance(event, AgentSaid)] == ["Added a theme"]
    assert {"cloning", "pushed", "pr_created"} <= {e.stage for e in events if isinstance(e, Progress)}
    assert (opened.head, opened.title, opened.body) == (
        result.branch,
        "Add Dark Mode Toggle",
        "Added a theme",
    )
    assert lab.repository.branches()[result.branch] == result.commit
    assert result.work.files == ["hello/theme.py"]
    assert lab.repository.read(result.branch, "hello/theme.py") == b"x = 1\n"


@pytest.mark.parametrize(
    ("permission", "drafts"),
    [(Permission.AUTONOMOUS, []), (Permission.SUPERVISED, [False]), (Permission.HUMAN_REQUIRED, [True])],
)
async def test_the_permission_says_what_becomes_of_the_work(
    lab: Lab, coder: Coder, task: Task, permission: Permission, drafts: list[bool]
) -> None:
    """It is pushed in any case; supervision opens a pull request, a draft where a person decides."""
    result = await coder.run(replace(task, permission=permission), lambda _: None)
    assert lab.repository.branches()[result.branch] == result.commit
    assert [opened.draft for opened in lab.pull_requests] == drafts


async def test_an_agent_that_changes_nothing_makes_no_commit(lab: Lab, coder: Coder, task: Task) -> None:
    """Without a change there is no commit and no pull request."""
    result = await replace(coder, agent=shell(lab, "echo nothing to do")).run(task, lambda _: None)
    assert (result.commit, result.pull_request, result.work.files) == (None, None, [])
    assert lab.pull_requests == []


async def test_what_a_dying_agent_did_is_kept(lab: Lab, coder: Coder, task: Task) -> None:
    """The failure says where the work is, nothing is pushed, and the next run goes on from there."""
    dying = replace(coder, agent=shell(lab, "echo half >half.txt; echo crashed; kill -9 $$"))
    with pytest.raises(TaskFailed, match=r"code: crashed; what the agent did is in the session session-1"):
        await dying.run(task, lambda _: None)
    assert all(lab.repository.log(branch)[0].subject == "Begin" for branch in lab.repository.branches())
    result = await coder.run(task, lambda _: None)
    assert {"half.txt", "hello/theme.py"} <= set(lab.repository.files(result.branch))
    assert len(lab.repository.log(result.branch)) == 2


async def test_work_whose_push_is_refused_is_not_lost(lab: Lab, coder: Coder, task: Task) -> None:
    """The commit stays in the session, and is pushed once the remote takes it, by no second agent."""
    await coder.prepare(task, lambda _: None)
    lab.repository.reject_pushes("the office is closed")
    with pytest.raises(TaskFailed, match="the office is closed") as failed:
        await coder.run(task, lambda _: None)
    assert (failed.value.step, failed.value.saved) == ("commit", True)
    lab.repository.accept_pushes()
    result = await coder.run(task, lambda _: None)
    assert len(lab.repository.log(result.branch)) == 2
    assert lab.repository.branches()[result.branch] == result.commit
    assert runs(lab) == 1


@pytest.mark.parametrize("step", STEPS)
async def test_a_task_that_is_killed_between_two_steps_goes_on_there(
    lab: Lab, coder: Coder, task: Task, step: str
) -> None:
    """Run again, it does the rest: one agent, one commit, one pull request."""

    def die(event: Event) -> None:
        if event == StepBegan(step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await coder.run(task, die)
    result = await coder.run(task, lambda _: None)
    again = await coder.run(task, lambda _: None)
    assert (again.commit, again.pull_request) == (result.commit, result.pull_request)
    assert (runs(lab), len(lab.repository.log(result.branch)), len(lab.pull_requests)) == (1, 2, 1)


async def test_a_cancelled_task_ends_its_agent(lab: Lab, coder: Coder, task: Task) -> None:
    """Cancelled while the agent works, it leaves the session as it was."""
    told = asyncio.Event()
    slow = replace(coder, agent=shell(lab, "echo x >x.txt; echo working; sleep 1000"))
    running = asyncio.create_task(slow.run(task, lambda e: told.set() if isinstance(e, AgentSaid) else None))
    await told.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    result = await coder.run(task, lambda _: None)
    assert "x.txt" not in lab.repository.files(result.branch)


async def test_two_runs_of_one_task_at_once_do_nothing_twice(lab: Lab, coder: Coder, task: Task) -> None:
    """One of them does it; the other one ends in the same result, or in a conflict that says so."""
    results = await asyncio.gather(
        *(coder.run(task, lambda _: None) for _ in range(2)), return_exceptions=True
    )
    assert all(isinstance(result, TaskFailed) or not isinstance(result, BaseException) for result in results)
    result = await coder.run(task, lambda _: None)
    assert (len(lab.repository.log(result.branch)), len(lab.pull_requests)) == (2, 1)


@pytest.mark.skipif("CLAUDE_PROGRAM" not in os.environ, reason="scripts/test-examples brings Claude Code")
async def test_claude_code_writes_a_file_that_is_in_the_pull_request(
    lab: Lab, coder: Coder, task: Task
) -> None:
    """The real program, with a model that asks for a file to be written: it is on the branch."""
    lab.model.script(
        UseTool("Write", {"file_path": "hello/dark.py", "content": "DARK = True\n"}),
        Say("Added hello/dark.py"),
    )
    agent = claude_code(
        "sk-ant-of-the-lab", program=os.environ["CLAUDE_PROGRAM"], base_url=lab.model.origin, time_limit=120
    )
    result = await replace(coder, agent=agent).run(task, lambda _: None)
    assert lab.repository.read(result.branch, "hello/dark.py") == b"DARK = True\n"
    assert lab.pull_requests[0].body == "Added hello/dark.py"
    assert result.work.agent.cost is not None
