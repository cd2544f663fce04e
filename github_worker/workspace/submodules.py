"""The submodules of a session's repository: those that are not there are cloned, the others updated.

What is left out is left out with a warning; what may be over in a moment ends the job.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping

from msgspec import Struct

from github_worker.contract import CloneRepository, InitSession, RepositoryUrl
from github_worker.errors import JobError, OtherRepository
from github_worker.git.checkout import check_out, write_worktree
from github_worker.git.clone import choose, fetch
from github_worker.git.repository import Repository
from github_worker.git.submodules import (
    Modules,
    Submodule,
    Unusable,
    find_collisions,
    list_gitlinks,
    list_recorded,
    read_gitmodules,
)
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.services import Services
from github_worker.sessions.transaction import Session
from github_worker.workspace.clone import CloneOutcome
from github_worker.workspace.conflicts import carry_clone
from github_worker.workspace.repository import (
    SessionRepository,
    Workspace,
    find_repository,
    open_workspace,
    require_repository,
)
from github_worker.workspace.submodule import (
    create_submodule,
    find_submodule,
    open_submodule,
    place_submodule,
    put_in_place,
)

_MOST = 200  # submodules that a job looks at
_DEEPEST = 8  # levels of submodules in submodules
_SHORT = 7  # characters of a commit's id, as people read it


class _Plan(Struct, frozen=True):
    """What a repository's index says of its submodules; `before` is what it said before an update."""

    gitlinks: Mapping[str, str]
    modules: Modules
    collisions: Mapping[str, str]
    before: Mapping[str, str]


async def bring_submodules(
    workspace: Workspace, request: CloneRepository | InitSession, services: Services, report: Report
) -> bool:
    """Clone or update the submodules of the session's repository, and tell whether any was changed."""
    work = _Work(workspace, request, services, report)
    await asyncio.to_thread(work.run)
    return work.has_changed


async def carry_with_submodules(
    outcome: CloneOutcome,
    request: CloneRepository | InitSession,
    services: Services,
    report: Report,
    newer: Session,
) -> None:
    """Carry a clone over to a newer version of the session, and its submodules as well."""
    if outcome.was_cloned and find_repository(newer) is None:
        await asyncio.to_thread(_carry_files, outcome.workspace.location, newer)
        await carry_clone(outcome, services, newer)
    else:
        await carry_clone(outcome, services, newer)
        location, token = require_repository(newer), outcome.workspace.repository.remote.token
        workspace = await asyncio.to_thread(open_workspace, location, services, token)
        await bring_submodules(workspace, request, services, report)


def _carry_files(source: SessionRepository, newer: Session) -> None:
    """Give a newer session what the quarantine has of a fresh clone: nothing of it is a stranger's."""
    old = source.session.repository_folders(source.cloned_path).quarantine.parent
    new = newer.repository_folders(source.cloned_path).quarantine.parent
    if os.path.lexists(new):
        raise OtherRepository(f"The session has other files in {source.cloned_path}")
    shutil.copytree(old, new, copy_function=os.link)
    newer.inventory.quarantined_repositories |= source.session.inventory.quarantined_repositories


