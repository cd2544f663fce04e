"""What an operation is handed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Protocol

from github_worker.archive.limits import Limits
from github_worker.contract import RepositoryUrl
from github_worker.errors import PermissionDenied
from github_worker.exchanges import is_recorded
from github_worker.git.native import isolate
from github_worker.git.repository import Person
from github_worker.naming import Namer
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.scratch import Scratch
from github_worker.sessions.transaction import SessionRequest, Sessions
from github_worker.settings import Settings
from github_worker.storage import store_for
from github_worker.storage.recorded import RecordedStore

if TYPE_CHECKING:
    from github_worker.github.app import AppToken


class TokenBearer(Protocol):
    """A request that may bring a token."""

    needs_token: ClassVar[bool]

    @property
    def access_token(self) -> Secret | None:
        """The token for the git server and the forge."""


class Services:
    """The settings and the rooms of one job."""

    def __init__(self, settings: Settings, sessions: Sessions, namer: Namer, scratch: Scratch) -> None:
        self.settings = settings
        self.sessions = sessions
        self.namer = namer
        self.committer = Person(settings.committer_name, settings.committer_email, signer=settings.signer)
        self._scratch = scratch
        self._app_token: AppToken | None = None

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

    def token_for(self, request: TokenBearer, url: RepositoryUrl, report: Report) -> Secret | None:
        """Return the request's token, or without one the app's, which is made when it is first needed.

        Raises PermissionDenied where a caller without a token has no right to the repository.
        """
        if request.access_token is not None or self.settings.github_app is None:
            return request.access_token
        return self._ask_app(request, url, report)

    async def ready_token_for(
        self, request: TokenBearer, url: RepositoryUrl, report: Report
    ) -> Secret | None:
        """Return the request's token, or without one the app's, made at once: the event loop cannot wait."""
        token = self.token_for(request, url, report)
        if self._app_token is not None:
            await self._app_token.grant()
        return token

    def _ask_app(self, request: TokenBearer, url: RepositoryUrl, report: Report) -> Secret | None:
        if not (request.needs_token or self.settings.is_on_github(url)):
            return None
        if (app := self.settings.app_for(url)) is None:
            raise PermissionDenied(
                f"This service makes no token for {url.full_name}: bring one in `githubAccessToken`"
            )
        from github_worker.github.app import AppToken, list_permissions  # noqa: PLC0415 (few have an app)

        self._app_token = AppToken(url, list_permissions(request), self.settings, app, report)
        return self._app_token

    async def cleanup(self) -> None:
        """Remove what the job left on disk."""
        if self._app_token is not None:
            await self._app_token.stop()
        await asyncio.to_thread(self._scratch.remove)

    def close(self) -> None:
        """Revoke the tokens that were made for the job, now that nobody waits for it."""
        if self._app_token is not None:
            self._app_token.revoke()
