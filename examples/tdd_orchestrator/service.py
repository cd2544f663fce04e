"""A project's orchestrator put together, by its settings and the environment; any number may be started.

One of them works, who holds the lock of the project; the others show, or wait.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from examples.coding.agent import hide
from examples.tdd_orchestrator import config
from examples.tdd_orchestrator.config import Config, ConfigError
from examples.tdd_orchestrator.engine import Engine
from examples.tdd_orchestrator.plugins import plugin
from examples.tdd_orchestrator.stages import Seat
from examples.tdd_orchestrator.store import Store
from github_worker_client import GitHubWorker, Secret
from github_worker_client.sessions import SessionStore

SECRETS = (
    *("GITHUB_TOKEN", "GITHUB_WORKER_TOKEN", "ANTHROPIC_API_KEY", "TDD_API_KEY"),
    "AWS_SECRET_ACCESS_KEY",
)
_LOOK = 0.2  # seconds


def database(project: Path) -> Path:
    """Return the file of a project's store."""
    return project / config.FOLDER / "tdd.db"


@asynccontextmanager
async def engine_from_env(store: Store, settings: Config) -> AsyncIterator[Engine]:
    """Yield the engine that settings and environment say; raise ConfigError."""
    hide()
    secrets = {
        name: Secret(os.environ[name]) for name in SECRETS if os.environ.get(name)
    }  # masked in all texts
    try:
        token, sessions = secrets["GITHUB_TOKEN"], SessionStore(os.environ["STORAGE_URL"])
        github = GitHubWorker(os.environ["GITHUB_WORKER_URL"], secrets.get("GITHUB_WORKER_TOKEN"))
    except KeyError as error:
        raise ConfigError(f"{error.args[0]} must be set") from error
    worker = plugin(settings.tdd)
    seats = [Seat(f"w{number}", worker) for number in range(1, settings.tdd.max_workers + 1)]
    async with github:
        yield Engine(store, github, sessions, settings, token, seats)


async def work(engine: Engine, project: Path, until_over: str | None = None) -> None:
    """Do each run that is to be done, until one is over or for ever; leave to others what they do."""
    while True:
        running = [run["id"] for run in await engine.store.runs() if run["status"] == "running"]
        if until_over and until_over not in running:
            return
        with _lock(project) as ours:
            if running and ours:
                await engine.run(running[0])
        await asyncio.sleep(_LOOK)


@contextmanager
def _lock(project: Path) -> Iterator[bool]:
    """Yield whether this process has the project's lock, which ends with it in any case."""
    with (project / config.FOLDER / "run.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
