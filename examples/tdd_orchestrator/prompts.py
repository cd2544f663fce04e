"""What is asked of a worker at each stage, and the words of commits and pull requests."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from examples.tdd_orchestrator.config import Config

Row = dict[str, Any]


class Stage(StrEnum):
    """The stages of a task, in their order."""

    RED = "red"
    GREEN = "green"
    REFACTOR = "refactor"


_ASKED = {
    Stage.RED: (
        "Write one small failing test for this task, in {test_root}, and nothing else: no code that makes it"
        " pass. It must run and fail because the feature is missing. A file that cannot be imported or"
        " compiled does not count: import what does not exist yet inside of the test."
    ),
    Stage.GREEN: (
        "A test for this task is there, and fails: {tests}. Write the least code in {source_root} that makes"
        " it and all other tests pass. Do not change that test."
    ),
    Stage.REFACTOR: (
        "The task works: {tests} passes. Make its code simpler and clearer where that is worth it, without"
        " changing what it does, nor that test. If it is good as it is, change nothing."
    ),
}


def prompt(
    stage: Stage, task: Row, context: str, config: Config, *, tests: list[str], told: str | None
) -> str:
    """Return what a worker is asked for; `told` is what the tests said to its last attempt."""
    project = config.project
    roots = {"source_root": f"`{project.source_root}`", "test_root": f"`{project.test_root}`"}
    asked = _ASKED[stage].format(**roots, tests=", ".join(tests))
    parts = [f"{stage.upper()}: {task['title']}", asked, task["description"]]
    parts.append(f"What it is a part of:\n\n{context}" if context else "")
    parts.append(f"The last attempt did not get there:\n\n{told}" if told else "")
    parts.append(
        f"The project is {project.language}, its tests are run by `{config.tdd.test_command}` when you have"
        " ended. Work in this folder alone. Do not commit. End with one sentence on what you did."
    )
    return "\n\n".join(filter(None, parts))


def commit_message(stage: Stage, task: Row) -> str:
    """Return the message of a stage's commit."""
    return f"{stage.upper()}: {task['title']}\n\nTask: {task['key']}"


def pull_request_body(context: str, tasks: Sequence[Row]) -> str:
    """Return the text of a run's pull request: what it is for, and what became of each task."""
    lines = []
    for task in tasks:
        if task["status"] == "complete":
            lines.append(f"- [x] {task['title']} ({(task['commit'] or '')[:10]})")
        else:
            reason = (task["error"] or "").strip().splitlines()
            lines.append(f"- [ ] {task['title']}: blocked{': ' + reason[-1][:200] if reason else ''}")
    return "\n\n".join(filter(None, [context.strip()[:20_000], "## Tasks", "\n".join(lines)]))
