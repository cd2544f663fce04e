"""What an operation is handed."""

from __future__ import annotations

import asyncio

from github_worker.archive.limits import Limits
from github_worker.exchanges import is_recorded
from github_worker.git.native import isolate
from github_worker.git.repository import Person
from github_worker.naming import Namer
from github_worker.scratch import Scratch
from github_worker.sessions.transaction import SessionRequest, Sessions
from github_worker.settings import Settings
from github_worker.storage import store_for
from github_worker.storage.recorded import RecordedStore


class Services:
    """The settings and the rooms of one job."""

    def __init__(self, settings: Settings, sessions: Sessions, namer: Namer, scratch: Scratch) -> None:
        self.settings = settings
        self.sessions = sessions
        self.namer = namer
        self.committer = Person(settings.committer_name, settings.committer_email, signer=settings.signer)
        self._scratch = scratch

    @classmethod
    def from_settings(cls, settings: Settings, scratch: Scratch | None = None) -> Services:
        """Build them, to work in `scratch` or a new one; nothing is connected to before a job needs it."""
        isolate(settings.git_timeout)
        scratch = scratch or Scratch(settings.tmp_dir)
        scratch.sweep()
        limits = Limits(max_bytes=settings.max_session_bytes, max_files=settings.max_session_files)
        store = store_for(settings)
        if is_recorded() and not settings.storage_worker_url:  # whose client has hooks
            store = RecordedStore(store)
        sessions = Sessions(store, scratch, limits)
        return cls(settings, sessions, Namer(settings), scratch)

    def uses_lfs(self, request: SessionRequest) -> bool:
        """Tell whether a job is to do what git-lfs does."""
        return self.settings.lfs if request.lfs is None else request.lfs

    async def cleanup(self) -> None:
        """Remove what the job left on disk."""
        await asyncio.to_thread(self._scratch.remove)
