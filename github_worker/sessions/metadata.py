"""A session's metadata: the fields this service knows, and whatever else is there.

It is read from an unpacked session, or alone, as the archive streams by.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from github_worker.archive import tar
from github_worker.archive.gzip import inflate
from github_worker.archive.limits import Limits, Tally
from github_worker.archive.tar import Member
from github_worker.archive.unpack import TarReader
from github_worker.contract import Directory, RepositoryUrl, Request, explain, rfc3339
from github_worker.errors import SessionCorrupt, SessionNotFound, SessionTooLarge, StorageUnavailable
from github_worker.progress import ByteCount, Report
from github_worker.retry import retry
from github_worker.storage import Store

PATH = "workspace/.session-metadata.json"
_KEY = "githubWorker"
_RECORDED_FIELDS = ("repositoryOwner", "repositoryName", "branch", "sessionTitle", "sessionPath", "github")
_MAX_OUTCOMES = 20
_MAX_BYTES = 16 * 1024 * 1024  # it is read into memory


class Github(Struct, frozen=True, rename="camel", kw_only=True):
    """The repository that the session holds, and its folder."""

    repo_url: str
    base_branch: str | None = None
    cloned_path: Directory


class _KnownFields(Struct, frozen=True, rename="camel", kw_only=True):
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
        _check_size(file.stat().st_size)
        return cls.decode(file.read_bytes())

    @classmethod
    def decode(cls, content: bytes) -> Metadata:
        """Read it from the file's content; raise SessionCorrupt when it is not what it should be."""
        try:
            fields = msgspec.json.decode(content)
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
        """The repository that the session holds."""
        return self._known.github

    @property
    def repository(self) -> str | None:
        """The repository that the session holds, as `owner/name`, where its URL is one."""
        if self.github is not None:
            with suppress(ValueError):
                return RepositoryUrl.parse(self.github.repo_url).full_name
        return None

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
        self.update(repositoryOwner=url.groups, repositoryName=url.name, branch=branch, github=github)

    def record_branch(self, branch: str, base: str, title: str, session_path: str, user_request: str) -> None:
        """Record the branch that the session works on, and for which request."""
        github = dict(self._fields.get("github") or {}) | {"baseBranch": base}
        self.update(branch=branch, sessionTitle=title, sessionPath=session_path, github=github)
        self._ours["request"] = _digest(user_request)

    def record_switch(self, branch: str, session_path: str) -> None:
        """Record the branch that the session was put on, which was started for no request."""
        known = {"sessionPath": session_path} if self.session_path is not None else {}
        self.update(branch=branch, **known)
        self._ours.pop("request", None)

    def is_for(self, user_request: str) -> bool:
        """Tell whether the session's branch was started for this request."""
        return self._ours.get("request") == _digest(user_request)

    def copy_from(self, other: Metadata) -> None:
        """Copy what `record_clone` and `record_branch` recorded in another version of the session."""
        self.update(**{name: other._fields[name] for name in _RECORDED_FIELDS if name in other._fields})
        self._ours["request"] = other._ours.get("request")

    def outcome(self, request: Request) -> Mapping[str, Any] | None:
        """Return what the request achieved when it was first made, where that is known."""
        for outcome in self._outcomes():
            if request.request_id and _is_of(outcome, request.request_id, request.operation):
                result = outcome.get("result")
                return result if isinstance(result, dict) else None
        return None

    def remember(self, request_id: str, operation: str, result: Mapping[str, Any]) -> None:
        """Keep an outcome, and forget the oldest ones."""
        outcome = {"requestId": request_id, "operation": operation, "at": _now(), "result": result}
        self._ours["outcomes"] = [*self._outcomes(), outcome][-_MAX_OUTCOMES:]

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


async def download_metadata(store: Store, session_id: str, limits: Limits, report: Report) -> Metadata | None:
    """Download a session's archive as far as its metadata, and no further.

    Return None where only unpacking can tell: the metadata is a hard link to an earlier file. Raise
    SessionNotFound, SessionCorrupt, SessionTooLarge or StorageUnavailable.
    """
    report("downloading_session", "Downloading the session")
    received = ByteCount()

    def download() -> Metadata | None:
        return retry(lambda: _download(store, session_id, limits, received), DownloadInterrupted)

    return await report.transfer(asyncio.to_thread(download), received)


class DownloadInterrupted(StorageUnavailable):
    """The archive began to arrive, and did not arrive whole."""


def translate_interruption(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pass an archive's chunks on; raise DownloadInterrupted where the storage fails in between."""
    try:
        yield from chunks
    except StorageUnavailable as error:
        raise DownloadInterrupted(str(error)) from error


def _download(store: Store, session_id: str, limits: Limits, received: ByteCount) -> Metadata | None:
    with store.download(session_id) as download:
        if download is None:
            raise SessionNotFound(
                f"There is no session {session_id}; clone-repository or init-session begins one"
            )
        received.size, received.total = 0, download.size
        return read_archive(
            translate_interruption(received.count_chunks(download.chunks)), session_id, limits
        )


def read_archive(chunks: Iterable[bytes], session_id: str, limits: Limits) -> Metadata | None:
    """Read the metadata as an archive streams by; return None where it is a hard link.

    Where the name is repeated the first member counts, while unpacking takes the last: that no other one
    follows is known only at the archive's end, and only one that was appended to repeats a name.
    """
    tally = Tally(limits)
    reader = TarReader(inflate(chunks, tally), tally)
    for member in reader:
        if _is_metadata(member.path):
            return _read_member(member, reader, session_id)
        for _ in reader.content(member):
            pass
    return Metadata.new(session_id)


def _read_member(member: Member, reader: TarReader, session_id: str) -> Metadata | None:
    if member.kind == tar.FOLDER:
        raise SessionCorrupt(f"The session's archive has {PATH}, which is of another kind")
    if member.kind == tar.HARD_LINK:
        return None
    if member.kind != tar.FILE:
        return Metadata.new(session_id)
    _check_size(member.size)
    return Metadata.decode(b"".join(reader.content(member)))


def _is_metadata(name: bytes) -> bool:
    segments = [segment for segment in name.split(b"/") if segment not in (b"", b".")]
    return b"/".join(segments) == PATH.encode() and not name.startswith(b"/")


def _check_size(size: int) -> None:
    if size > _MAX_BYTES:
        raise SessionTooLarge(f"{PATH} is over {_MAX_BYTES:,} bytes")


def _is_of(outcome: Mapping[str, Any], request_id: str, operation: str) -> bool:
    return (outcome.get("requestId"), outcome.get("operation")) == (request_id, operation)


def _decode(fields: dict[str, Any]) -> _KnownFields:
    try:
        return msgspec.convert(fields, _KnownFields)
    except msgspec.ValidationError as error:
        raise SessionCorrupt(f"{PATH}: {explain('', error)}") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _now() -> str:
    return rfc3339(datetime.now(UTC))
