"""Carrying finished work over to a version of the session that somebody saved meanwhile."""

from __future__ import annotations

import asyncio

from github_worker.operations.obtaining import Obtained
from github_worker.operations.workspace import (
    Workspace,
    config_of,
    held,
    open_workspace,
    require,
    write_config,
)
from github_worker.services import Services
from github_worker.sessions.saving import Carry
from github_worker.sessions.sessions import Session


def carry_branch(workspace: Workspace, services: Services, *, switch: bool) -> Carry:
    """Say how a newer session gets the branch of this one: moved to its commit, files left as they are.

    `switch` puts HEAD on it too. What is said raises SessionConflict when the other writer committed.
    """

    async def carry(newer: Session) -> None:
        await asyncio.to_thread(_carry_branch, newer, workspace, services, switch)

    return carry


def carry_clone(obtained: Obtained, services: Services) -> Carry:
    """Say how a newer session gets a repository that was cloned: whole, or its branch where it has it too."""

    async def carry(newer: Session) -> None:
        if obtained.was_cloned and held(newer) is None:
            await asyncio.to_thread(_carry_clone, newer, obtained.workspace)
        else:
            await carry_branch(obtained.workspace, services, switch=True)(newer)

    return carry


def _carry_branch(newer: Session, workspace: Workspace, services: Services, switch: bool) -> None:
    repository = workspace.repository
    place = require(newer, str(repository.remote.url))
    renewed = open_workspace(newer, place, services, token=None)
    target = renewed.repository
    branch = repository.branch
    tip = repository.tip(branch)
    if tip is not None:
        target.receive(repository, branch, tip)
    if (tracked := repository.tracked(branch)) is not None:
        target.saw(branch, tracked)
    if switch:
        target.start(branch, tip)
        renewed.track(branch)
        newer.metadata.follow(workspace.session.metadata)
    if target.branch == branch and tip is not None:
        target.unstage_to(tip)


def _carry_clone(newer: Session, workspace: Workspace) -> None:
    session, cloned_path = workspace.session, workspace.place.cloned_path
    folder = newer.worktree(cloned_path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    session.worktree(cloned_path).rename(folder)
    write_config(newer, cloned_path, config_of(session, cloned_path))
    newer.metadata.follow(session.metadata)
