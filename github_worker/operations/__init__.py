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
    InspectSession,
    MergePullRequest,
    Request,
    Result,
    SwitchBranch,
    SyncBranch,
)
from github_worker.git.native import explain_damage
from github_worker.operations.auto_pull_request import auto_pull_request
from github_worker.operations.clone_repository import clone_repository
from github_worker.operations.commit_and_push import commit_and_push
from github_worker.operations.create_branch import create_branch
from github_worker.operations.create_pull_request import create_pull_request
from github_worker.operations.init_session import init_session
from github_worker.operations.inspect_session import inspect_session
from github_worker.operations.merge_pull_request import merge_pull_request
from github_worker.operations.switch_branch import switch_branch
from github_worker.operations.sync_branch import sync_branch
from github_worker.progress import Report
from github_worker.scratch import explain_disk_failure
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
    SyncBranch: sync_branch,
    SwitchBranch: switch_branch,
    InspectSession: inspect_session,
}


async def run(request: Request, services: Services, report: Report) -> Result:
    """Do what a request asks; raise JobError when it cannot be done."""
    try:
        return await _OPERATIONS[type(request)](request, services, report)
    except RepeatedRequest as repeated:
        return repeated.result
    except Exception as error:
        if (failure := explain_disk_failure(error) or explain_damage(error)) is None:
            raise
        raise failure from error