class _Work:
    """One job's work on submodules, which blocks; the token goes to the repository's own origin alone."""

    def __init__(
        self,
        workspace: Workspace,
        request: CloneRepository | InitSession,
        services: Services,
        report: Report,
    ) -> None:
        self.has_changed = False
        self._workspace, self._top = workspace, workspace.location
        self._services, self._report = services, report
        self._token, self._depth = workspace.repository.remote.token, request.depth
        self._is_recursive = request.submodules == "recursive"
        self._left = _MOST

    def run(self) -> None:
        """Bring all submodules of a repository."""
        plan = self._plan(self._workspace.repository, str(self._top.url), self._workspace.start)
        self._bring_all(self._top, plan, 1)

    def _plan(self, repository: Repository, text: str, before: str | None) -> _Plan:
        gitlinks = list_gitlinks(repository)
        modules = Modules(read_gitmodules(repository), text, self._services.settings.allows)
        recorded = list_recorded(repository, before) if before else {}
        return _Plan(gitlinks, modules, find_collisions(repository, gitlinks), recorded)

    def _bring_all(self, parent: SessionRepository, plan: _Plan, level: int) -> None:
        for path, commit in sorted(plan.gitlinks.items()):
            if level > _DEEPEST or not self._left:
                limit = f"{_DEEPEST} levels" if level > _DEEPEST else f"{_MOST} submodules"
                return self._leave_out(parent, path, f"a job brings {limit}, and it is beyond them")
            self._left -= 1
            try:
                self._bring(parent, plan.modules.find(path, commit), plan, level)
            except (Unusable, JobError) as error:
                if isinstance(error, JobError) and error.retryable:
                    raise
                self._leave_out(parent, path, str(error))
        return None

    def _leave_out(self, parent: SessionRepository, path: str, why: str) -> None:
        shown = os.path.relpath(f"{parent.cloned_path}/{path}", self._top.cloned_path)
        self._report.warning("left_out", f"The submodule {shown} was left out: {why}")

    def _bring(self, parent: SessionRepository, submodule: Submodule, plan: _Plan, level: int) -> None:
        plan.modules.check_update(submodule)
        location = find_submodule(parent, submodule.path, submodule.url)
        if location is not None:
            below = self._update(location, submodule, plan.before.get(submodule.path))
        elif other := plan.collisions.get(submodule.path):
            raise Unusable(f"{other} differs from its path in case alone")
        else:
            location = place_submodule(parent, submodule)
            below = self._clone(location, submodule)
            parent.write_config(parent.config().with_submodule(submodule.name, submodule.text))
        if self._is_recursive:
            self._bring_all(location, below, level + 1)

    def _clone(self, location: SessionRepository, submodule: Submodule) -> _Plan:
        with create_submodule(location, self._services, self._token_for(submodule.url)) as repository:
            branch = self._fill(repository, submodule)
            below = self._plan(repository, submodule.text, None)
        put_in_place(location, submodule.text, branch, single=self._depth is not None)
        self.has_changed = True
        return below

    def _fill(self, repository: Repository, submodule: Submodule) -> str:
        """Fetch a submodule and check its commit out; return its remote's default branch."""
        heads = repository.remote.heads()
        if not heads.branches:
            raise Unusable("its remote has no branch")
        choice = choose(heads, None)
        fetch(repository, choice, depth=self._depth, all_branches=self._depth is None)
        self._obtain(repository, submodule)
        repository.detach(submodule.commit)
        for path, why in write_worktree(repository, submodule.commit):
            shown = f"{submodule.path}/{path}"
            self._report.warning("not_converted", f"{shown} is as it is in the repository: {why}")
        return choice.branch

    def _update(self, location: SessionRepository, submodule: Submodule, before: str | None) -> _Plan:
        """Bring a submodule to its commit; one for which that fails stays as the session has it."""
        try:
            with open_submodule(location, self._services, self._token_for(submodule.url)) as workspace:
                repository, old = workspace.repository, workspace.start
                if old != submodule.commit:
                    self._move(repository, submodule, before)
                return self._plan(repository, submodule.text, old)
        except JobError as error:
            raise Unusable(str(error)) from error

    def _move(self, repository: Repository, submodule: Submodule, before: str | None) -> None:
        """Check out a submodule's commit, unless that would leave commits of the session behind."""
        self._obtain(repository, submodule)
        old = repository.head
        if old is None or not (old == before or repository.is_ancestor(old, submodule.commit)):
            raise Unusable(f"the session has moved it to {(old or 'no commit')[:_SHORT]}")
        check_out(repository, submodule.commit)
        repository.detach(submodule.commit)
        self.has_changed = True

    def _obtain(self, repository: Repository, submodule: Submodule) -> None:
        if not repository.remote.obtain(submodule.commit, depth=self._depth or 0):
            raise Unusable(f"its remote lacks the commit {submodule.commit[:_SHORT]}")

    def _token_for(self, url: RepositoryUrl) -> Secret | None:
        return self._token if url.origin == self._top.url.origin else None
