"""The session that people are in: its files as documents, its windows, and one save at a time."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from examples.collaborative.document import Document, Edit, difference, transform
from github_worker_client.sessions import SessionConflict, SessionError, SessionStore

logger = logging.getLogger(__name__)
LARGEST = 1 << 20  # bytes of a file that is edited here
SAVE_DELAY = 0.3  # seconds in which edits are gathered
_TRIES = 8  # of a save, while commits and others save too


class NotEditable(Exception):
    """A file that cannot be edited here; the message says why."""


@dataclass
class File:
    """A file that is edited: its document, what the store has, and the edits from there to the document."""

    document: Document
    stored: str
    newline: str
    unsaved: list[Edit] = field(default_factory=list)

    def edit(self, version: int, edit: Edit) -> list[Edit]:
        """Apply an edit that was made on a version, and return what it became."""
        moved = self.document.edit(version, edit)
        self.unsaved += moved
        return moved

    def take_in(self, stored: str) -> list[Edit]:
        """Apply what others have made of the file in the store, and return the edits that it is here."""
        if stored == self.stored:
            return []
        theirs, self.unsaved = transform([difference(self.stored, stored)], self.unsaved)
        self.stored = stored
        for edit in theirs:
            self.document.edit(self.document.version, edit)
        return theirs

    def note_saved(self, text: str, version: int) -> None:
        """Note that the store has a version of the document."""
        self.stored, self.unsaved = text, self.document.edits[version:]


@dataclass
class Room:
    """A session with the files that were opened, and a queue of messages for each window of a person.

    `applied` is the number of the last edit of each window, which asks for it after a lost connection.
    """

    session_id: str
    store: SessionStore
    files: dict[str, File] = field(default_factory=dict)
    windows: set[asyncio.Queue[dict[str, Any]]] = field(default_factory=set)
    applied: dict[str, int] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    saving: asyncio.Task[None] | None = None

    async def paths(self) -> list[str]:
        """Return the paths of the files in the session's repository."""
        async with self.store.checkout(self.session_id, read_only=True) as session:
            return sorted(_paths(session.repository))

    async def open(self, path: str) -> File:
        """Return a file, read from the store when it is opened first; one that is not there is a new one."""
        async with self.lock:
            if path not in self.files:
                async with self.store.checkout(self.session_id, read_only=True) as session:
                    text, newline = _read(_inside(session.repository, path))
                self.files[path] = File(Document(text), text, newline)
            return self.files[path]

    def edit(self, path: str, version: int, edit: Edit, by: str) -> None:
        """Apply a person's edit, tell everybody, and save it within a moment."""
        file = self.files[path]
        self._tell_edits(path, file, file.edit(version, edit), by)
        if self.saving is None or self.saving.done():
            self.saving = asyncio.create_task(self._save_soon())

    def tell(self, **message: Any) -> None:
        """Put a message into everybody's queue."""
        for window in self.windows:
            window.put_nowait(message)

    def _tell_edits(self, path: str, file: File, edits: list[Edit], by: str) -> None:
        for number, edit in enumerate(edits, start=file.document.version - len(edits) + 1):
            self.tell(type="edit", path=path, version=number, by=by, last=edit is edits[-1], **asdict(edit))

    async def _save_soon(self) -> None:
        await asyncio.sleep(SAVE_DELAY)
        try:
            await self.save()
        except (
            SessionError
        ) as error:  # the edits stay here: the next save has them, the commit's at the latest
            logger.warning("the session %s is not saved yet: %s", self.session_id, error)
            self.tell(type="unsaved", reason=str(error))

    async def save(self) -> None:
        """Bring what was edited into the store; where others have saved meanwhile, take theirs in first."""
        async with self.lock:
            while any(file.unsaved for file in self.files.values()):
                for attempt in range(1, _TRIES + 1):
                    try:
                        await self._save()
                        break
                    except SessionConflict:
                        if attempt == _TRIES:
                            raise

    async def _save(self) -> None:
        saved: dict[str, tuple[str, int]] = {}
        async with self.store.checkout(self.session_id, keep_unsaved=False) as session:
            for path, file in self.files.items():
                place = _inside(session.repository, path)
                self._tell_edits(path, file, file.take_in(_read(place)[0]), "the session")
                if file.unsaved:
                    text = file.document.text
                    saved[path] = (text, file.document.version)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_text(text, encoding="utf-8", newline=file.newline)
        for path, (text, version) in saved.items():
            self.files[path].note_saved(text, version)
            self.tell(type="saved", path=path, version=version)


def _paths(repository: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(repository):
        folders[:] = [name for name in folders if name != ".git"]
        yield from (os.path.relpath(os.path.join(folder, name), repository) for name in files)


def _inside(repository: Path, path: str) -> Path:
    """Return where a file is; raise NotEditable for a path out of the repository, or into git's files."""
    place = repository / path
    plain = path and not path.startswith("/") and not {"", ".", "..", ".git"} & set(path.lower().split("/"))
    if not plain or any(each.is_symlink() for each in (place, *place.parents) if repository in each.parents):
        raise NotEditable(f"{path!r} is no file of the repository")
    return place


def _read(place: Path) -> tuple[str, str]:
    """Return a file's text with plain newlines, and how its lines end in truth."""
    try:
        data = place.read_bytes() if place.exists() else b""
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise NotEditable(f"{place.name!r} is no text file") from error
    if len(data) > LARGEST:
        raise NotEditable(f"{place.name!r} is larger than {LARGEST} bytes")
    crlf = text.count("\r\n")
    if "\0" in text or text.count("\r") != crlf or (crlf and text.count("\n") != crlf):
        raise NotEditable(f"the lines of {place.name!r} end in more than one way")
    return text.replace("\r\n", "\n"), "\r\n" if crlf else "\n"
