"""One module an endpoint, one story each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from github_worker.contract import CloneRepository, CommitAndPush, CreateBranch, InitSession, Request, Result
from github_worker.operations.clone_repository import clone_repository
from github_worker.operations.commit_and_push import commit_and_push
from github_worker.operations.create_branch import create_branch
from github_worker.operations.init_session import init_session
from github_worker.progress import Report
from github_worker.services import Services

_OPERATIONS: Mapping[type[Request], Callable[[Any, Services, Report], Awaitable[Result]]] = {
    CloneRepository: clone_repository,
    CreateBranch: create_branch,
    CommitAndPush: commit_and_push,
    InitSession: init_session,
}


async def run(request: Request, services: Services, report: Report) -> Result:
    """Do what a request asks; raise JobError when it cannot be done."""
    return await _OPERATIONS[type(request)](request, services, report)
