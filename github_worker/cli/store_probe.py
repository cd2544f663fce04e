"""A probe of the session store: it is read, written, written on condition, and deleted."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct
from obstore.exceptions import PermissionDeniedError

from github_worker.cli.verdict import Verdict, fails, note, works
from github_worker.errors import ConfigurationError, StorageUnavailable
from github_worker.settings import Settings
from github_worker.storage import NotOffered, SessionChanged, Store, store_for

Answer = TypeVar("Answer")


class Permissions(Struct, frozen=True):
    """What a store calls the rights that a worker needs."""

    find: str
    read: str
    write: str
    delete: str


_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_PERMISSIONS: Mapping[str, Permissions] = {
    "s3": Permissions("s3:ListBucket, on the bucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
    "gs": Permissions(
        "storage.objects.list",
        "storage.objects.get",
        "storage.objects.create, and storage.objects.delete to replace one",
        "storage.objects.delete",
    ),
    "az": Permissions(f"{_BLOBS}/read", f"{_BLOBS}/read", f"{_BLOBS}/write", f"{_BLOBS}/delete"),
}
_OTHERS = Permissions("to look for sessions", "to read sessions", "to write sessions", "to delete sessions")
_NO_COMPARISON = "the store does not compare before it overwrites: a worker would undo what another one saved"


class _Refused(Exception):
    """The store does not let this caller do something; the message names the right that is missing."""


def probe_store(settings: Settings) -> Iterator[Verdict]:
    """Yield what is found of the store that is configured."""
    try:
        store = store_for(settings)
    except ConfigurationError as error:
        yield fails(str(error))
        return
    probe = _Probe(store, _PERMISSIONS.get((settings.storage_url or "").partition(":")[0], _OTHERS))
    try:
        yield probe.run()
    except (_Refused, StorageUnavailable) as error:
        yield fails(str(error))
    yield from probe.remove()


class _Probe:
    """A session of no one's, in a store."""

    def __init__(self, store: Store, permissions: Permissions) -> None:
        self._store = store
        self._permissions = permissions
        self._id = f"github-worker-check-{uuid.uuid4().hex[:8]}"

    def run(self) -> Verdict:
        """Read, write, read again, and write on conditions that hold and that do not."""
        # Who may read but not list is told of an object that is not there that it is forbidden.
        refusal = self._find_refusal(self._read)
        self._demand(lambda: self._save("first", None), self._permissions.write)
        version = self._demand(self._read, self._permissions.read)
        if refusal is not None:
            raise _Refused(f"{refusal}: this needs the right {self._permissions.find}")
        if version is None:
            return fails("what was saved in the store is not there")
        if self._is_overwritten("second", None):
            return fails(_NO_COMPARISON)
        self._demand(lambda: self._save("second", version), self._permissions.write)
        if self._is_overwritten("third", version):
            return fails(_NO_COMPARISON)
        return works("it reads, writes, and compares before it overwrites")

    def remove(self) -> Iterator[Verdict]:
        """Delete the probe; yield a note where it stays."""
        try:
            with suppress(NotOffered):
                self._store.delete(self._id)
        except StorageUnavailable as error:
            yield note(f"{self._id} stays there, which only `sessions delete` would need to delete: {error}")

    def _read(self) -> str | None:
        with self._store.download(self._id) as download:
            if download is None:
                return None
            for _ in download.chunks:
                pass
            return download.version

    def _save(self, content: str, version: str | None) -> None:
        self._store.upload(self._id, iter([gzip.compress(content.encode())]), version)

    def _is_overwritten(self, content: str, version: str | None) -> bool:
        try:
            self._save(content, version)
        except SessionChanged:
            return False
        return True

    def _find_refusal(self, do: Callable[[], object]) -> str | None:
        """Return why something is not allowed, None where it is."""
        try:
            do()
        except StorageUnavailable as error:
            if isinstance(error.__cause__, PermissionDeniedError):
                return str(error)
            raise
        return None

    def _demand(self, do: Callable[[], Answer], permission: str) -> Answer:
        try:
            return do()
        except StorageUnavailable as error:
            if isinstance(error.__cause__, PermissionDeniedError):
                raise _Refused(f"{error}: this needs the right {permission}") from error
            raise
