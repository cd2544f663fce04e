"""Orders done in a repository: branches, pull requests, reviews, questions, and what can end them early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from examples.coding.agent import Agent
from examples.coding.task import Coder
from examples.lab import Lab
from examples.queue.config import WorkerConfig
from examples.queue.crew import Queue, queue
from examples.queue.executor import Clarification, TaskExecutor
from examples.queue.messages import ClaimedOrder, TaskType
from examples.queue.worker import Worker
from github_worker_client import GitHubWorker
from github_worker_client.sessions import SessionStore

WRITES = "echo run >>$LOG; cat >>$PROMPTS; echo 'x = 1' >hello/theme.py; echo Added a theme"
ASKS = """
cat >prompt.txt; echo run >>$LOG
if grep -q 'The answer is' prompt.txt; then
    grep 'The answer is' prompt.txt >answer.txt; echo Done as you say
else
    echo one >first.txt; echo Looked around; echo 'QUESTION: SQLAlchemy or raw SQL?'
fi"""


class Setting:
    """A backend and a lab, and the worker of a test."""

    def __init__(self, lab: Lab, backend: Queue, stack: AsyncExitStack) -> None:
        self.lab, self.backend, self._stack = lab, backend, stack

    async def executor(self, script: str, config: WorkerConfig) -> TaskExecutor:
        """Return what does orders by a script."""
        lab, stack = self.lab, self._stack
        github = await stack.enter_async_context(GitHubWorker(lab.worker_url, token=lab.worker_token))
        env = {"LOG": str(lab.folder / "runs"), "PROMPTS": str(lab.folder / "prompts")}
        coder = Coder(github, SessionStore(lab.store_url), Agent(["sh", "-c", script], env, time_limit=60))
        redis = await stack.enter_async_context(self.backend.redis_of_workers())
        clarification = Clarification(redis, config.clarification_timeout)
        return TaskExecutor(coder, clarification, lab.token, config.specializations)

    async def start(self, script: str = WRITES, kind: TaskType = "feature", **fields: Any) -> None:
        """Start a worker whose agent is a script; it is stopped at the test's end."""
        config = self.backend.config(worker_type=kind, github_token=self.lab.token, **fields)
        worker = Worker(config, await self.executor(script, config))
        running = asyncio.create_task(worker.run())

        async def end() -> None:
            worker.stop()
            await running

        self._stack.push_async_callback(end)

    async def enqueue(self, **order: Any) -> str:
        """Put an order for the lab's repository into its queue."""
        return await self.backend.enqueue(repository_url=self.lab.repo_url, **order)

    def runs(self) -> int:
        """Return how often the agent was run."""
        return len((self.lab.folder / "runs").read_text().splitlines())


@pytest.fixture
async def setting(lab: Lab, tmp_path: Path) -> AsyncIterator[Setting]:
    """Yield a lab and a backend without workers."""
    async with queue(tmp_path) as backend, AsyncExitStack() as stack:
        yield Setting(lab, backend, stack)


@pytest.mark.parametrize(
    ("permission", "status", "drafts"),
    [
        ("autonomous", "completed", []),
        ("supervised", "completed", [False]),
        ("human-required", "awaiting_approval", [True]),
    ],
)
async def test_the_permission_says_what_becomes_of_an_order(
    setting: Setting, permission: str, status: str, drafts: list[bool]
) -> None:
    """It is pushed in any case; supervision opens a pull request; a draft and the order wait for a person."""
    await setting.start()
    id = await setting.enqueue(permission_level=permission)
    told = await setting.backend.until(id, "completed", "failed", "awaiting_approval")
    assert told["status"] == status, told
    result, lab = told["result"], setting.lab
    assert [opened.draft for opened in lab.pull_requests] == drafts
    assert (result["pull_request"] is not None) == bool(drafts)
    assert lab.repository.branches()[result["branch"]] == result["commit"]
    assert (result["output"], result["files_modified"]) == ("Added a theme", ["hello/theme.py"])


