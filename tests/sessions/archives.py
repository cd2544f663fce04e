"""Archives made by the standard library's tar and gzip, and what this worker makes of them."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from github_worker.archive.contents import Spool
from github_worker.archive.limits import Limits
from github_worker.archive.pack import pack
from github_worker.archive.quarantine import Folders, Inventory
from github_worker.archive.unpack import unpack

REPOSITORY = "workspace/workspace/app"
OBJECT = zlib.compress(b"blob 1\0z")  # as it stands in the file of a loose object


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    """Return a header."""
    header = tarfile.TarInfo(name)
    header.type = kind
    for field, value in fields.items():
        setattr(header, field, value)
    return header


def archive(*members: tarfile.TarInfo | tuple[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a gzip'd tar of members, a name and its content standing for a plain file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for each in members:
            if isinstance(each, tarfile.TarInfo):
                tar.addfile(each, io.BytesIO(bytes(each.size)) if each.isreg() else None)
            else:
                header = member(each[0], size=len(each[1]))
                tar.addfile(header, io.BytesIO(each[1]))
    return gzip.compress(buffer.getvalue(), 1)


class Unpacked(NamedTuple):
    """A session on the disk."""

    folders: Folders
    inventory: Inventory


# Whether `unpacked` writes every file to the disk, where a test does not say.
ON_DISK = ContextVar("ON_DISK", default=False)


def unpacked(
    folder: Path, data: bytes | Iterable[bytes], limits: Limits | None = None, *, on_disk: bool | None = None
) -> Unpacked:
    """Unpack into new folders below `folder`, plain files into a spool as a job does, unless `on_disk`."""
    folder.mkdir(exist_ok=True)
    folders = Folders.make(folder)
    chunks = split(data) if isinstance(data, bytes) else data
    on_disk = ON_DISK.get() if on_disk is None else on_disk
    spool = None if on_disk else Spool(folder / "spool", folders.tree)
    return Unpacked(folders, unpack(chunks, folders, limits or Limits(), spool=spool))


def split(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    """Yield chunks as a download would."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def nothing() -> None:
    """Wait for nothing."""


def packed(
    session: Unpacked,
    *,
    before_worktree: Callable[[], None] = nothing,
    before_tail: Callable[[], None] = nothing,
    limits: Limits | None = None,
) -> bytes:
    """Pack what was unpacked."""
    pieces = pack(
        session.folders,
        session.inventory,
        limits or Limits(),
        before_worktree=before_worktree,
        before_tail=before_tail,
    )
    return b"".join(pieces)


def listing(data: bytes) -> dict[str, tuple[object, ...]]:
    """Return all that the standard library reads of an archive, by name."""
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for each in tar:
            file = tar.extractfile(each) if each.isreg() else None
            xattrs = {key: value for key, value in each.pax_headers.items() if "xattr" in key}
            found[each.name] = (
                each.type,
                each.mode,
                float(each.mtime),
                (each.uid, each.gid, each.uname, each.gname),
                each.linkname,
                (each.devmajor, each.devminor),
                file.read() if file else None,
                xattrs,
            )
    return found


def names(data: bytes) -> list[str]:
    """Return the members' names in the archive's order."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()
