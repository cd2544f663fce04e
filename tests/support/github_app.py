"""A GitHub App on loopback: it checks who signs, and makes tokens for a repository and some permissions."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support import github_description as described
from tests.support.github_routes import error

APP_ID, SLUG = "4711", "octoapp"
_LONGEST = 600  # seconds that a signature may be good for
_INSTALLATION = re.compile(r"/repos/([^/]+)/([^/]+)/installation")
_ACCESS_TOKENS = re.compile(r"/app/installations/(\d+)/access_tokens")
_RANKS = ("read", "write")
# What GitHub's documentation says that an app needs, of "Permissions required for GitHub Apps"; any of them.
_PERMISSIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("GET", r"", ("metadata: read",)),
    ("GET", r"/rules/branches/.+", ("metadata: read",)),
    ("GET", r"/pulls(?:/\d+)?", ("pull_requests: read",)),
    ("POST|PATCH", r"/pulls(?:/\d+(?:/requested_reviewers)?)?", ("pull_requests: write",)),
    ("PUT", r"/pulls/\d+/merge", ("contents: write",)),
    ("POST|PATCH", r"/issues/\d+(?:/labels|/assignees)?", ("issues: write", "pull_requests: write")),
    ("GET", r"/(?:compare|branches|git/ref|git/commits)/.+", ("contents: read",)),
    ("POST|DELETE", r"/merges|/git/refs/.+", ("contents: write",)),
    ("GET", r"/commits/\w+/check-(?:runs|suites)", ("checks: read",)),
    ("GET", r"/commits/\w+/status", ("statuses: read",)),
    ("GET", r"/actions/runs", ("actions: read",)),
)


@cache
def private_key() -> str:
    """Return the app's private key, in PEM."""
    return make_key()


def make_key() -> str:
    """Make a private key, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind = serialization.PrivateFormat.TraditionalOpenSSL  # as GitHub gives it out
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


@dataclass
class Installation:
    """The app on somebody's account: on which repositories, and what it was granted there."""

    number: int
    owner: str
    repositories: set[str]
    permissions: dict[str, str]
    suspended: bool = False


@dataclass
class Grant:
    """A token that was handed out: for one repository, until a time in seconds since the epoch."""

    repository: str
    permissions: dict[str, str]
    ends_at: float
    revoked: bool = False

    def allows(self, repository: str, *permissions: str) -> bool:
        """Tell whether it may do one of some things in a repository."""
        return self.repository.lower() == repository.lower() and any(map(self._has, permissions))

    @property
    def is_good(self) -> bool:
        """Whether it is still taken."""
        return not self.revoked and time.time() < self.ends_at

    def _has(self, permission: str) -> bool:
        name, _, right = permission.partition(": ")
        given = self.permissions.get(name)
        return given is not None and _RANKS.index(given) >= _RANKS.index(right)


