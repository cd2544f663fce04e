"""What a worker does with an order, by its type: a branch is written and pushed, or a clone is reviewed.

An agent asks by ending what it says with a line `QUESTION: …`. The question goes to the controller over
Redis, and the agent is started again with the answer. Questions and answers stay in Redis, and the agent's
work in the session, so whoever does an order after another one asks and does nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from redis.asyncio import Redis

from examples.coding.agent import AgentResult
from examples.coding.task import AgentSaid, Coder, Event, StepBegan, Task, TaskFailed, Work
from examples.queue.messages import REQUESTS, ClaimedOrder, ControllerResponse, TaskType, WorkerRequest
from github_worker_client.sessions import SessionConflict

PROMPTS: dict[TaskType, str] = {
    "feature": "Implement the feature that is described below, with tests for it.",
    "bugfix": "Find the cause of the bug that is described below, fix it, and add a test that fails without.",
    "test": "Write the tests that are described below, and change nothing else.",
    "docs": "Write the documentation that is described below, and change no code.",
    "refactor": "Improve the code as it is described below, without a change of what it does.",
    "review": "Review this repository as it is described below: errors, security, clarity. Change nothing, "
    "and say what you found, with files and lines.",
}
QUESTION = "QUESTION:"
MAY_ASK = f"""If you cannot go on without an answer, end with a line that begins with `{QUESTION}`. You will
be started again, in the repository as you leave it, with the answer."""

_ASK = """
if redis.call('SETNX', KEYS[1], ARGV[1]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[1]) end
return redis.call('GET', KEYS[1])
"""
logger = logging.getLogger("queue-worker")
Answers = list[tuple[WorkerRequest, str]]


class OrderFailed(Exception):
    """An order cannot be done; the message says why."""


@dataclass(frozen=True)
class Clarification:
    """Asks the controller, and waits `timeout` seconds for what it answers."""

    redis: Redis  # which decodes its responses
    timeout: float

    async def answers(self, order: ClaimedOrder) -> Answers:
        """Return what was asked and answered so far, whichever worker had the order then."""
        found: Answers = []
        while (asked := await self.redis.get(f"request:{_name(order, len(found))}")) is not None:
            request = msgspec.json.decode(asked, type=WorkerRequest)
            if (answer := await self._answer(request)) is None:
                break
            found.append((request, answer))
        return found

    async def ask(
        self, order: ClaimedOrder, worker_id: str, number: int, question: str, context: dict[str, Any]
    ) -> tuple[WorkerRequest, str]:
        """Ask an order's question of a number, unless it was asked already, and return the answer to it."""
        now = datetime.now(UTC)
        request = WorkerRequest(
            id=_name(order, number),
            worker_id=worker_id,
            work_order_id=order.id,
            task_id=order.task_id,
            message=question,
            context=context,
            created_at=now,
            expires_at=now + timedelta(seconds=self.timeout),
            conversation_id=order.task_id,
        )
        keys = (f"request:{request.id}", REQUESTS)
        asked = await self.redis.eval(_ASK, len(keys), *keys, msgspec.json.encode(request))
        request = msgspec.json.decode(asked, type=WorkerRequest)
        while (answer := await self._answer(request)) is None:
            if datetime.now(UTC) >= request.expires_at:
                raise OrderFailed(f"nobody has answered in time: {request.message}")
            # Moved from the list to the same list, it is waited for and stays there for who comes later.
            own = f"response:{request.id}"
            await self.redis.blmove(own, own, 1, "LEFT", "LEFT")
        return request, answer

    async def _answer(self, request: WorkerRequest) -> str | None:
        answer = await self.redis.lindex(f"response:{request.id}", 0)
        return None if answer is None else msgspec.json.decode(answer, type=ControllerResponse).message