async def test_an_agent_is_told_what_its_task_is(setting: Setting) -> None:
    """The type says how to go about it; description, context and the worker's specializations follow."""
    kinds: tuple[TaskType, ...] = ("feature", "bugfix", "test", "docs", "refactor")
    for kind in kinds:
        await setting.start(kind=kind, specializations=["python", "redis"])
        id = await setting.enqueue(task_type=kind, permission_level="autonomous", context=f"For {kind}.")
        told = await setting.backend.until(id, "completed", "failed")
        assert told["status"] == "completed", told
    prompts = (setting.lab.folder / "prompts").read_text()
    for words in ("Implement the feature", "Find the cause", "Write the tests", "documentation", "Improve"):
        assert prompts.count(words) == 1
    assert prompts.count("python, redis") == prompts.count("Add a dark mode toggle") == len(kinds)
    assert "For refactor." in prompts


async def test_a_review_reads_a_clone_and_pushes_nothing(setting: Setting) -> None:
    """It sees the branch that is asked for; what it changes there is thrown away."""
    lab = setting.lab
    lab.repository.branch("proposal")
    lab.repository.commit({"hello/new.py": "y = 2\n"}, branch="proposal")
    before = lab.repository.branches()
    await setting.start("echo spoilt >README.md; cat hello/new.py; echo Looks good to me", "review")
    id = await setting.enqueue(task_type="review", branch_name="proposal")
    told = await setting.backend.until(id, "completed", "failed")
    assert told["status"] == "completed", told
    assert (told["result"]["output"], told["result"]["commit"]) == ("Looks good to me", before["proposal"])
    assert lab.repository.branches() == before
    async with SessionStore(lab.store_url).checkout(id, read_only=True) as session:
        assert "greets" in (session.repository / "README.md").read_text()


@pytest.mark.parametrize("kind", ["review", "bugfix"])
async def test_a_branch_that_is_not_there_is_not_another_one(setting: Setting, kind: TaskType) -> None:
    """The order fails before an agent sees the default branch in its place."""
    await setting.start(kind=kind)
    id = await setting.enqueue(task_type=kind, branch_name="of-old")
    told = await setting.backend.until(id, "completed", "failed")
    assert told["status"] == "failed", told
    assert "no branch of-old" in told["result"]["error"]
    assert not (setting.lab.folder / "runs").exists()


async def test_an_agent_asks_and_goes_on_with_the_answer(setting: Setting) -> None:
    """The question is the design's message; the files of before and after it are in one commit."""
    await setting.start(ASKS)
    id = await setting.enqueue(task_id="task-7")
    asked = await setting.backend.question()
    assert (asked.work_order_id, asked.task_id, asked.conversation_id) == (id, "task-7", "task-7")
    assert (asked.request_type, asked.message) == ("clarification", "SQLAlchemy or raw SQL?")
    assert asked.context == {"files_modified": ["first.txt", "prompt.txt"], "output": asked.context["output"]}
    assert (asked.expires_at - asked.created_at).total_seconds() == 1800
    await setting.backend.answer(asked, "Raw SQL")
    told = await setting.backend.until(id, "completed", "failed")
    assert told["status"] == "completed", told
    result, repository = told["result"], setting.lab.repository
    assert repository.read(result["branch"], "answer.txt") == b"The answer is: Raw SQL\n"
    assert result["files_modified"] == ["answer.txt", "first.txt", "prompt.txt"]
    assert len(repository.log(result["branch"])) == 2
    assert b"SQLAlchemy or raw SQL?" in repository.read(result["branch"], "prompt.txt")


async def test_a_review_may_ask_too(setting: Setting) -> None:
    """It is started again with the answer."""
    await setting.start(ASKS, "review")
    id = await setting.enqueue(task_type="review")
    await setting.backend.answer(await setting.backend.question(), "Raw SQL")
    told = await setting.backend.until(id, "completed", "failed")
    assert told["result"]["output"] == "Done as you say"


async def test_an_answer_that_never_comes_fails_the_order_and_loses_nothing(setting: Setting) -> None:
    """The question is named; answered late and tried again, neither it nor the work is done again."""
    await setting.start(ASKS, clarification_timeout=0.2)
    id = await setting.enqueue()
    told = await setting.backend.until(id, "completed", "failed")
    assert told["status"] == "failed", told
    assert "SQLAlchemy or raw SQL?" in told["result"]["error"]
    await setting.backend.answer(await setting.backend.question(), "Raw SQL")
    await setting.backend.decide(id, "retry")
    told = await setting.backend.until(id, "completed", "failed")
    assert told["status"] == "completed", told
    assert (setting.runs(), await setting.backend.redis.llen("worker_requests")) == (2, 0)
    assert {"first.txt", "answer.txt"} <= set(setting.lab.repository.files(told["result"]["branch"]))


