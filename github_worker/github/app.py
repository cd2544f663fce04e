"""A token of the service's own GitHub App: for one repository, with what one job needs, for as long as that.

It is made when it is first needed, renewed before it expires, and revoked when the job's stream is out.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

from github_worker.contract import (
    AutoPullRequest,
    CloneRepository,
    CreatePullRequest,
    MergePullRequest,
    RepositoryUrl,
    SwitchBranch,
    SyncBranch,
)
from github_worker.errors import (
    AuthenticationFailed,
    JobError,
    PermissionDenied,
    RepositoryNotFound,
)
from github_worker.exchanges import hooks_for
from github_worker.forge.pull_request import FullName
from github_worker.forge.requests import ApiRequest, ApiResponse
from github_worker.github.client import HEADERS, GitHub, open_github
from github_worker.github.errors import read_sentence
from github_worker.progress import Report
from github_worker.redaction import Secret, scrub
from github_worker.settings import GitHubApp, Settings

logger = logging.getLogger(__name__)

Permissions = Mapping[str, str]
_LEEWAY = 60  # seconds that GitHub's clock may be behind
_VALIDITY = 540  # seconds that a signature is good for; GitHub takes 600 at most
_MARGIN = 300.0  # seconds before its end that a token is renewed
_SHORTEST = 1.0  # second between two renewals, whatever GitHub says of their ends
_RETRY = 15.0  # seconds until another try to renew one, at most
_PATIENCE = 3.0  # seconds for a revocation, as the process waits for it
# What is asked for only where the installation has it: without the first there is less to wait for, and of
# the second GitHub says better when it lacks.
_OPTIONAL = {"actions", "workflows"}
_NOT_INSTALLED = "this service's GitHub App is not installed there"


class _Account(Struct, frozen=True):
    login: str = ""


class _Installation(Struct, frozen=True):
    id: int
    permissions: dict[str, str]
    account: _Account | None = None
    suspended_at: str | None = None


class _Application(Struct, frozen=True):
    slug: str = ""


class _Answer(Struct, frozen=True):
    token: str
    expires_at: datetime


class _Made(Struct, frozen=True):
    """A token that was made, and when it ends, in seconds since the epoch."""

    token: Secret
    ends_at: float


def list_permissions(request: object) -> dict[str, str]:
    """Return what a request needs of a token; a push that changes workflows needs them beside it."""
    match request:
        case CloneRepository() | SwitchBranch() | SyncBranch(force_with_lease=False):
            return {"contents": "read"}
        case CreatePullRequest():
            return {"contents": "read", "pull_requests": "write"}
        case MergePullRequest():
            return {"contents": "write", "pull_requests": "read"}
        case AutoPullRequest(wait_for_checks=True):
            waiting = {"checks": "read", "statuses": "read", "actions": "read"}
            return {"contents": "write", "pull_requests": "write", **waiting}
        case AutoPullRequest():
            return {"contents": "write", "pull_requests": "write"}
        case _:
            return {"contents": "write"}


class AppToken(Secret):
    """Stands for the newest token of one job, which is made at the first `grant` or `reveal`.

    `needed` are the permissions that it has at least.
    """

    __slots__ = (
        *("_app", "_lock", "_loop", "_made", "_name", "_permissions"),
        *("_renewal", "_report", "_settings", "_thread"),
    )

    def __init__(
        self, url: RepositoryUrl, needed: Permissions, settings: Settings, app: GitHubApp, report: Report
    ) -> None:
        super().__init__("")
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._name = FullName(url.owner, url.name)
        self._permissions = dict(needed)
        self._settings, self._app, self._report = settings, app, report
        self._made: list[_Made] = []  # each masks itself as long as it is here
        self._lock = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        return True

    def reveal(self) -> str:
        """Return the newest token; where there is none yet, in a thread, wait until it is made."""
        if not self._made:
            if threading.get_ident() == self._thread:
                raise RuntimeError("the event loop cannot wait for the app's token: grant it first")
            asyncio.run_coroutine_threadsafe(self.grant(), self._loop).result()
        return self._made[-1].token.reveal()

    async def grant(self, **more: str) -> None:
        """See that there is a token, and that it has more permissions; raise a JobError if it cannot be."""
        async with self._lock:
            if self._made and more.items() <= self._permissions.items():
                return
            needed = self._permissions | more
            self._made.append(await self._make(needed))
            self._permissions = needed
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._keep_fresh())

    async def stop(self) -> None:
        """Renew it no more."""
        if self._renewal is not None:
            self._renewal.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewal

    def revoke(self) -> None:
        """Revoke all that were made and did not expire; one that cannot be ends by itself."""
        alive = [made for made in self._made if made.ends_at > time.time()]
        for made in alive:
            if reason := _revoke(made.token, self._settings):
                fields = {"reason": reason, "repository": str(self._name)}
                logger.warning(
                    "a token of the app is not revoked: it ends by itself", extra={"fields": fields}
                )

    async def _keep_fresh(self) -> None:
        pause = self._time_to_renewal()
        while True:
            await asyncio.sleep(pause)
            try:
                async with self._lock:
                    self._made.append(await self._make(self._permissions))
                pause = self._time_to_renewal()
            except JobError as error:
                pause = self._time_to_retry()
                fields = {"reason": scrub(str(error)), "repository": str(self._name)}
                logger.warning("the app's token is not renewed yet", extra={"fields": fields})

    def _time_to_renewal(self) -> float:
        life = self._made[-1].ends_at - time.time()
        return max(life - _MARGIN, life / 2, _SHORTEST)

    def _time_to_retry(self) -> float:
        left = self._made[-1].ends_at - time.time()
        return min(max(left / 4, _SHORTEST), _RETRY) if left > 0 else _RETRY

    async def _make(self, permissions: Permissions) -> _Made:
        signature = await asyncio.to_thread(_sign, self._app, time.time())
        async with open_github(self._settings, signature, self._report, _Issuer) as github:
            installation = await _find_installation(github, self._name)
            granted = _choose_permissions(permissions, installation, self._name)
            body = {"repositories": [self._name.name], "permissions": granted}
            request = ApiRequest(
                purpose=f"Making a token for {self._name}",
                method="POST",
                path=f"/app/installations/{installation.id}/access_tokens",
                body=body,
                statuses=frozenset({201}),
            )
            response = await github.send(request)
        answer = response.decode(_Answer)
        life = answer.expires_at.timestamp() - _read_clock(response)
        return _Made(Secret(answer.token), time.time() + life)


async def find_slug(settings: Settings, app: GitHubApp, report: Report) -> str:
    """Return the app's name on GitHub, once GitHub has taken its signature."""
    signature = await asyncio.to_thread(_sign, app, time.time())
    async with open_github(settings, signature, report, _Issuer) as github:
        request = ApiRequest(purpose="Asking for the app", method="GET", path="/app")
        return (await github.send(request)).decode(_Application).slug


