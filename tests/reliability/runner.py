"""Jobs on real parts that fail: run here through the gate, or in processes that can be killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from github_worker.contract import REQUESTS, Request, Result, decode_request, encode_event
from github_worker.jobs import Gate, Timeouts
from github_worker.operations import run
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.settings import from_env
from tests.conftest import WRITE_TOKEN
from tests.support.faults import Script
from tests.support.repositories import git
from tests.support.sessions import Session, edit
from tests.support.worker import Worker

SESSION = "session-abcd1234"
REPOSITORY = "workspace/workspace/demo"


@dataclass(frozen=True)
class Storage:
    """Where sessions are: what leads a worker there, how it fails, and what another writer does."""

    env: dict[str, str]
    faults: Script
    download: str
    upload: str
    archive: Callable[[], bytes | None]
    save: Callable[[bytes], None]
    delete: Callable[[], None]

    def session(self) -> Session:
        """Return the session as it is stored."""
        archive = self.archive()
        assert archive is not None
        return Session(archive)

    def edit(self, files: Mapping[str, bytes | str | None]) -> bytes:
        """Change files of the session's repository, as a coding worker does, and return the archive."""
        archive = edit(
            self.session().data, {f"{REPOSITORY}/{path}": content for path, content in files.items()}
        )
        self.save(archive)
        return archive


@dataclass(frozen=True)
class Ended:
    """The events of a stream that came to its end."""

    events: list[dict[str, Any]]

    @property
    def completed(self) -> dict[str, Any]:
        """The result; the job must have one."""
        last = self.events[-1]
        assert last["type"] == "completed", last
        data: dict[str, Any] = last["data"]
        return data

    @property
    def failed(self) -> dict[str, Any]:
        """The error; the job must have ended with one."""
        assert self.events[-1]["type"] == "error", self.events[-1]
        return self.events[-1]

    @property
    def stages(self) -> list[str]:
        """The stages, each once, in the order in which they began."""
        return list(dict.fromkeys(event["stage"] for event in self.events if event["type"] == "progress"))


class GateRunner:
    """Takes jobs one after the other, each with services of its own, as a process has them."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)

    async def ask(self, operation: str, **fields: Any) -> Ended:
        """Run a job to its end."""
        settings = from_env(self.env)
        services = Services.from_settings(settings)

        async def work(request: Request, report: Report) -> Result:
            return await run(request, services, report)

        gate = Gate(work, services.cleanup, settings.job_timeout, Timeouts())
        job = gate.admit(decode_request(REQUESTS[operation], json.dumps(body(**fields)).encode()))
        events = [json.loads(encode_event(event)) async for event in job.events()]
        job.stream_closed.set()
        await gate.over()
        return Ended(events)

    async def commit(self, **fields: Any) -> Ended:
        """Run commit-and-push."""
        return await self.ask("commit-and-push", **fields)

    async def init(self, url: str, **fields: Any) -> Ended:
        """Run init-session."""
        fields = {"userRequest": "Add a dark mode toggle", **fields}
        return await self.ask("init-session", repoUrl=url, **fields)


def body(**fields: Any) -> dict[str, Any]:
    """Return a request for the session."""
    return {"sessionId": SESSION, "githubAccessToken": WRITE_TOKEN, **fields}


@contextmanager
def stream(worker: Worker, operation: str, **fields: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """Start a job in a process and yield its events as they come."""
    with httpx.stream(
        "POST", f"{worker.base_url}/{operation}", json=body(**fields), timeout=30, trust_env=False
    ) as answer:
        assert answer.status_code == 200
        yield (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))


def ask(worker: Worker, operation: str, **fields: Any) -> Ended:
    """Run a job in a process to the end of both."""
    with stream(worker, operation, **fields) as events:
        ended = Ended(list(events))
    assert worker.wait(10) == 0
    return ended


def extracted(session: Session, to: Path) -> Path:
    """Unpack a session in which git finds nothing wrong, and return the folder of its repository."""
    worktree = session.extract(to)
    git("-C", worktree, "fsck", "--strict")
    git("-C", worktree, "status")
    return worktree


def head(worktree: Path) -> str:
    """Return the commit that a repository is at."""
    return git("-C", worktree, "rev-parse", "HEAD").decode().strip()
