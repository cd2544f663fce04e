"""Getting a repository into a session: cloned, or brought up to date where it is there already."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from github_worker.archive.contents import Trust
from github_worker.contract import Cloned, CloneRepository, InitSession, RepositoryUrl
from github_worker.errors import MergeConflict, OtherRepository
from github_worker.git.checkout import fast_forward, fill_worktree, write_worktree
from github_worker.git.clone import Choice, choose, default_branch, fetch
from github_worker.git.config import config_of_clone
from github_worker.git.remote import RemoteHeads
from github_worker.git.repository import Repository
from github_worker.git.worktree import is_clean
from github_worker.progress import Report, watch
from github_worker.services import Services
from github_worker.sessions.transaction import Session
from github_worker.workspace.repository import (
    SessionRepository,
    Workspace,
    choose_lfs,
    find_repository,
    locate,
    open_workspace,
    require_repository,
)


class CloneOutcome(Struct, frozen=True):
    """A repository in a session; `to_check_out` is the commit whose files are still to come.

    `filled` says that contents came in the place of git-lfs's pointers.
    """

    workspace: Workspace
    branch: str
    was_cloned: bool
    pulled: bool = False
    to_check_out: str | None = None
    filled: bool = False

    @property
    def has_changed(self) -> bool:
        """Whether the session is another one than before."""
        return self.was_cloned or self.pulled or self.filled

    def result(self) -> Cloned:
        """Say it as clone-repository does."""
        return Cloned(
            cloned_path=self.workspace.location.cloned_path,
            branch=self.branch,
            was_cloned=self.was_cloned,
            commit=self.workspace.repository.head,
            pulled=self.pulled,
        )


async def clone_or_update(
    request: CloneRepository | InitSession, session: Session, services: Services, report: Report
) -> CloneOutcome:
    """Clone the repository, or update the one that is there; raise OtherRepository if it is another."""
    if session.is_new:
        report("new_session", "Beginning a new session")
    else:
        report("session_found", "Found the session")
    if find_repository(session):
        return await _update(request, session, services, report)
    return await _clone(request, session, services, report)


async def check_out(outcome: CloneOutcome, report: Report) -> None:
    """Write the files of a fresh clone."""
    if outcome.to_check_out:
        repository = outcome.workspace.repository
        unconverted = await asyncio.to_thread(write_worktree, repository, outcome.to_check_out)
        for path, why in unconverted:
            report.warning("not_converted", f"{path} is as it is in the repository: {why}")
    if outcome.was_cloned:
        report("cloned", f"Cloned {outcome.branch}")


def require_empty(location: SessionRepository) -> None:
    """Raise OtherRepository if a repository's folder has something in it, or is none."""
    folder = location.folders.worktree
    has_files = any(location.folders.files(Trust.NONE).names(b""))
    is_other = folder.is_symlink() or folder.is_file()
    if has_files or is_other or (folder.exists() and any(folder.iterdir())):
        raise OtherRepository(f"The session has other files in {folder.name}")


async def _clone(
    request: CloneRepository | InitSession, session: Session, services: Services, report: Report
) -> CloneOutcome:
    url = RepositoryUrl.parse(request.repo_url)
    location = locate(session, request.directory or url.name, url)
    folder = location.folders.worktree
    require_empty(location)
    report("cloning", f"Cloning {url.owner}/{url.name}")
    username = services.settings.username_for(url.origin)
    token = await services.ready_token_for(request, url, report)
    repository = await asyncio.to_thread(Repository.create, folder, url, token, services.committer, username)
    heads = await asyncio.to_thread(repository.remote.heads)
    if not heads.branches:
        heads = RemoteHeads({}, await default_branch(url, token, services.settings))
    choice = choose(heads, request.branch)
    if choice.missing:
        report("branch_fallback", f"There is no branch {choice.missing}: cloning {choice.branch}")
    await _fetch(repository, choice, request, report)
    location.write_config(config_of_clone(url, choice.branch, single=not request.all_branches))
    session.metadata.record_clone(url, choice.branch, location.cloned_path)
    workspace = Workspace(location, repository)
    choose_lfs(workspace, request, services, report)
    return CloneOutcome(workspace, choice.branch, was_cloned=True, to_check_out=choice.at)


async def _fetch(
    repository: Repository, choice: Choice, request: CloneRepository | InitSession, report: Report
) -> None:
    def count() -> None:
        transfer = repository.remote.transfer
        # none of none would be all of it, and comes before the server has counted
        report.count(transfer.received, transfer.total or None, transfer.bytes)

    fetching = asyncio.to_thread(
        fetch, repository, choice, depth=request.depth, all_branches=request.all_branches
    )
    await watch(fetching, count)
    transfer = repository.remote.transfer
    report.count_last(transfer.received, transfer.bytes)


async def _update(
    request: CloneRepository | InitSession, session: Session, services: Services, report: Report
) -> CloneOutcome:
    location = require_repository(session, request.repo_url)
    report("repo_exists", f"The session holds {location.url.owner}/{location.url.name} already")
    token = await services.ready_token_for(request, location.url, report)
    workspace = await asyncio.to_thread(open_workspace, location, services, token)
    choose_lfs(workspace, request, services, report)
    branch = workspace.repository.branch
    pulled = await asyncio.to_thread(_pull, workspace.repository, branch)
    filled = await asyncio.to_thread(fill_worktree, workspace.repository)
    return CloneOutcome(workspace, branch, was_cloned=False, pulled=pulled, filled=filled)


def _pull(repository: Repository, branch: str) -> bool:
    heads = repository.remote.heads()
    if branch not in heads.branches:
        return False
    repository.remote.fetch(branch)
    head, ahead = repository.head, heads.branches[branch]
    if head is None or head == ahead or not repository.is_ancestor(head, ahead):
        return False
    if repository.is_unfinished or not is_clean(repository):
        return False
    try:
        fast_forward(repository, branch, ahead)
    except MergeConflict:
        return False
    return True