@dataclass(frozen=True)
class TaskExecutor:
    """Does orders with the coder; `token` may push to their repositories and open pull requests."""

    coder: Coder
    clarification: Clarification
    token: str
    specializations: Sequence[str] = ()

    async def execute(self, order: ClaimedOrder, worker_id: str) -> dict[str, Any]:
        """Do an order, or the rest of one, and return what came of it."""
        does = self._review if order.task_type == "review" else self._write
        return {"status": "success", "session_id": order.id, **await does(order, worker_id)}

    async def _write(self, order: ClaimedOrder, worker_id: str) -> dict[str, Any]:
        """Write on a branch of its own, push it, and open the pull request that the permission asks for."""
        task = Task(
            id=order.id,
            session_id=order.id,
            repo_url=order.repository_url,
            base=order.branch_name,
            request=order.description,
            permission=order.permission_level,
            token=self.token,
        )
        tell = partial(_log, order.id)
        branch = await self.coder.prepare(task, tell)
        _check_branch(order, branch.base)
        files: set[str] = set()
        answers = await self.clarification.answers(order)
        while True:
            prompt = self._prompt(order, answers)
            work = await self._code(replace(task, id=_name(order, len(answers)), prompt=prompt))
            files.update(work.files, *(asked.context["files_modified"] for asked, _ in answers))
            if (question := _question(work.agent)) is None:
                break
            context = {"files_modified": sorted(files), "output": work.agent.summary}
            answers.append(await self.clarification.ask(order, worker_id, len(answers), question, context))
        commit = await self.coder.commit(task, tell)
        pull_request = await self.coder.propose(task, branch, work, tell)
        nothing = commit.skipped and pull_request is None
        pushed = {"branch": branch.name, "commit": None if nothing else commit.commit_hash}
        work_done = {"output": work.agent.summary, "files_modified": sorted(files)}
        return work_done | pushed | {"pull_request": pull_request}

    async def _code(self, task: Task) -> Work:
        while True:
            try:
                return await self.coder.code(task, partial(_log, task.session_id))
            except TaskFailed as error:
                if not isinstance(error.__cause__, SessionConflict):
                    raise
            # A worker that had lost the claim and did not know it yet has saved: its work is there now.

    async def _review(self, order: ClaimedOrder, worker_id: str) -> dict[str, Any]:
        """Let the agent read a clone; what it changes there is thrown away, and nothing is pushed."""
        cloned = await self.coder.worker.clone_repository(
            session_id=order.id,
            repo_url=order.repository_url,
            branch=order.branch_name,
            access_token=self.token,
            request_id=f"{order.id}-clone",
        )
        _check_branch(order, cloned.branch)

        def say(text: str) -> None:
            _log(order.id, AgentSaid(text))

        answers = await self.clarification.answers(order)
        while True:
            async with self.coder.store.checkout(order.id, read_only=True) as session:
                prompt = self._prompt(order, answers)
                agent = await self.coder.agent.run(prompt, session.repository, say)
            if not agent.success:
                raise OrderFailed(agent.summary)
            if (question := _question(agent)) is None:
                return {"output": agent.summary, "files_modified": [], "commit": cloned.commit}
            context = {"files_modified": [], "output": agent.summary}
            answers.append(await self.clarification.ask(order, worker_id, len(answers), question, context))

    def _prompt(self, order: ClaimedOrder, answers: Answers) -> str:
        parts = [PROMPTS[order.task_type], order.description, order.context]
        if self.specializations:
            parts.insert(1, f"You know well: {', '.join(self.specializations)}.")
        for asked, answer in answers:
            parts.append(f"You have asked: {asked.message}\nThe answer is: {answer}")
        return "\n\n".join(filter(None, [*parts, MAY_ASK]))


def _question(agent: AgentResult) -> str | None:
    *_, last = agent.summary.strip().splitlines() or [""]
    return last.removeprefix(QUESTION).strip() if last.startswith(QUESTION) else None


def _check_branch(order: ClaimedOrder, found: str) -> None:
    if order.branch_name not in {None, found}:  # GitHub Worker takes the default one where there is no such
        raise OrderFailed(f"the repository has no branch {order.branch_name}")


def _name(order: ClaimedOrder, number: int) -> str:
    return f"{order.id}-{number}"


def _log(order_id: str, event: Event) -> None:
    match event:
        case StepBegan():
            logger.info("order %s: %s", order_id, event.step)
        case AgentSaid():
            logger.info("order %s: the agent: %s", order_id, event.text)
