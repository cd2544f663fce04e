"""The repository in a session, looked at as the service does before a commit; nothing of it is saved."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from github_worker.cli.session_state import State, describe_metadata
from github_worker.contract import Change
from github_worker.errors import JobError
from github_worker.git import commits
from github_worker.services import Services
from github_worker.sessions.transaction import Session
from github_worker.settings import Settings
from github_worker.workspace.repository import Workspace, open_workspace, require_repository

_SHORT = 7  # characters of a commit's id, as people read it


def inspect(session_id: str, settings: Settings) -> State:
    """Look at a session in scratch space, as far as it must be unpacked; raise JobError."""
    services = Services.from_settings(settings)
    try:
        session = services.sessions.load(session_id)
        state = describe_metadata(session.metadata)
        try:
            _add_repository(state, session, services)
        except JobError as error:  # what is known without the repository is worth showing
            state.note = str(error)
        return state
    finally:
        asyncio.run(services.cleanup())


def _add_repository(state: State, session: Session, services: Services) -> None:
    location = require_repository(session)
    state.repository = str(location.url)
    # Nothing is asked of the repository's host, so any will do.
    services.settings = replace(services.settings, git_allowed_hosts=(location.url.origin,))
    workspace = open_workspace(location, services, None)
    state.branch = workspace.repository.branch
    state.unpushed = tuple(_list_unpushed(workspace))
    folders = location.folders
    commits.stage(workspace.repository, folders.nested, folders.misnamed)
    summary = commits.summarise(workspace.repository)
    state.changes = tuple(map(_describe_change, summary.changes))
    state.insertions, state.deletions = summary.insertions, summary.deletions


def _list_unpushed(workspace: Workspace) -> list[str]:
    """Return the commits that are not pushed, the newest first."""
    oids = [revision.commit for revision in commits.list_unpushed(workspace.repository) if revision.commit]
    return [f"{oid[:_SHORT]} {_subject(workspace, oid)}" for oid in reversed(oids)]


def _subject(workspace: Workspace, oid: str) -> str:
    return workspace.repository.message(oid).partition("\n")[0]


def _describe_change(change: Change) -> str:
    path = f"{change.old_path} → {change.path}" if change.old_path else change.path
    return f"{change.status} {path}"