@dataclass
class App:
    """The app and its installations; `behind` is how many seconds GitHub's clock is behind this machine's.

    A repository in `moved` was given away, and leads to the installation on its new owner.
    """

    key: str = field(default_factory=private_key)
    life: float = 3600.0
    behind: float = 0.0
    installations: list[Installation] = field(default_factory=list)
    moved: dict[str, Installation] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def install(self, owner: str, *repositories: str, **permissions: str) -> Installation:
        """Install it on an account; unless given, with what the service may ask for."""
        granted = permissions or {
            **dict.fromkeys(("contents", "pull_requests", "workflows"), "write"),
            **dict.fromkeys(("checks", "statuses", "actions"), "read"),
        }
        number = len(self.installations) + 1
        made = Installation(number, owner, set(repositories), granted | {"metadata": "read"})
        self.installations.append(made)
        return made

    def find(self, token: str | None) -> Grant | None:
        """Return what a token is good for, None where it is none of ours or none any more."""
        grant = self.grants.get(token or "")
        return grant if grant is not None and grant.is_good else None

    def wait_for(self, count: int, timeout: float = 30.0) -> None:
        """Block until so many tokens were made."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.grants) >= count, timeout):
                raise TimeoutError(f"{len(self.grants)} of {count} tokens were made")

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes] | None:
        """Answer what the app is asked, as GitHub's description has it; None for anything else."""
        if not self._is_own(path):
            return None
        self.asked.append(f"{method} {path}")
        self.violations.extend(described.faults_of_request(method, path, body))
        token = (headers.get("Authorization") or "").removeprefix("Bearer ")
        status, answer = self._route(method, path, token, json.loads(body) if body else {})
        content = b"" if answer is None else json.dumps(answer).encode()
        if status not in {401, 404}:
            self.violations.extend(described.faults_of_answer(method, path, status, content))
        return status, content

    def _is_own(self, path: str) -> bool:
        is_of_app = _INSTALLATION.fullmatch(path) or _ACCESS_TOKENS.fullmatch(path)
        return bool(is_of_app) or path in {"/app", "/installation/token"}

    def _route(self, method: str, path: str, token: str, sent: Any) -> tuple[int, Any]:
        if (method, path) == ("DELETE", "/installation/token"):
            return self._revoke(token)
        if refusal := self._check(token):
            return 401, error(refusal)
        if path == "/app":
            return 200, described.example("integration") | {"slug": SLUG}
        if place := _INSTALLATION.fullmatch(path):
            return self._show(*place.groups())
        place = _ACCESS_TOKENS.fullmatch(path)
        assert place is not None
        found = next((each for each in self.installations if each.number == int(place[1])), None)
        return (404, error("Not Found")) if found is None else self._make(found, sent)

    def _check(self, token: str) -> str | None:
        """Say what GitHub says of a signature that it does not take."""
        options: Any = {"require": ["iat", "exp", "iss"], "verify_exp": False, "verify_iat": False}
        try:
            key = serialization.load_pem_private_key(self.key.encode(), None).public_key()
            claims = jwt.decode(token, key, algorithms=["RS256"], options=options)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            return "A JSON web token could not be decoded"
        now = time.time() - self.behind
        if claims["iss"] != APP_ID:
            return "Integration not found"
        if claims["iat"] > now:
            issued = "must be an Integer representing the time that the assertion was issued"
            return f"'Issued at' claim ('iat') {issued}"
        if claims["exp"] <= now:
            return "'Expiration time' claim ('exp') must be a numeric value representing the future time"
        if claims["exp"] > now + _LONGEST:
            return "'Expiration time' claim ('exp') is too far in the future"
        return None

    def _show(self, owner: str, name: str) -> tuple[int, Any]:
        found = self.moved.get(f"/repos/{owner}/{name}") or self._find(owner, name)
        if found is None:
            return 404, error("Not Found")
        shown: dict[str, Any] = described.example("installation")
        shown["account"]["login"] = found.owner
        suspended = "2026-01-31T09:00:00Z" if found.suspended else None
        return 200, shown | {
            "id": found.number,
            "permissions": found.permissions,
            "suspended_at": suspended,
            "repository_selection": "selected",
        }

    def _find(self, owner: str, name: str) -> Installation | None:
        own = [each for each in self.installations if each.owner.lower() == owner.lower()]
        return next((each for each in own if name in each.repositories), None)

    def _make(self, installation: Installation, sent: dict[str, Any]) -> tuple[int, Any]:
        if installation.suspended:
            return 403, error("This installation has been suspended")
        names, permissions = sent.get("repositories", []), sent.get("permissions", {})
        if len(names) != 1 or not permissions:
            self.violations.append(f"a token for more than what is needed: {sent}")
        if not set(names) <= installation.repositories:
            sentence = (
                "There is at least one repository that does not exist or is not accessible to the parent"
                " installation."
            )
            return 422, error(sentence)
        whole = Grant(f"{installation.owner}/{names[0]}", installation.permissions, time.time() + self.life)
        if not all(whole.allows(whole.repository, f"{name}: {right}") for name, right in permissions.items()):
            return 422, error("The permissions requested are not granted to this installation.")
        grant = Grant(whole.repository, {"metadata": "read", **permissions}, whole.ends_at)
        token = f"ghs_{secrets.token_urlsafe(27).replace('-', 'x').replace('_', 'y')}"
        with self.changed:
            self.grants[token] = grant
            self.changed.notify_all()
        return 201, _show_token(token, grant, names[0])

    def _revoke(self, token: str) -> tuple[int, Any]:
        grant = self.find(token)
        if grant is None:
            return 401, error("Bad credentials")
        with self.changed:
            grant.revoked = True
            self.changed.notify_all()
        return 204, None


def _show_token(token: str, grant: Grant, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = described.example("installation-token")
    shown["repositories"] = [shown["repositories"][0] | {"name": name, "full_name": grant.repository}]
    ends_at = datetime.fromtimestamp(grant.ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return shown | {"token": token, "expires_at": ends_at, "permissions": grant.permissions}


def needs(method: str, path: str) -> tuple[str, ...]:
    """Return the permissions, one of which a request below a repository takes."""
    for methods, pattern, permissions in _PERMISSIONS:
        if re.fullmatch(methods, method) and re.fullmatch(pattern, path):
            return permissions
    raise AssertionError(f"what {method} {path} needs is not written down")
