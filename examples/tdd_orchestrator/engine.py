"""Does a run: RED, GREEN and REFACTOR for each task, by several workers, and the pull request.

A worker works at a task in a private copy of the run's session. What a stage changed is kept once the tests
say that it is right; RED and GREEN get on the branch together, then REFACTOR. So the branch is always green,
no worker meets another one's failing test, a task that is blocked has left no trace there, and a clean-up
that breaks something is gone. Whatever has ended a run, done again it goes on: patches, attempts and landings
are in the store, and the requests are named after them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from examples.tdd_orchestrator.branch import Branch, RunFailed, Unfit
from examples.tdd_orchestrator.circuits import SYSTEM, Circuits
from examples.tdd_orchestrator.config import Config
from examples.tdd_orchestrator.prompts import Row, Stage
from examples.tdd_orchestrator.stages import Blocked, Ending, Seat, Stages
from examples.tdd_orchestrator.store import Store
from examples.tdd_orchestrator.suite import Verdict
from github_worker_client import GitHubWorker, Secret
from github_worker_client.sessions import SessionStore

UNITS = ((Stage.RED, Stage.GREEN), (Stage.REFACTOR,))  # what gets on the branch together
OVER = {"complete", "blocked"}
HEARTBEAT = 5.0  # seconds
_LOOK = 0.1  # seconds
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """Does the runs of a store, one at a time; `seats` are the workers that work side by side.

    `token` may push to the repositories and open pull requests; no worker sees it.
    """

    store: Store
    github: GitHubWorker
    sessions: SessionStore
    config: Config
    token: Secret
    seats: Sequence[Seat]

    async def run(self, run_id: str) -> None:
        """Do a run, or the rest of one; how it ended is in the store."""
        circuits = Circuits(self.store, self.config.tdd.failures, self.config.tdd.pause)
        await circuits.begin(SYSTEM, *(seat.circuit for seat in self.seats), *(f"stage:{s}" for s in Stage))
        branch = Branch(run_id, self.github, self.sessions, self.token, self.store, circuits)
        run = Run(self, branch, Stages(self.store, self.config, circuits))
        ended = False
        while not ended:
            error = None
            try:
                await run.do()
            except* RunFailed as failures:
                error = str(failures.exceptions[0])
            ended = await self.store.end(run_id, error)


@dataclass(frozen=True)
class Run:
    """One run, as one process does it."""

    engine: Engine
    branch: Branch
    stages: Stages

    async def do(self) -> None:
        """Do all tasks, and open the pull request; raise RunFailed."""
        store, id_ = self.engine.store, self.branch.run_id
        await store.release(id_)
        await self.branch.open()
        for task in await self._tasks():
            for unit in UNITS:
                await self._settle(task, unit)
        await self._verify("The tests do not pass before the first task")
        async with asyncio.TaskGroup() as together:
            for seat in self.engine.seats:
                together.create_task(self._work(seat))
        tasks = await self._tasks()
        if not any(task["status"] == "complete" for task in tasks):
            raise RunFailed("No task could be completed.")
        await self._verify("The tasks are done, but not all tests pass")
        if (await store.run(id_))["propose"]:
            whole = all(task["status"] == "complete" for task in tasks)
            await self.branch.propose(tasks, auto_merge=whole and self.engine.config.git.auto_merge)

    async def _settle(self, task: Row, unit: tuple[Stage, ...]) -> None:
        try:
            await self.branch.resume(task, unit)
        except Unfit as error:
            if Stage.REFACTOR not in unit:
                await self.engine.store.set_task(task["key"], status="blocked", error=str(error))

    async def _verify(self, complaint: str) -> None:
        async with AsyncExitStack() as stack:
            _, folder = await self.branch.copy(stack)
            tested = await self.stages.test(folder)
        if tested.verdict is Verdict.PASSED or tested.exit_status in self.engine.config.tdd.empty_status:
            return
        raise RunFailed(f"{complaint}: {tested.output[-1000:]}")

    async def _work(self, seat: Seat) -> None:
        """Do one task after another, until all are complete or blocked."""
        store = self.engine.store
        beating = asyncio.create_task(self._beat(seat))
        try:
            while any(task["status"] not in OVER for task in await self._tasks()):
                if task := await store.claim(self.branch.run_id, seat.id):
                    await store.set_worker(seat.id, status="working", task=task["key"])
                    await self._task(task, seat)
                    await store.set_worker(seat.id, status="idle", task=None, stage=None)
                else:
                    await asyncio.sleep(_LOOK)  # an earlier phase is not over
        finally:
            beating.cancel()
            await store.set_worker(seat.id, status="stopped", task=None, stage=None)

    async def _beat(self, seat: Seat) -> None:
        await self.engine.store.set_worker(seat.id, status="idle", task=None, stage=None)
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self.engine.store.set_worker(seat.id)

    async def _task(self, task: Row, seat: Seat) -> None:
        store, key = self.engine.store, task["key"]
        try:
            for unit, status in zip(UNITS, ("passing", "complete"), strict=True):
                while not await self._unit(task, unit, seat):
                    _logger.info("%s: what was done is tested again, on the branch as it is now", key)
                await store.set_task(key, status=status, error=None)
            await store.set_task(key, stage=None, worker=None)
        except Blocked as error:
            await store.set_task(key, status="blocked", error=str(error), worker=None)

    async def _unit(self, task: Row, unit: tuple[Stage, ...], seat: Seat) -> bool:
        """Do the stages of a unit and bring them to the branch; return whether they are there."""
        kept = await self.engine.store.patches(task["key"])
        if all(stage in kept and kept[stage]["commit_hash"] for stage in unit):
            return True
        context = (await self.engine.store.run(self.branch.run_id))["context"]
        async with AsyncExitStack() as stack:
            tip, folder = await self.branch.copy(stack)
            done = await self.stages.replay(task["key"], unit, folder)
            for stage in unit[done:]:
                ending = await self.stages.do(task, stage, context, seat, folder)
                if ending is Ending.ANEW:
                    return False
        kept = await self.engine.store.patches(task["key"])
        stages = [stage for stage in unit if stage in kept]  # none, where a clean-up was not worth it
        try:
            return not stages or await self.branch.land(task, stages, tip)
        except Unfit as error:
            if Stage.REFACTOR in unit:
                return True  # it is taken back, and what is on the branch stands
            raise Blocked(str(error)) from error

    async def _tasks(self) -> list[Row]:
        return [task for task in await self.engine.store.tasks() if task["runId"] == self.branch.run_id]
