"""Work that is done, brought over to a version of the session that somebody saved meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil

from github_worker.git.checkout import reset_index
from github_worker.git.repository import Repository
from github_worker.services import Services
from github_worker.sessions.transaction import Session
from github_worker.workspace.clone import CloneOutcome, require_empty
from github_worker.workspace.repository import (
    Workspace,
    find_repository,
    locate,
    open_workspace,
    require_repository,
)


async def carry_branch(
    workspace: Workspace, services: Services, before: str | None, newer: Session, *, switch: bool
) -> None:
    """Move the branch in a newer session to the commit of this one, and leave its edits alone.

    `before` is the commit that the files of this session were edited on, before a checkout moved them;
    `switch` puts HEAD on the branch too. Raises SessionConflict when the other writer committed.
    """
    await asyncio.to_thread(_carry_branch, workspace, services, before, newer, switch)


async def carry_clone(outcome: CloneOutcome, services: Services, newer: Session) -> None:
    """Put a repository that was cloned into a newer session, or its branch where that has it too."""
    if outcome.was_cloned and find_repository(newer) is None:
        await asyncio.to_thread(_carry_clone, outcome.workspace, newer)
    else:
        await carry_branch(outcome.workspace, services, outcome.workspace.start, newer, switch=True)


def _carry_branch(
    workspace: Workspace, services: Services, before: str | None, newer: Session, switch: bool
) -> None:
    repository = workspace.repository
    branch, tip = repository.branch, repository.tip(repository.branch)
    renewed = open_workspace(require_repository(newer, str(repository.remote.url)), services, token=None)
    renewed.location.remove_credentials()
    _carry_lfs(repository, renewed)
    target = renewed.repository
    is_news = tip is not None and target.import_branch(repository, branch, tip)
    if is_news and (remote_tip := repository.remote_tip(branch)) is not None:
        target.set_tracking(branch, remote_tip)
        if remote_tip == tip:
            renewed.location.set_upstream(branch)
    if switch:
        target.start(branch, None)
        renewed.location.track(branch)
        newer.metadata.copy_from(workspace.session.metadata)
    if is_news and tip is not None and target.branch == branch:
        reset_index(target, before, tip)


def _carry_lfs(source: Repository, target: Workspace) -> None:
    if source.lfs is not None:
        from github_worker.workspace.lfs import carry_lfs  # noqa: PLC0415 (few jobs are about large files)

        carry_lfs(source.lfs, target)


def _carry_clone(workspace: Workspace, newer: Session) -> None:
    source = workspace.location
    target = locate(newer, source.cloned_path, source.url)
    require_empty(target)
    shutil.copytree(
        source.folders.worktree,
        target.folders.worktree,
        symlinks=True,
        copy_function=os.link,
        dirs_exist_ok=True,
    )
    target.write_config(source.config())
    _carry_lfs(workspace.repository, Workspace(target, workspace.repository))
    newer.metadata.copy_from(workspace.session.metadata)
