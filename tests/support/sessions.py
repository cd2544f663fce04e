"""Session archives, made and read with Python's tarfile as other workers would."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.repositories import git, with_token

METADATA = "workspace/.session-metadata.json"
WORKTREES = "workspace/workspace"
Content = bytes | str | tarfile.TarInfo


def clone(url: str, token: str, to: Path, branch: str = "main") -> Path:
    """Clone one branch with the git CLI, leaving no credentials behind."""
    git("clone", "--quiet", "--single-branch", "--branch", branch, url, to, env=with_token(token))
    return to


def metadata(session_id: str, **fields: Any) -> dict[str, Any]:
    """Return a session's metadata, with more fields where they are given."""
    moment = "2026-01-31T09:00:00.000Z"
    return {"sessionId": session_id, "createdAt": moment, "lastModified": moment, **fields}


def pack(
    fields: Mapping[str, Any] | None,
    worktree: Path | None = None,
    entries: Mapping[str, Content] | None = None,
    prefix: str = "",
) -> bytes:
    """Make a session: metadata, `worktree` under its own name, and entries (a TarInfo goes in as it is)."""
    with _writing() as (archive, buffer):
        if fields is not None:
            _add(archive, prefix + METADATA, json.dumps(fields))
        if worktree is not None:
            archive.add(worktree, f"{prefix}{WORKTREES}/{worktree.name}")
        for name, content in (entries or {}).items():
            _add(archive, prefix + name, content)
    return buffer.getvalue()


def edit(session: bytes, files: Mapping[str, Content | None]) -> bytes:
    """Change, add or (None) remove files by their names in the archive; the rest is copied as it is."""
    with _writing() as (archive, buffer), Session(session).open() as source:
        for member in source:
            if member.name.removeprefix("./") not in files:
                archive.addfile(member, source.extractfile(member) if member.isreg() else None)
        for name, content in files.items():
            if content is not None:
                _add(archive, name, content)
    return buffer.getvalue()


class Session:
    """An archive that is looked into."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @contextmanager
    def open(self) -> Iterator[tarfile.TarFile]:
        """Open it as a tar file."""
        with tarfile.open(fileobj=io.BytesIO(self.data), mode="r:gz") as archive:
            yield archive

    def members(self) -> dict[str, tarfile.TarInfo]:
        """Return its members by name, without a leading `./`."""
        with self.open() as archive:
            return {member.name.removeprefix("./"): member for member in archive}

    def read(self, name: str) -> bytes:
        """Return a regular file's content."""
        with self.open() as archive:
            for member in archive:
                if member.name.removeprefix("./") == name and (file := archive.extractfile(member)):
                    return file.read()
        raise KeyError(name)

    @property
    def metadata(self) -> dict[str, Any]:
        """Its metadata."""
        fields: dict[str, Any] = json.loads(self.read(METADATA))
        return fields

    @property
    def cloned_path(self) -> str:
        """The name of the folder that the repository is in."""
        path: str = self.metadata["github"]["clonedPath"]
        return path

    def worktree(self, path: str = "") -> str:
        """Return a path of the repository's as the archive names it."""
        return f"{WORKTREES}/{self.cloned_path}/{path}".rstrip("/")

    def extract(self, to: Path) -> Path:
        """Unpack it all, and return where the repository is."""
        with self.open() as archive:
            # As they are, links too; Python 3.11.2, which Debian 12 has, takes no `filter`.
            archive.extraction_filter = lambda member, _: member
            archive.extractall(to)  # noqa: S202
        return to / WORKTREES / self.cloned_path


class SessionFolder:
    """The folder that a store at `url` keeps its sessions in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"file://{path}"

    def archive(self, session_id: str) -> Path:
        """Return where a session's archive is."""
        return self.path / session_id / "session.tar.gz"

    def get(self, session_id: str) -> Session:
        """Return the session as it is stored."""
        return Session(self.archive(session_id).read_bytes())

    def put(self, session_id: str, session: bytes) -> None:
        """Store a session, replacing it whole."""
        archive = self.archive(session_id)
        archive.parent.mkdir(parents=True, exist_ok=True)
        new = archive.with_suffix(".new")
        new.write_bytes(session)
        new.rename(archive)

    def edit(self, session_id: str, files: Mapping[str, Content | None]) -> None:
        """Do as a coding worker does: change files of the session's repository (None removes one)."""
        session = self.get(session_id)
        changes = {session.worktree(path): content for path, content in files.items()}
        self.put(session_id, edit(session.data, changes))


@contextmanager
def _writing() -> Iterator[tuple[tarfile.TarFile, io.BytesIO]]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        yield archive, buffer


def _add(archive: tarfile.TarFile, name: str, content: Content) -> None:
    if isinstance(content, tarfile.TarInfo):
        archive.addfile(content)
        return
    data = content.encode() if isinstance(content, str) else content
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o644
    archive.addfile(entry, io.BytesIO(data))
