"""Switching the session to another branch that it or the remote has."""

from __future__ import annotations

from msgspec import Struct

from github_worker.contract import BranchSwitched
from github_worker.errors import BranchNotFound, SessionConflict
from github_worker.git.obstacles import carry
from github_worker.services import Services
from github_worker.sessions.transaction import Session
from github_worker.workspace.branch import session_path
from github_worker.workspace.repository import Workspace, open_workspace, require_repository


class SwitchTarget(Struct, frozen=True):
    """The branch to switch to, where it is, and where the session is; a `new` one follows the remote's."""

    branch: str
    at: str | None
    before: str
    start: str | None
    new: bool

    @property
    def is_elsewhere(self) -> bool:
        """Whether the session is not on it yet."""
        return self.branch != self.before

    def result(self) -> BranchSwitched:
        """Say it as switch-branch does."""
        return BranchSwitched(
            branch=self.branch,
            previous_branch=self.before,
            commit=self.at,
            switched=self.is_elsewhere,
            created=self.new,
        )


def find_target(branch: str, workspace: Workspace) -> SwitchTarget:
    """Find a branch, fetching one that is not here; raise BranchNotFound, or as a fetch does."""
    repository = workspace.repository
    before, start = repository.branch, repository.head
    if branch == before:
        return SwitchTarget(branch, start, before, start, new=False)
    repository.require_finished()
    if (tip := repository.tip(branch)) is not None:
        return SwitchTarget(branch, tip, before, start, new=False)
    if branch not in repository.remote.heads().branches:
        raise BranchNotFound(f"Neither the session nor the remote has a branch {branch}")
    repository.remote.fetch(branch)
    return SwitchTarget(branch, repository.remote_tip(branch), before, start, new=True)


def switch(target: SwitchTarget, workspace: Workspace) -> None:
    """Move HEAD, index and files; raise UncommittedChanges, with nothing moved, where git would refuse."""
    repository, location = workspace.repository, workspace.location
    if target.at is not None:
        carry(repository, repository.tree(target.at), location.folders.nested)
    if target.new:
        repository.start(target.branch, target.at)
        location.track(target.branch)
    else:
        repository.start(target.branch, None)
    workspace.session.metadata.record_switch(target.branch, session_path(location.url, target.branch))


async def carry_switch(
    target: SwitchTarget, workspace: Workspace, services: Services, newer: Session
) -> None:
    """Do the same in a newer version of the session; raise SessionConflict if its branches are elsewhere."""
    repository = workspace.repository
    renewed = open_workspace(require_repository(newer, str(repository.remote.url)), services, token=None)
    there = renewed.repository
    is_same = (there.branch, there.head) == (target.before, target.start)
    if (
        not is_same
        or there.is_unfinished
        or there.tip(target.branch) not in (None if target.new else target.at,)
    ):
        raise SessionConflict("Another writer changed the branches meanwhile")
    renewed.location.remove_credentials()
    there.import_objects(repository)
    if target.new and target.at is not None:
        there.set_tracking(target.branch, target.at)
    switch(target, renewed)
