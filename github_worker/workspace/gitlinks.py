"""The commits of submodules that a commit records: those that the session moved, if others can have them.

What is in a submodule itself is never committed here. Whether its remote has a commit is asked of the remote.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from github_worker.errors import JobError
from github_worker.git.repository import Repository
from github_worker.git.submodules import (
    Modules,
    Unusable,
    list_gitlinks,
    list_recorded,
    read_gitmodules,
    stage_gitlink,
)
from github_worker.git.worktree import is_clean
from github_worker.progress import Report
from github_worker.redaction import hide
from github_worker.services import Services
from github_worker.workspace.repository import SessionRepository, Workspace
from github_worker.workspace.submodule import find_submodule, open_submodule

_DEEPEST = 8  # levels of submodules in submodules
_MOST = 200  # submodules that a job looks at
_SHORT = 7  # characters of a commit's id, as people read it


def record_submodules(
    workspace: Workspace, paths: tuple[str, ...], services: Services, report: Report
) -> None:
    """Stage the submodules that are at another commit of their remotes, and warn of all else in them."""
    work = _Work(workspace, services)
    gitlinks = list_gitlinks(workspace.repository)
    for path in paths:
        try:
            is_edited = work.record(path, gitlinks[path])
        except (Unusable, JobError) as error:
            report.warning("left_out", f"{path} was left out: it is a submodule, and {error}")
        else:
            if is_edited:
                report.warning("left_out", f"What was changed in {path} was left out: it is a submodule")


class _Work:
    """One commit's work on submodules, which blocks."""

    def __init__(self, workspace: Workspace, services: Services) -> None:
        self._location, self._repository = workspace.location, workspace.repository
        self._services, self._token = services, workspace.repository.remote.token
        self._left = _MOST

    def record(self, path: str, recorded: str) -> bool:
        """Stage a submodule, if it was moved, and tell whether it has changes; raise Unusable, JobError."""
        location = find_submodule(self._location, path, self._location.url)
        if location is None:
            return False
        head, is_edited = self._look(location, 1)
        if head is None:
            raise Unusable("it has no commit")
        committed = list_recorded(self._repository, self._repository.head).get(path, recorded)
        if not head == recorded == committed:  # whoever staged it: the index has no say in what is recorded
            stage_gitlink(self._repository, path, committed)
            self._ask(path, head)
            stage_gitlink(self._repository, path, head)
        return is_edited

    def _look(self, location: SessionRepository, level: int) -> tuple[str | None, bool]:
        """Return the commit that a submodule is at, and whether anything in it is not committed."""
        if not self._left:
            raise Unusable(f"a job looks at no more than {_MOST}")
        self._left -= 1
        with open_submodule(location, self._services, token=None) as workspace:
            repository = workspace.repository
            below = list_gitlinks(repository).items() if level < _DEEPEST else ()
            is_edited = not is_clean(repository) or any(
                self._is_changed(location, path, commit, level + 1) for path, commit in below
            )
            return repository.head, is_edited

    def _is_changed(self, parent: SessionRepository, path: str, recorded: str, level: int) -> bool:
        location = find_submodule(parent, path, parent.url)
        return location is not None and self._look(location, level) != (recorded, False)

    def _ask(self, path: str, commit: str) -> None:
        """Raise Unusable unless its remote has a submodule's commit: fetched where a session has no say."""
        modules = Modules(
            read_gitmodules(self._repository), str(self._location.url), self._services.settings.allows
        )
        url = modules.find(path, commit).url
        token = self._token if url.origin == self._location.url.origin else None
        username = self._services.settings.username_for(url.origin)
        with tempfile.TemporaryDirectory(dir=self._location.session.folders.tree.parent) as name:
            hide(Path(name))
            remote = Repository.create(Path(name), url, token, self._services.committer, username).remote
            if not (commit in remote.heads().branches.values() or remote.obtain(commit, depth=1)):
                raise Unusable(f"its remote lacks the commit {commit[:_SHORT]}: push it there first")
