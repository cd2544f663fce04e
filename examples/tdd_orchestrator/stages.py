"""One stage of a task: a worker tries until the tests say what they should, and what it changed is kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path

from examples.coding.agent import AgentResult
from examples.tdd_orchestrator import patch
from examples.tdd_orchestrator.circuits import Circuits
from examples.tdd_orchestrator.config import Config
from examples.tdd_orchestrator.patch import Conflict, Patch
from examples.tdd_orchestrator.plugins import WorkerPlugin
from examples.tdd_orchestrator.prompts import Row, Stage, prompt
from examples.tdd_orchestrator.store import Store
from examples.tdd_orchestrator.suite import TestRun, Verdict, run_tests

WANTED = {Stage.RED: Verdict.FAILED, Stage.GREEN: Verdict.PASSED, Stage.REFACTOR: Verdict.PASSED}
_logger = logging.getLogger(__name__)


class Blocked(Exception):
    """A task cannot be done; the message says why."""


class Ending(Enum):
    """How the attempts at a stage ended."""

    KEPT = auto()
    GIVEN_UP = auto()  # with nothing kept
    ANEW = auto()  # the copy has what must not be there: the next attempt begins in another one


@dataclass(frozen=True)
class Seat:
    """A worker: its name, and who it is."""

    id: str
    plugin: WorkerPlugin

    @property
    def circuit(self) -> str:
        """The circuit that it has."""
        return f"worker:{self.id}"


@dataclass(frozen=True)
class Attempt:
    """What an attempt came to; `may_go_on` says whether the next one may find what this one left."""

    ok: bool
    exit_status: int | None
    output: str
    patch: Patch | None = None
    may_go_on: bool = True


@dataclass(frozen=True)
class Stages:
    """Does stages, and notes each attempt in the store."""

    store: Store
    config: Config
    circuits: Circuits

    async def do(self, task: Row, stage: Stage, context: str, seat: Seat, folder: Path) -> Ending:
        """Do a stage in a copy of the branch; raise Blocked when its attempts are over."""
        key, circuits, most = task["key"], (seat.circuit, f"stage:{stage}"), self.config.tdd.attempts
        known = await self.store.task(key)
        count = known["attempts"] if known["stage"] == stage else 0
        told = known["history"][-1]["output"] if count else None
        tests = await self._tests(key)
        before = await asyncio.to_thread(patch.look, folder)
        await self.store.set_task(key, stage=stage, attempts=count)
        await self.store.set_worker(seat.id, stage=stage)
        while count < most:
            await self.circuits.enter(*circuits)
            count, began = count + 1, time.monotonic()
            asked = prompt(stage, task, context, self.config, tests=tests, told=told)
            result = await seat.plugin.run(asked, folder, partial(_logger.info, "%s: %s: %s", seat.id, key))
            attempt = await self._judge(stage, result, before, tests, folder)
            if attempt.ok and attempt.patch:
                await self.store.set_patch(key, stage, files=patch.encode(attempt.patch))
            await self._note(key, stage, count, attempt, time.monotonic() - began)
            await self.circuits.settle(attempt.ok, *circuits)
            told = attempt.output
            if attempt.ok:
                return Ending.KEPT
            if not attempt.may_go_on and count < most:
                return Ending.ANEW
        if stage is Stage.REFACTOR:
            return Ending.GIVEN_UP  # what is on the branch stands
        raise Blocked(f"{stage.upper()} did not get there in {count} attempts: {told}")

    async def replay(self, key: str, stages: tuple[Stage, ...], folder: Path) -> int:
        """Do again in a copy what is kept, and return how many stages that were; what does not fit goes."""
        kept = await self.store.patches(key)
        for count, stage in enumerate(stages):
            if stage not in kept:
                return count
            try:
                undo = await asyncio.to_thread(patch.apply, patch.decode(kept[stage]["files"]), folder)
                if (await self.test(folder)).verdict is WANTED[stage]:
                    continue
                await asyncio.to_thread(patch.apply, undo, folder)
            except Conflict as conflict:
                _logger.info("%s: %s is done again: %s", key, stage, conflict)
            await self.store.drop_patches(key, stages[count:])
            return count
        return len(stages)

    async def test(self, folder: Path) -> TestRun:
        """Run all tests in a folder."""
        return await run_tests(self.config.tdd, folder)

    async def _judge(
        self, stage: Stage, result: AgentResult, before: Mapping[str, str], tests: list[str], folder: Path
    ) -> Attempt:
        """Say whether a worker got there: of what it says itself, only that it failed is believed."""
        try:
            changes = await asyncio.to_thread(patch.difference, before, folder)
        except Conflict as conflict:
            return Attempt(False, None, str(conflict), may_go_on=False)
        if wrong := [path for path in changes if not self._may_change(stage, path, tests)]:
            return Attempt(False, None, f"{stage.upper()} must leave {wrong[0]} as it is.", may_go_on=False)
        if not result.success:
            return Attempt(False, None, f"The worker failed: {result.summary}")
        tested = await self.test(folder)
        if tested.verdict is WANTED[stage]:
            return Attempt(True, tested.exit_status, tested.output, changes)
        return Attempt(False, tested.exit_status, f"{_complaint(stage, tested)}\n\n{tested.output}")

    async def _note(self, key: str, stage: Stage, count: int, attempt: Attempt, seconds: float) -> None:
        how = {"attempt": count, "ok": attempt.ok, "exit_status": attempt.exit_status}
        await self.store.attempted(key, stage, **how, output=attempt.output, seconds=round(seconds, 3))
        await self.store.set_task(key, attempts=count, error=None if attempt.ok else attempt.output)

    async def _tests(self, key: str) -> list[str]:
        red = (await self.store.patches(key)).get(Stage.RED)
        return sorted(patch.decode(red["files"])) if red else []

    def _may_change(self, stage: Stage, path: str, tests: list[str]) -> bool:
        if stage is Stage.RED:
            return Path(path).is_relative_to(self.config.project.test_root) or self._anywhere
        return path not in tests

    @property
    def _anywhere(self) -> bool:
        return Path(self.config.project.test_root) == Path()


def _complaint(stage: Stage, tested: TestRun) -> str:
    if stage is not Stage.RED:
        return "The tests do not pass."
    if tested.verdict is Verdict.PASSED:
        return "All tests pass: there is no new one, or it asks for nothing that is missing."
    return "The tests did not run and fail, but broke: mind what can be imported or compiled."
