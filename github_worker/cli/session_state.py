"""What a session holds, and what of it is not on the remote: looked at as the service does, and not saved."""

from __future__ import annotations

from importlib.util import find_spec

from msgspec import Struct

from github_worker.archive.limits import Limits
from github_worker.sessions.metadata import Metadata, read_archive
from github_worker.settings import Settings
from github_worker.storage import open_store

_NEEDS_GIT = "its commits and changes take pip install 'github-worker[server]'"


class State(Struct, kw_only=True):
    """The state of a session; what is not known is empty, or None for the lists. `note` says why."""

    title: str = ""
    repository: str = ""
    branch: str = ""
    base_branch: str = ""
    unpushed: tuple[str, ...] | None = None
    changes: tuple[str, ...] | None = None
    insertions: int = 0
    deletions: int = 0
    note: str = ""

    def describe_unpushed(self) -> str:
        """Return how many commits are not pushed."""
        return "" if self.unpushed is None else _count(len(self.unpushed), "commit")

    def describe_changes(self) -> str:
        """Return how many files were changed, and by how many lines."""
        if self.changes is None:
            return ""
        lines = f", +{self.insertions} -{self.deletions} lines" if self.changes else ""
        return _count(len(self.changes), "file") + lines


def look_at(session_id: str, settings: Settings, url: str) -> State:
    """Look at a session of the store at `url`; raise JobError for one that cannot be read.

    Without the server's packages only the metadata is read, as the archive streams by.
    """
    if find_spec("pygit2") is None:
        state = _read_metadata(session_id, settings, url)
        state.note = _NEEDS_GIT
        return state
    from github_worker.cli.session_repository import inspect  # noqa: PLC0415 (it needs those packages)

    return inspect(session_id, settings)


def _read_metadata(session_id: str, settings: Settings, url: str) -> State:
    limits = Limits(max_bytes=settings.max_session_bytes, max_files=settings.max_session_files)
    store = open_store(url, settings.storage_options, settings.storage_timeout)
    with store.download(session_id) as download:
        metadata = read_archive(download.chunks, session_id, limits) if download else None
    return State() if metadata is None else describe_metadata(metadata)


def describe_metadata(metadata: Metadata) -> State:
    """Return what a session's metadata says of it."""
    return State(
        title=metadata.session_title or "",
        repository=metadata.github.repo_url if metadata.github else "",
        branch=metadata.branch or "",
        base_branch=metadata.base_branch or "",
    )


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