class _Issuer(GitHub):
    """GitHub as the app itself asks it, whose refusals are about the app."""

    def translate(self, response: ApiResponse, request: ApiRequest) -> JobError:
        """Return the error that a refusal stands for, in words for whoever runs the service."""
        sentence = f"{request.purpose} failed: {read_sentence(response)}"
        match response.status:
            case 401:
                return AuthenticationFailed(f"{sentence}{_explain_signature(response)}")
            case 404:
                return RepositoryNotFound(f"{sentence}: {_NOT_INSTALLED}, or there is no such repository")
            case 422 if "repository" in sentence.partition(": ")[2]:
                return RepositoryNotFound(f"{sentence}: {_NOT_INSTALLED}")
            case _:
                return PermissionDenied(sentence)


async def _find_installation(github: GitHub, name: FullName) -> _Installation:
    """Return the app's installation that has a repository; raise RepositoryNotFound, PermissionDenied, …."""
    request = ApiRequest(
        purpose=f"Asking for the app's installation on {name}", method="GET", path=f"{name.path}/installation"
    )
    installation = (await github.send(request)).decode(_Installation)
    # A repository that was given away leads to its new owner's, where the name may be another repository's.
    if installation.account is None or installation.account.login.lower() != name.owner.lower():
        raise RepositoryNotFound(f"{name} belongs to somebody else now: give its new name")
    if installation.suspended_at is not None:
        raise PermissionDenied(f"This service's GitHub App is suspended on {name.owner}")
    return installation


def _choose_permissions(
    permissions: Permissions, installation: _Installation, name: FullName
) -> dict[str, str]:
    """Return what to ask for; raise PermissionDenied naming what the installation was not granted."""
    granted = installation.permissions
    missing = [
        f"{permission}: {right}"
        for permission, right in permissions.items()
        if not _has(granted, permission, right) and permission not in _OPTIONAL
    ]
    if missing:
        named = ", ".join(missing)
        raise PermissionDenied(f"This service's GitHub App was not granted {named} by {name.owner}")
    return {
        permission: right for permission, right in permissions.items() if _has(granted, permission, right)
    }


def _has(granted: Permissions, permission: str, right: str) -> bool:
    return granted.get(permission) in {right, "write", "admin"}


def _sign(app: GitHubApp, now: float) -> Secret:
    """Sign that this is the app, for a few minutes (RFC 7519)."""
    import jwt  # noqa: PLC0415 (few services have an app)

    claims = {"iat": int(now) - _LEEWAY, "exp": int(now) + _VALIDITY, "iss": app.id}
    return Secret(jwt.encode(claims, app.private_key.reveal(), algorithm="RS256"))


def _explain_signature(response: ApiResponse) -> str:
    """Say what is likely to be wrong with a signature that was refused: the clock, or else the key."""
    apart = round(time.time() - _read_clock(response))
    if abs(apart) > _LEEWAY:
        side = "ahead of" if apart > 0 else "behind"
        return f" (this machine's clock is {abs(apart)} seconds {side} GitHub's)"
    return " (is GITHUB_APP_PRIVATE_KEY a key of the app GITHUB_APP_ID?)"


def _read_clock(response: ApiResponse) -> float:
    """Return GitHub's time, in seconds since the epoch."""
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return datetime.now(UTC).timestamp()


def _revoke(token: Secret, settings: Settings) -> str | None:
    """Revoke a token; return why it is not, if it is not. It blocks, as nothing else is left to be done."""
    import httpx  # noqa: PLC0415 (few services have an app)

    proxy = settings.proxy_for(settings.github_api_url)
    try:
        with httpx.Client(
            headers=HEADERS | {"Authorization": f"Bearer {token.reveal()}"},
            timeout=_PATIENCE,
            verify=ssl.create_default_context(),
            proxy=proxy.reveal() if proxy else None,
            trust_env=False,
            event_hooks=hooks_for("github", is_async=False),
        ) as http:
            response = http.delete(f"{settings.github_api_url}/installation/token")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return scrub(f"{type(error).__name__} {error}".strip())
    # One that is refused is of no more use to anybody.
    return None if response.status_code in {204, 401} else f"status {response.status_code}"
