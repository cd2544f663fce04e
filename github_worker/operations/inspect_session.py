"""POST /inspect-session."""

from __future__ import annotations

import asyncio

from github_worker.contract import InspectSession, SessionInspected
from github_worker.git.inspection import inspect_changes, list_unpushed_commits
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.workspace.repository import Workspace, open_workspace, require_repository

_FILES, _COMMITS = 1000, 100  # that are told


async def inspect_session(request: InspectSession, services: Services, report: Report) -> SessionInspected:
    """Say what the session's repository holds that is not pushed, and save nothing."""
    session = await services.sessions.look(request.session_id, report)
    location = require_repository(session)
    report("analyzing", "Looking for changes")
    workspace = await asyncio.to_thread(open_workspace, location, services, None)
    result = await asyncio.to_thread(_inspect, request, workspace)
    report("inspected", f"Changed files: {result.files_changed}, unpushed commits: {result.unpushed_commits}")
    return result


def _inspect(request: InspectSession, workspace: Workspace) -> SessionInspected:
    repository, location = workspace.repository, workspace.location
    upstream = None if repository.is_detached else location.config().upstream(repository.branch)
    ahead, behind = repository.compare(upstream)
    count, unpushed = list_unpushed_commits(repository, _COMMITS)
    is_merging = repository.is_merging
    nested, limit = location.folders.nested, request.patch_bytes
    changes = inspect_changes(repository, nested, most=_FILES, patch_bytes=limit or 0)
    return SessionInspected(
        cloned_path=location.cloned_path,
        branch=None if repository.is_detached else repository.branch,
        commit=repository.head,
        upstream=upstream and f"origin/{upstream}",
        ahead=ahead,
        behind=behind,
        merging=is_merging,
        files_changed=changes.count,
        insertions=changes.insertions,
        deletions=changes.deletions,
        changes=changes.files,
        unpushed_commits=count,
        unpushed=unpushed,
        patch=changes.patch if limit else None,
        patch_truncated=changes.is_truncated if limit else False,
    )