async def test_what_a_dying_agent_did_is_kept(setting: Setting) -> None:
    """The order fails and nothing is pushed; tried again it goes on from there."""
    before = setting.lab.repository.branches()
    dies = "if [ -e half.txt ]; then echo Finished; else echo half >half.txt; echo crashed; kill -9 $$; fi"
    await setting.start(dies)
    id = await setting.enqueue()
    told = await setting.backend.until(id, "completed", "failed")
    assert (told["status"], told["result"]["session_id"]) == ("failed", id)
    assert "crashed" in told["result"]["error"]
    assert {setting.lab.repository.log(name)[0].sha for name in setting.lab.repository.branches()} == set(
        before.values()
    )
    await setting.backend.decide(id, "retry")
    told = await setting.backend.until(id, "completed", "failed")
    assert told["status"] == "completed", told
    assert "half.txt" in setting.lab.repository.files(told["result"]["branch"])


async def test_work_whose_push_is_refused_is_pushed_later(setting: Setting) -> None:
    """The order fails with the remote's words; tried again it pushes the same work, by no second agent."""
    await setting.start()
    setting.lab.repository.reject_pushes("the office is closed")
    id = await setting.enqueue()
    told = await setting.backend.until(id, "completed", "failed")
    assert "the office is closed" in told["result"]["error"], told
    assert setting.lab.pull_requests == []
    setting.lab.repository.accept_pushes()
    await setting.backend.decide(id, "retry")
    told = await setting.backend.until(id, "completed", "failed")
    assert told["status"] == "completed", told
    assert (setting.runs(), len(setting.lab.repository.log(told["result"]["branch"]))) == (1, 2)
    assert len(setting.lab.pull_requests) == 1


async def test_an_order_in_two_hands_is_done_once(setting: Setting) -> None:
    """A worker that does not know yet that it lost its claim: both agents work, and one's work is taken."""
    meet = "echo run >>$LOG; while [ $(wc -l <$LOG) -lt 2 ]; do sleep 0.05; done; echo $$ >x; echo Done"
    executor = await setting.executor(meet, setting.backend.config())
    order = ClaimedOrder(
        task_id="task-1",
        task_type="feature",
        repository_url=setting.lab.repo_url,
        description="Add a dark mode toggle",
        execution_id="of-no-use",
        lease=60,
    )
    first, second = await asyncio.gather(executor.execute(order, "w1"), executor.execute(order, "w2"))
    assert first == second
    assert (len(setting.lab.repository.log(first["branch"])), len(setting.lab.pull_requests)) == (2, 1)
    assert setting.runs() == 2


async def test_an_order_that_changes_nothing_makes_no_commit(setting: Setting) -> None:
    """It is completed, and says so."""
    await setting.start("echo Nothing to do")
    id = await setting.enqueue()
    told = await setting.backend.until(id, "completed", "failed")
    result = told["result"]
    assert (told["status"], result["commit"], result["pull_request"]) == ("completed", None, None)
    assert setting.lab.pull_requests == []


async def test_the_token_is_in_nothing_that_is_told(setting: Setting) -> None:
    """An agent that came by it cannot tell it to the backend, the controller, or the pull request."""
    await setting.start(f"echo a >a; echo 'QUESTION: is it {setting.lab.token}?'")
    id = await setting.enqueue()
    asked = await setting.backend.question()
    assert asked.message == "is it ***?"
    await setting.start(f"echo the token is {setting.lab.token}; exit 1", "docs")
    failed = await setting.backend.until(await setting.enqueue(task_type="docs"), "failed")
    assert "the token is ***" in failed["result"]["error"]
    assert setting.lab.token not in str(await setting.backend.order(id)) + str(asked)
    await setting.backend.redis.set(f"request:{id}-1", "not JSON")  # ends the first order
    await setting.backend.answer(asked, "no")
    await setting.backend.until(id, "failed")
