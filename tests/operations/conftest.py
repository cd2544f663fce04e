"""Fixtures of the operations: a runner, by which each job runs as in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from github_worker.contract import (
    AnyEvent,
    AutoPullRequest,
    CloneRepository,
    CommitAndPush,
    CreateBranch,
    InitSession,
    InspectSession,
    Progress,
    Request,
    Result,
    SwitchBranch,
    SyncBranch,
)
from github_worker.operations import run
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.services import Services
from github_worker.settings import from_env
from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin

SESSION = "session-abcd1234"
AnyResult = TypeVar("AnyResult", bound=Result)


class JobRunner:
    """Runs jobs one after the other, and keeps the last one's events."""

    def __init__(self, env: dict[str, str], token: str = WRITE_TOKEN) -> None:
        self.env = env
        self.token = token
        self.events: list[AnyEvent] = []

    async def run(self, request: Request, on_event: Callable[[AnyEvent], None] | None = None) -> Any:
        """Run one job; `on_event` is called with each of its events."""
        self.events = []
        services = Services.from_settings(from_env(self.env))

        def send(event: AnyEvent) -> None:
            self.events.append(event)
            if on_event is not None:
                on_event(event)

        try:
            return await run(request, services, Report(send))
        finally:
            await services.cleanup()
            services.close()

    async def clone(self, url: str, **fields: Any) -> Any:
        """Run clone-repository."""
        return await self.run(self._request(CloneRepository, repo_url=url, **fields))

    async def init(self, url: str, user_request: str = "Add a dark mode toggle", **fields: Any) -> Any:
        """Run init-session."""
        return await self.run(self._request(InitSession, repo_url=url, user_request=user_request, **fields))

    async def branch(self, user_request: str = "Add a dark mode toggle", **fields: Any) -> Any:
        """Run create-branch."""
        fields = {"base_branch": "main", "user_request": user_request, **fields}
        return await self.run(self._request(CreateBranch, **fields))

    async def commit(self, **fields: Any) -> Any:
        """Run commit-and-push."""
        return await self.run(self._request(CommitAndPush, **fields))

    async def sync(self, on_event: Callable[[AnyEvent], None] | None = None, **fields: Any) -> Any:
        """Run sync-branch."""
        return await self.run(self._request(SyncBranch, **fields), on_event)

    async def switch(self, on_event: Callable[[AnyEvent], None] | None = None, **fields: Any) -> Any:
        """Run switch-branch."""
        return await self.run(self._request(SwitchBranch, **fields), on_event)

    async def auto(self, **fields: Any) -> Any:
        """Run auto-pull-request."""
        return await self.run(self._request(AutoPullRequest, base="main", **fields))

    async def inspect(self, **fields: Any) -> Any:
        """Run inspect-session, without a token."""
        return await self.run(InspectSession(session_id=SESSION, **fields))

    @property
    def stages(self) -> list[str]:
        """The stages of the last job, each once, in the order in which they began."""
        return list(dict.fromkeys(event.stage for event in self.events if isinstance(event, Progress)))

    @property
    def messages(self) -> list[str]:
        """What a person is told of the last job's progress."""
        return [event.message for event in self.events if isinstance(event, Progress)]

    def _request(self, kind: type[Request], **fields: Any) -> Request:
        return kind(**{"session_id": SESSION, "access_token": Secret(self.token), **fields})


@pytest.fixture
def origin(git_server: GitServer) -> Origin:
    """Return a repository with two files."""
    return git_server.seed("octo", "demo", {"README.md": "# Demo\n", "src/app.py": "print('hi')\n"})


@pytest.fixture
def runner(worker_env: dict[str, str]) -> JobRunner:
    """Return a runner whose sessions, remote and model are this test's."""
    return JobRunner(worker_env | {"GIT_TIMEOUT": "5", "STORAGE_TIMEOUT": "5"})


@pytest.fixture
async def branch(runner: JobRunner, origin: Origin) -> str:
    """Start a session on its own branch, and return the branch."""
    result = await runner.init(origin.url)
    name: str = result.branch_name
    return name
