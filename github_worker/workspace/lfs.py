"""What a session's repository needs for git-lfs: its objects' place in the session, and their server."""

from __future__ import annotations

from github_worker.errors import UnsupportedRepository
from github_worker.lfs.files import LargeFiles
from github_worker.lfs.server import Server
from github_worker.lfs.store import Store
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.services import Services
from github_worker.workspace.repository import SessionRepository, Workspace


def use_lfs(workspace: Workspace, token: Secret | None, services: Services, report: Report) -> None:
    """Let a repository do what git-lfs does; raise UnsupportedRepository where the session alters that."""
    location, settings = workspace.location, services.settings
    if location.effective_config().has_any("lfs.extension."):
        raise UnsupportedRepository(
            "The config has an extension of git-lfs (lfs.extension), a program that is not run here"
        )
    server = Server(location.url, token, settings.username_for(location.url.origin), settings)
    workspace.repository.lfs = LargeFiles(_store(location), server, settings, report)


def carry_lfs(source: LargeFiles, target: Workspace) -> None:
    """Let a newer version of the session have the large files of this one, and use them."""
    target.repository.lfs = source.moved_to(_store(target.location))


def _store(location: SessionRepository) -> Store:
    folders = location.session.folders
    return Store(folders.quarantine, location.folders.quarantine, folders.quarantine.parent)
