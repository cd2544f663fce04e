"""One module an endpoint, one story each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from github_worker.contract import (
    AutoPullRequest,
    CloneRepository,
    CommitAndPush,
    CreateBranch,
    CreatePullRequest,
    InitSession,
    MergePullRequest,
    Request,
    Result,
)
from github_worker.git.native import translate_damage
from github_worker.operations.auto_pull_request import auto_pull_request
from github_worker.operations.clone_repository import clone_repository
from github_worker.operations.commit_and_push import commit_and_push
from github_worker.operations.create_branch import create_branch
from github_worker.operations.create_pull_request import create_pull_request
from github_worker.operations.init_session import init_session
from github_worker.operations.merge_pull_request import merge_pull_request
from github_worker.progress import Report
from github_worker.scratch import translate_disk_failures
from github_worker.services import Services
from github_worker.sessions.transaction import RepeatedRequest

_OPERATIONS: Mapping[type[Request], Callable[[Any, Services, Report], Awaitable[Result]]] = {
    CloneRepository: clone_repository,
    CreateBranch: create_branch,
    CommitAndPush: commit_and_push,
    InitSession: init_session,
    CreatePullRequest: create_pull_request,
    MergePullRequest: merge_pull_request,
    AutoPullRequest: auto_pull_request,
}


async def run(request: Request, services: Services, report: Report) -> Result:
    """Do what a request asks; raise JobError when it cannot be done."""
    with translate_disk_failures(), translate_damage():
        try:
            return await _OPERATIONS[type(request)](request, services, report)
        except RepeatedRequest as repeated:
            return repeated.result
