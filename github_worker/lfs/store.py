"""The objects that a session has, in `.git/lfs/objects` as git-lfs keeps them.

It is a place that libgit2 does not see, and whatever else is there is a stranger's: no link is followed, and
an object is believed once its SHA-256 is its name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from github_worker.errors import UnsupportedRepository
from github_worker.lfs.pointer import Pointer

_PIECE = 1024 * 1024
_AT_ONCE = 2**30
_OBJECTS = "lfs/objects"


class Store:
    """The objects below `folder`, a `.git`; no link may be on the way from `top` to them.

    What is still to be whole is in `scratch`, on the same disk and in no archive.
    """

    def __init__(self, top: Path, folder: Path, scratch: Path) -> None:
        self._top, self._folder, self._scratch = top, folder, scratch
        self._sound: set[str] = set()

    def __contains__(self, pointer: Pointer) -> bool:
        return self.size(pointer) == pointer.size and self._is_sound(pointer)

    def size(self, pointer: Pointer) -> int | None:
        """Return the size of the file that is in an object's place, None where there is none."""
        try:
            status = os.lstat(self._locate(pointer))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def open(self, pointer: Pointer) -> FileIO:
        """Open an object."""
        return open_no_follow(self._locate(pointer))

    @contextmanager
    def drafts(self) -> Iterator[Path]:
        """Make a folder for objects that are to be, which is gone at the end."""
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="lfs-") as folder:
            yield Path(folder)

    def add(self, draft: Path, pointer: Pointer) -> None:
        """Take in an object whose SHA-256 is known to be its name."""
        draft.chmod(0o444)
        with _refusing():
            draft.replace(self._make_room(pointer))
        self._sound.add(pointer.oid)

    def copy_in(self, file: bytes, pointer: Pointer) -> None:
        """Take in the content of a file, unless it is here."""
        if pointer in self:
            return
        with self.drafts() as folder:
            draft = folder / pointer.oid
            with open_no_follow(file) as source, open(draft, "xb", buffering=0) as target:
                copy(source, target)
            self.add(draft, pointer)

    def copy_from(self, other: Store) -> None:
        """Take in the objects of another store on the same disk, by further names of its files."""
        for file in other.files():
            with _refusing():
                place = self._make_room(Pointer(file.name, 0))
                if not os.path.lexists(place):
                    os.link(file, place, follow_symlinks=False)

    def files(self) -> Iterator[Path]:
        """Yield the files that are objects by their place."""
        root = self._folder / _OBJECTS
        if self._is_beyond_link(root):
            return
        for folder, _, names in os.walk(root):
            for name in names:
                file = Path(folder, name)
                if file == root / name[:2] / name[2:4] / name and stat.S_ISREG(file.lstat().st_mode):
                    yield file

    def _is_sound(self, pointer: Pointer) -> bool:
        if pointer.oid not in self._sound:
            with self.open(pointer) as content:
                if hashlib.file_digest(content, "sha256").hexdigest() == pointer.oid:
                    self._sound.add(pointer.oid)
        return pointer.oid in self._sound

    def _locate(self, pointer: Pointer) -> Path:
        place = self._folder / _OBJECTS / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid
        if self._is_beyond_link(place.parent):
            raise _refuse()
        return place

    def _make_room(self, pointer: Pointer) -> Path:
        place = self._locate(pointer)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _is_beyond_link(self, folder: Path) -> bool:
        return folder.resolve() != self._top.resolve() / folder.relative_to(self._top)


def copy(source: FileIO, target: FileIO) -> None:
    """Copy a file's content, which the kernel does alone where it can, and shares on the disk."""
    if sys.platform == "linux":
        with suppress(OSError):
            while os.copy_file_range(source.fileno(), target.fileno(), _AT_ONCE):
                pass
    shutil.copyfileobj(source, target, _PIECE)


def open_no_follow(file: Path | bytes) -> FileIO:
    """Open a file, unless it is a link."""
    number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return open(number, "rb", buffering=0)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _refuse() from None


def _refuse() -> UnsupportedRepository:
    return UnsupportedRepository("The session has a link or a file in the place of .git/lfs/objects")
