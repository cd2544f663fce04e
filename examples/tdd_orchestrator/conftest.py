"""What the orchestrator's tests share: a lab with an engine, and workers that do as they are told."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.coding.agent import AgentResult, OnOutput
from examples.lab import Lab
from examples.tdd_orchestrator.config import Config, Project, Tdd
from examples.tdd_orchestrator.engine import Engine
from examples.tdd_orchestrator.plugins import WorkerPlugin
from examples.tdd_orchestrator.stages import Seat
from examples.tdd_orchestrator.store import Row, Store
from github_worker_client import GitHubWorker, Secret
from github_worker_client.sessions import SessionStore

# each file in tests is a test: 0 passes, 1 fails, anything else is broken
SUITE = 'for t in tests/*.sh; do test -e "$t" || continue; sh "$t" || exit; done'
Act = Callable[[Path], str | None]


def write(**files: str) -> Act:
    """Return what writes files; `__` in a name is a slash, `_sh` at its end an extension."""

    def act(folder: Path) -> None:
        for name, text in files.items():
            path = folder / name.replace("__", "/").replace("_sh", ".sh")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return act


def good(name: str) -> dict[str, list[Act]]:
    """Return what a worker does who gets there at once."""
    return {
        "RED": [write(**{f"tests__{name}_sh": f"test -s hello/{name}"})],
        "GREEN": [write(**{f"hello__{name}": f"{name}\n\n"})],
        "REFACTOR": [write(**{f"hello__{name}": f"{name}\n"})],
    }


@dataclass
class Scripted:
    """A worker that acts by the task and the stage, another way at each attempt and the last way for ever."""

    acts: dict[str, dict[str, list[Act]]]
    asked: list[tuple[str, str]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    async def run(self, prompt: str, folder: str | os.PathLike[str], on_output: OnOutput) -> AgentResult:
        """Act; what an act returns is the reason why the worker fails."""
        stage, _, title = prompt.partition("\n")[0].partition(": ")
        acts = self.acts[title][stage]
        count = self.asked.count((stage, title))
        self.asked.append((stage, title))
        self.prompts.append(prompt)
        failure = acts[min(count, len(acts) - 1)](Path(folder))
        on_output(f"{stage} {title}")
        return AgentResult(failure is None, failure or "done", 0.0)


@dataclass
class Bench:
    """A project in a lab: its store, and what it takes to do a run."""

    lab: Lab
    store: Store
    github: GitHubWorker
    tdd: Tdd

    def engine(self, *plugins: WorkerPlugin, **tdd: Any) -> Engine:
        """Return an engine with a seat for each plugin."""
        seats = [Seat(f"w{number}", worker) for number, worker in enumerate(plugins, 1)]
        settings = {name: getattr(self.tdd, name) for name in self.tdd.__struct_fields__} | tdd
        config = Config(Project("hello", test_root="tests"), Tdd(**settings))
        sessions = SessionStore(self.lab.store_url)
        return Engine(self.store, self.github, sessions, config, Secret(self.lab.token), seats)

    async def begin(self, *titles: str, phases: bool = False) -> str:
        """Begin a run with tasks of these titles."""
        run = {"id": "greet-1", "document": "Greet", "context": "All greet.", "propose": True}
        tasks = [
            {"key": title, "title": title, "description": f"Greet {title}", "phase": phases * number}
            for number, title in enumerate(titles)
        ]
        await self.store.begin({**run, "repo_url": self.lab.repo_url}, tasks)
        return "greet-1"

    async def run(self, run_id: str) -> Row:
        """Return a run as it is shown."""
        return next(run for run in await self.store.runs() if run["id"] == run_id)

    async def statuses(self) -> dict[str, str]:
        """Return the status of each task."""
        return {task["key"]: task["status"] for task in await self.store.tasks()}

    async def log(self, run_id: str) -> list[str]:
        """Return the subjects of the branch's commits, the oldest first, without the one it began at."""
        branch = (await self.run(run_id))["branch"]
        return [commit.subject for commit in reversed(self.lab.repository.log(branch))][1:]

    async def files(self, run_id: str) -> set[str]:
        """Return the files that the branch has more than it began with."""
        branch = (await self.run(run_id))["branch"]
        files = self.lab.repository.files
        return set(files(branch)) - set(files("main"))


@pytest.fixture
async def project(lab: Lab) -> AsyncIterator[Bench]:
    """Yield a project whose tests are shell scripts."""
    async with (
        Store.open(lab.folder / "tdd.db") as store,
        GitHubWorker(lab.worker_url, token=lab.worker_token) as github,
    ):
        yield Bench(lab, store, github, Tdd(test_command=SUITE, failures=100))
