"""Carrying finished work over to a version of the session that somebody saved meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil

from github_worker.git.checkout import reset_index
from github_worker.services import Services
from github_worker.sessions.session import Session
from github_worker.sessions.transaction import OnConflict
from github_worker.workspace.clone import CloneOutcome, require_room
from github_worker.workspace.repository import (
    Workspace,
    config_of,
    find_repository,
    open_workspace,
    require,
    write_config,
)


def carry_branch(workspace: Workspace, services: Services, *, switch: bool) -> OnConflict:
    """Say how a newer session gets the branch of this one: moved to its commit, its edits left alone.

    `switch` puts HEAD on it too. What is said raises SessionConflict when the other writer committed.
    """

    async def carry(newer: Session) -> None:
        await asyncio.to_thread(_carry_branch, newer, workspace, services, switch)

    return carry


def carry_clone(obtained: CloneOutcome, services: Services) -> OnConflict:
    """Say how a newer session gets a repository that was cloned: whole, or its branch where it has it too."""

    async def carry(newer: Session) -> None:
        if obtained.was_cloned and find_repository(newer) is None:
            await asyncio.to_thread(_carry_clone, newer, obtained.workspace)
        else:
            await carry_branch(obtained.workspace, services, switch=True)(newer)

    return carry


def _carry_branch(newer: Session, workspace: Workspace, services: Services, switch: bool) -> None:
    repository = workspace.repository
    branch, tip = repository.branch, repository.tip(repository.branch)
    renewed = open_workspace(newer, require(newer, str(repository.remote.url)), services, token=None)
    target = renewed.repository
    is_news = tip is not None and target.import_branch(repository, branch, tip)
    if is_news and (tracked := repository.tracked(branch)) is not None:
        target.set_tracking(branch, tracked)
        if tracked == tip:
            renewed.set_upstream(branch)
    if switch:
        target.start(branch, None)
        renewed.track(branch)
        newer.metadata.copy_from(workspace.session.metadata)
    if is_news and tip is not None and target.branch == branch:
        reset_index(target, repository.previous_head, tip)


def _carry_clone(newer: Session, workspace: Workspace) -> None:
    session, cloned_path = workspace.session, workspace.location.cloned_path
    folder = newer.worktree(cloned_path)
    require_room(folder)
    shutil.copytree(
        session.worktree(cloned_path), folder, symlinks=True, copy_function=os.link, dirs_exist_ok=True
    )
    write_config(newer, cloned_path, config_of(session, cloned_path))
    newer.metadata.copy_from(session.metadata)
