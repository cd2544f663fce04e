"""A session's metadata: the fields this service knows, and whatever else is there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from github_worker.contract import Directory, RepositoryUrl, Request, rfc3339
from github_worker.errors import SessionCorrupt, SessionTooLarge

PATH = "workspace/.session-metadata.json"
_KEY = "githubWorker"
_RECORDED = ("repositoryOwner", "repositoryName", "branch", "sessionTitle", "sessionPath", "github")
_KEPT_OUTCOMES = 20
_MAX_BYTES = 16 * 1024 * 1024  # it is read into memory


class Github(Struct, frozen=True, rename="camel", kw_only=True):
    """Which repository the session holds, and in which folder."""

    repo_url: str
    base_branch: str | None = None
    cloned_path: Directory


class _Known(Struct, frozen=True, rename="camel", kw_only=True):
    session_path: str | None = None
    repository_owner: str | None = None
    repository_name: str | None = None
    branch: str | None = None
    session_title: str | None = None
    github: Github | None = None


class Metadata:
    """The session's metadata; `update` changes fields, all others stay as they came."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._known = _decode(fields)

    @classmethod
    def read(cls, folder: Path, session_id: str) -> Metadata:
        """Read it from an unpacked session; raise SessionCorrupt when it is not what it should be."""
        file = folder / PATH
        if not file.is_file() or file.is_symlink():
            return cls.new(session_id)
        if file.stat().st_size > _MAX_BYTES:
            raise SessionTooLarge(f"{PATH} is over {_MAX_BYTES:,} bytes")
        try:
            fields = msgspec.json.decode(file.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise SessionCorrupt(f"{PATH} is not JSON") from None
        if not isinstance(fields, dict):
            raise SessionCorrupt(f"{PATH} is not an object")
        return cls(fields)

    @classmethod
    def new(cls, session_id: str) -> Metadata:
        """Begin the metadata of a new session."""
        return cls({"sessionId": session_id, "createdAt": _now()})

    def write(self, folder: Path) -> None:
        """Write it into an unpacked session, as of now."""
        self._fields["lastModified"] = _now()
        file = folder / PATH
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(msgspec.json.format(msgspec.json.encode(self._fields), indent=2))

    @property
    def github(self) -> Github | None:
        """Which repository the session holds."""
        return self._known.github

    @property
    def repository_owner(self) -> str | None:
        """The owner of the session's repository."""
        return self._known.repository_owner

    @property
    def repository_name(self) -> str | None:
        """The name of the session's repository."""
        return self._known.repository_name

    @property
    def branch(self) -> str | None:
        """The session's branch."""
        return self._known.branch

    @property
    def session_title(self) -> str | None:
        """The session's title."""
        return self._known.session_title

    @property
    def session_path(self) -> str | None:
        """The session's path."""
        return self._known.session_path

    @property
    def base_branch(self) -> str | None:
        """The branch that the session's branch started at."""
        return self._known.github.base_branch if self._known.github else None

    def update(self, **fields: Any) -> None:
        """Set fields by their names on the wire."""
        self._fields.update(fields)
        self._known = _decode(self._fields)

    def record_clone(self, url: RepositoryUrl, branch: str, cloned_path: str) -> None:
        """Record the repository that was cloned into the session."""
        github = dict(self._fields.get("github") or {})
        github.update(repoUrl=str(url), baseBranch=branch, clonedPath=cloned_path)
        self.update(repositoryOwner=url.owner, repositoryName=url.name, branch=branch, github=github)

    def record_branch(self, branch: str, base: str, title: str, session_path: str, user_request: str) -> None:
        """Record the branch that the session works on, and for which request."""
        github = dict(self._fields.get("github") or {}) | {"baseBranch": base}
        self.update(branch=branch, sessionTitle=title, sessionPath=session_path, github=github)
        self._ours["request"] = _digest(user_request)

    def is_for(self, user_request: str) -> bool:
        """Tell whether the session's branch was started for this request."""
        return self._ours.get("request") == _digest(user_request)

    def copy_from(self, other: Metadata) -> None:
        """Take over what `record_clone` and `record_branch` recorded in another version of the session."""
        self.update(**{name: other._fields[name] for name in _RECORDED if name in other._fields})
        self._ours["request"] = other._ours.get("request")

    def outcome(self, request: Request) -> Mapping[str, Any] | None:
        """Return what the request's first asking achieved, where that is known."""
        for outcome in self._outcomes():
            if request.request_id and _is_of(outcome, request.request_id, request.operation):
                result = outcome.get("result")
                return result if isinstance(result, dict) else None
        return None

    def remember(self, request_id: str, operation: str, result: Mapping[str, Any]) -> None:
        """Keep an outcome, and forget the oldest ones."""
        outcome = {"requestId": request_id, "operation": operation, "at": _now(), "result": result}
        self._ours["outcomes"] = [*self._outcomes(), outcome][-_KEPT_OUTCOMES:]

    def remembers(self, request_id: str, operation: str) -> bool:
        """Tell whether this request's outcome was saved."""
        return any(_is_of(outcome, request_id, operation) for outcome in self._outcomes())

    def _outcomes(self) -> list[dict[str, Any]]:
        outcomes = self._ours.get("outcomes")
        return [kept for kept in outcomes if isinstance(kept, dict)] if isinstance(outcomes, list) else []

    @property
    def _ours(self) -> dict[str, Any]:
        if not isinstance(self._fields.get(_KEY), dict):
            self._fields[_KEY] = {}
        ours: dict[str, Any] = self._fields[_KEY]
        return ours


def _is_of(outcome: Mapping[str, Any], request_id: str, operation: str) -> bool:
    return (outcome.get("requestId"), outcome.get("operation")) == (request_id, operation)


def _decode(fields: dict[str, Any]) -> _Known:
    try:
        return msgspec.convert(fields, _Known)
    except msgspec.ValidationError as error:
        raise SessionCorrupt(f"{PATH}: {error}") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _now() -> str:
    return rfc3339(datetime.now(UTC))
