"""Folders full of names that archives get wrong."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

# A header has room for 100 bytes of a name, and ustar's for 155 more of the folders above it.
SLASHES = (*range(97, 104), *range(153, 160))
LENGTHS = (99, 100, 101, 155, 156, 157, 255, 256, 257, 300)
EVERY_LENGTH = range(90, 301)
BYTES = (
    b" with space ",
    b"-dash",
    b"new\nline\n",
    b"back\\slash\\n",
    b"quote'\"`$*?[x]",
    b"control\t\r\x01\x7f",
    "composed \u00e9, \u65e5\u672c, \U0001f600".encode(),
    "decomposed e\u0301".encode(),
    b"latin1 \xe9",
    b"\xff\xfe",
    b"cut \xe6\x97",
    b"surrogate \xed\xb3\xbf",
)


class Entry(NamedTuple):
    """What lies at a path: `target` is where a symbolic link leads, or the file that a hard link is of."""

    path: bytes
    kind: str
    target: bytes = b""


class Room(NamedTuple):
    """The bytes that a writer has for the parts of a name."""

    name: int = 4096
    prefix: int = 0
    link: int = 4096
    utf8: bool = False

    def record_clone(self, entry: Entry) -> bool:
        """Tell whether an entry can be written, and the folder that it is in."""
        names = [entry.path + b"/" if entry.kind == "folder" else entry.path]
        if parent := os.path.dirname(entry.path):
            names.append(parent + b"/")
        return all(map(self._fits, names)) and len(entry.target) <= self.link

    def _fits(self, name: bytes) -> bool:
        slashes = (at for at in range(1, len(name) - 1) if name[at : at + 1] == b"/")
        short = len(name) <= self.name
        split = any(at <= self.prefix and len(name) - at - 1 <= self.name for at in slashes)
        return (short or split) and (not self.utf8 or _is_utf8(name))


def entries() -> Iterator[Entry]:
    """Yield names of all lengths, with a slash at each place that counts, and of all bytes."""
    for slash in (0, *SLASHES):
        for length in sorted({*LENGTHS, slash + 1}):
            if max(slash, 89) < length <= slash + 255:
                yield from _of_each_kind(slash, b"n" * (length - slash))
    for length in EVERY_LENGTH:
        yield from list(_of_each_kind(70, b"n" * (length - 70)))[length % 4 :: 4]
    for slash in (2, 99, 100, 150):
        for name in BYTES:
            yield from _of_each_kind(slash, name)


def _of_each_kind(slash: int, name: bytes) -> Iterator[Entry]:
    """Yield one entry of each kind, in a folder of a name so long that byte number `slash` follows it."""

    def path(letter: bytes) -> bytes:
        if not slash:
            return letter + name[1:]
        folder = letter * (slash - 1)
        # No ustar has room for more than 100 bytes without a slash.
        return (folder if slash < 110 else folder[:60] + b"/" + folder[61:]) + b"/" + name

    yield Entry(path(b"c"), "content")
    yield Entry(path(b"e"), "empty")
    yield Entry(path(b"f"), "folder")
    yield Entry(path(b"l"), "link", path(b"t"))
    yield Entry(path(b"s"), "same", path(b"c"))


def grow(root: Path, chosen: Iterable[Entry]) -> None:
    """Make entries below `root`, all with the same time."""
    top = os.fsencode(root)
    for path, kind, target in chosen:
        where = os.path.join(top, path)
        os.makedirs(os.path.dirname(where), exist_ok=True)
        if kind == "folder":
            os.makedirs(where)
        elif kind == "link":
            os.symlink(target, where)
        elif kind == "same":
            os.link(os.path.join(top, target), where)
        else:
            with open(where, "wb") as file:
                file.write(path if kind == "content" else b"")


def seen(root: Path) -> dict[bytes, tuple[str, object]]:
    """Return all below `root`: of a folder that it is one, a link's target, a file's content and names."""
    top = os.fsencode(root)
    found: dict[bytes, tuple[str, object]] = {}
    files: dict[int, list[bytes]] = defaultdict(list)
    for at, folders, names in os.walk(top):
        for name in folders + names:
            where = os.path.join(at, name)
            path = os.path.relpath(where, top)
            if os.path.islink(where):
                found[path] = "link", os.readlink(where)
            elif os.path.isdir(where):
                found[path] = "folder", None
            else:
                files[os.stat(where).st_ino].append(path)
    for paths in files.values():
        with open(os.path.join(top, paths[0]), "rb") as file:
            content = file.read()
        found |= {path: ("file", (content, sorted(paths))) for path in paths}
    return found


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
