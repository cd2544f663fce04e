"""A session's files in a folder: unpacked from a store, and saved to it if anything changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec
from isal import isal_zlib

from github_worker.archive.limits import Limits
from github_worker.archive.quarantine import Inventory, Kept
from github_worker.archive.tar import Member, Owner
from github_worker.archive.whole import FilesChanged, Snapshot, WholePacker, take_snapshot, unpack_whole
from github_worker.contract import Directory
from github_worker.errors import StorageUnavailable
from github_worker.retry import retry
from github_worker.storage import SessionChanged, Store
from github_worker_client.sessions.errors import (
    NoRepository,
    SessionConflict,
    SessionCorrupt,
    SessionError,
    SessionNotFound,
    translated,
)
from github_worker_client.sessions.removal import remove

_logger = logging.getLogger("github_worker_client")
_METADATA = Path("workspace/.session-metadata.json")
_WORKSPACE = Path("workspace/workspace")
_MAX_METADATA = 16 * 1024 * 1024
_TRIES = 3  # to read the files as they are at one moment
_PAUSE = 0.1  # seconds, twice as many each time
_UNKNOWN = "unknown"  # is no store's version: the next save conflicts


class Version(msgspec.Struct, frozen=True):
    """One version of a session; `modified` and `size` (bytes) are None where the store does not tell."""

    id: str | None = None
    modified: datetime | None = None
    size: int | None = None


class Record(msgspec.Struct, kw_only=True):
    """All that must be known of a checkout to save it later, beside the files."""

    session_id: str
    version: Version
    owner: Owner
    prefix: bytes
    subsecond: bool
    kept: dict[bytes, Kept]
    specials: dict[bytes, Member]
    snapshot: Snapshot | None


class Abandoned(Exception):
    """The caller went away."""


class _Interrupted(StorageUnavailable):
    """The archive began to arrive, and did not arrive whole."""


class WorkingCopy:
    """A session's files in `folder`. The methods block; who saves holds the session's `lock`."""

    def __init__(
        self,
        store: Store,
        session_id: str,
        folder: Path,
        limits: Limits,
        *,
        lock: threading.Lock,
        read_only: bool = False,
        without: bytes = b"",
    ) -> None:
        self.id = session_id
        self.folder = folder
        self.read_only = read_only
        self.version = Version()
        self._store = store
        self._limits = limits
        self._without = without
        self._inventory = Inventory()
        self._snapshot: Snapshot | None = None
        self._lock = lock

    @property
    def modified(self) -> datetime | None:
        """When the version was saved that these files are of; None for a new session."""
        return self.version.modified

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The session's metadata as it was checked out; empty where there is none. Raises SessionCorrupt."""
        file = self.folder / _METADATA
        if self._find_link(_METADATA) is not None or not file.is_file():
            return {}
        if file.stat().st_size > _MAX_METADATA:
            raise SessionCorrupt(f"{_METADATA} is over {_MAX_METADATA:,} bytes")
        try:
            fields = msgspec.json.decode(file.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise SessionCorrupt(f"{_METADATA} is not JSON") from None
        if not isinstance(fields, dict):
            raise SessionCorrupt(f"{_METADATA} is not an object")
        return fields

    @cached_property
    def repository(self) -> Path:
        """The folder of the session's repository, as its metadata names it; raises NoRepository."""
        github = self.metadata.get("github")
        name = github.get("clonedPath") if isinstance(github, dict) else None
        if name is None:
            raise NoRepository(f"The session {self.id} holds no repository")
        try:
            path = _WORKSPACE / msgspec.convert(name, Directory)
        except msgspec.ValidationError:
            raise SessionCorrupt(f"{_METADATA} names a repository that is in no folder: {name!a}") from None
        if (link := self._find_link(path)) is not None:
            raise NoRepository(f"The session {self.id} has a link where its repository should be: {link}")
        if not (self.folder / path).is_dir():
            raise NoRepository(f"The session {self.id} has no folder {path}, where its repository should be")
        return self.folder / path

    @property
    def left_out(self) -> list[str]:
        """What the last save left out: sockets, pipes and devices that were made here."""
        paths = self._snapshot.left_out if self._snapshot else ()
        return [path.decode(errors="backslashreplace") for path in paths]

    def load(self, abandoned: threading.Event | None = None, *, may_be_new: bool = False) -> None:
        """Unpack the session into its folder, which is made; raise SessionError, and leave no folder.

        A download that breaks off is begun anew. Raises Abandoned soon after that is set.
        """
        left = abandoned or threading.Event()
        with translated():
            retry(lambda: self._load(left, may_be_new), _Interrupted)

    def _load(self, abandoned: threading.Event, may_be_new: bool) -> None:
        self.folder.mkdir(mode=0o700)
        try:
            self._unpack(abandoned, may_be_new)
            self._snapshot = self._look()
            if abandoned.is_set():
                raise Abandoned
        except BaseException:
            remove(self.folder)
            raise

    def _unpack(self, abandoned: threading.Event, may_be_new: bool) -> None:
        with self._store.download(self.id) as download:
            if download is not None:
                chunks = _watch(abandoned, download.chunks)
                self._inventory = unpack_whole(chunks, self.folder, self._limits)
                self.version = Version(download.version, download.modified, download.size)
            elif may_be_new:
                (self.folder / _WORKSPACE).mkdir(parents=True)
            else:
                raise SessionNotFound(f"There is no session {self.id}")

    def is_changed(self) -> bool:
        """Tell whether anything changed since the checkout or the last save; no file is read."""
        with translated():
            return self._is_other(self._look())

    def save(self) -> bool:
        """Save the session if anything changed, and return whether it was; raise SessionError.

        SessionConflict is raised if another writer saved it meanwhile. What is saved are the files of one
        moment; where they change again and again, each file as it was at one.
        """
        if self.read_only:
            raise SessionError(f"The session {self.id} was checked out to be read only")
        with self._lock, translated():
            if not self._is_other(self._look()):
                return False
            for attempt in range(1, _TRIES + 1):
                try:
                    self._upload(as_one=attempt < _TRIES)
                    return True
                except FilesChanged:
                    if attempt == _TRIES:
                        raise
                time.sleep(_PAUSE * 2**attempt)
        raise AssertionError

    def keep(self) -> Record:
        """Return what to keep beside the files, so that `resume` can go on with them."""
        inventory = self._inventory
        return Record(
            session_id=self.id,
            version=self.version,
            owner=inventory.owner,
            prefix=inventory.prefix,
            subsecond=inventory.subsecond,
            kept=inventory.kept,
            specials=inventory.specials,
            snapshot=self._snapshot,
        )

    def resume(self, record: Record) -> None:
        """Take the folder for the checkout that was made when `record` was kept."""
        self.version = record.version
        self._snapshot = record.snapshot
        self._inventory = Inventory(
            owner=record.owner,
            prefix=record.prefix,
            subsecond=record.subsecond,
            kept=record.kept,
            specials=record.specials,
        )

    def take_place_of(self, version: Version | None) -> None:
        """Let the next save replace this version, whatever it holds, even by files that did not change."""
        self.version = version or Version()
        self._snapshot = None

    def _is_other(self, snapshot: Snapshot) -> bool:
        return self._snapshot is None or self._snapshot.digest != snapshot.digest

    def _look(self) -> Snapshot:
        return take_snapshot(self.folder, self._limits, without=self._without)

    def _upload(self, *, as_one: bool) -> None:
        packer, sent = retry(partial(self._send, as_one), StorageUnavailable)
        self._snapshot = packer.snapshot
        if self._snapshot.left_out:
            _logger.warning("session %s was saved without %s", self.id, ", ".join(self.left_out))
        self.version = Version(self.version.id or self._ask_version(sent), datetime.now(UTC), sent.size)

    def _send(self, as_one: bool) -> tuple[WholePacker, _Sum]:
        packer = WholePacker(self.folder, self._inventory, self._limits, without=self._without)
        sent = _Sum()
        try:
            version = self._store.upload(self.id, sent.of(packer.pack(as_one=as_one)), self.version.id)
        except SessionChanged:
            if (version := self._find_own(sent)) is None:
                raise self._conflict() from None
        self.version = Version(version)
        return packer, sent

    def _find_own(self, sent: _Sum) -> str | None:
        """Return the stored version if it is what was sent: its answer may have been lost on the way."""
        with self._store.download(self.id) as download:
            if download is None or download.size not in (None, sent.size):
                return None
            stored = _Sum()
            for _ in stored.of(download.chunks):
                if stored.size > sent.size:
                    return None
            return download.version if stored == sent else None

    def _ask_version(self, sent: _Sum) -> str:
        version = find_version(self._store, self.id)
        return version.id if version and version.id and version.size == sent.size else _UNKNOWN

    def _conflict(self) -> SessionConflict:
        stored = find_version(self._store, self.id)
        ours, theirs = self.modified, stored.modified if stored else None
        if stored is None:
            message = f"The session {self.id} was deleted meanwhile"
        elif self.version.id is None:
            message = f"There is a session {self.id} already, saved {_tell(theirs)}"
        else:
            message = f"Another writer saved the session {self.id} {_tell(theirs)}; yours began with the"
            message += f" version that was saved {_tell(ours)}"
        return SessionConflict(message, ours=ours, theirs=theirs)

    def _find_link(self, path: Path) -> Path | None:
        """Return the part of a path that is a link, None if there is none."""
        parts = [Path(*path.parts[:count]) for count in range(1, len(path.parts) + 1)]
        return next((part for part in parts if (self.folder / part).is_symlink()), None)


class _Sum(msgspec.Struct):
    """The size and the checksum of a stream, which tell whether two are the same one."""

    size: int = 0
    crc: int = 0

    def of(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass chunks on, taking them in."""
        for chunk in chunks:
            self.size += len(chunk)
            self.crc = isal_zlib.crc32(chunk, self.crc)
            yield chunk


def find_version(store: Store, session_id: str) -> Version | None:
    """Ask a store for a session's version, None where it has no such session."""
    with store.download(session_id) as download:
        return Version(download.version, download.modified, download.size) if download else None


def _watch(abandoned: threading.Event, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pass chunks on until the caller goes away; raise Interrupted where the store fails in between."""
    try:
        for chunk in chunks:
            if abandoned.is_set():
                raise Abandoned
            yield chunk
    except StorageUnavailable as error:
        raise _Interrupted(str(error)) from error


def _tell(moment: datetime | None) -> str:
    return "at a time that the store does not tell" if moment is None else f"at {moment:%Y-%m-%d %H:%M:%S %Z}"
