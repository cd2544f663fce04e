"""The tests of a project: one command, and what its end means."""

from __future__ import annotations

import os
import re
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from examples.coding.agent import Agent, AgentResult
from examples.tdd_orchestrator.config import Tdd
from examples.tdd_orchestrator.plugins import bound

_LINES = 200
_KEPT = 6_000  # characters of what it printed: its end says what failed


class Verdict(StrEnum):
    """What the tests say."""

    PASSED = "passed"
    FAILED = "failed"  # they ran, and some failed
    BROKEN = "broken"  # anything else: no such command, a syntax error, no end in time


@dataclass(frozen=True)
class TestRun:
    """How the command ended; without an exit status it was killed at its time limit."""

    __test__ = False  # pytest, this is none of yours
    verdict: Verdict
    exit_status: int | None
    output: str


class _Ending:
    """Reads the exit status, and whether a line says that a test failed."""

    def __init__(self, failure: str) -> None:
        self.status: int | None = None
        self.tells_failure = not failure
        self._failure = re.compile(failure)

    def read(self, line: str) -> str:
        self.tells_failure = self.tells_failure or bool(self._failure.search(line))
        return line

    def result(self, exit_status: int, duration: float) -> AgentResult:
        self.status = exit_status
        return AgentResult(exit_status == 0, "", duration)


async def run_tests(settings: Tdd, folder: Path) -> TestRun:
    """Run the tests in a folder; at their time limit they are killed, with all that they have started."""
    ending, lines = _Ending(settings.failed_output), deque[str](maxlen=_LINES)
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
    command = Agent(["sh", "-c", settings.test_command], env, settings.test_seconds, lambda: ending)
    result = await bound(command).run("", folder, lambda line: lines.append(line[-_KEPT:]))
    output = "\n".join([*lines, result.summary.replace("the agent", "the test command")]).strip()[-_KEPT:]
    if ending.status == 0:
        return TestRun(Verdict.PASSED, 0, output)
    failed = ending.status in settings.failed_status and ending.tells_failure
    return TestRun(Verdict.FAILED if failed else Verdict.BROKEN, ending.status, output)
