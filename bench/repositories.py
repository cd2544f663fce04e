"""Repositories to measure with: made by `git fast-import`, the same every time, and kept for the next run."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

from msgspec import Struct

from tests.support.repositories import GIT_ENV, git

_WORDS = "for if in return self await async def class import from path name value index session tree"
_MEGABYTE = 1_000_000


class Shape(Struct, frozen=True):
    """What a repository is made of: text files, files of a megabyte that no tool compresses, history.

    `commits` change one text file each, the first `assets_replaced` of them an asset too.
    """

    name: str
    files: int
    commits: int
    assets: int = 0
    assets_replaced: int = 0

    def scaled(self, by: int) -> Shape:
        """Return the same, so many times smaller."""
        return Shape(
            f"{self.name}-{by}",
            *(max(1, count // by) if count else 0 for count in (self.files, self.commits)),
            self.assets // by,
            self.assets_replaced // by,
        )


SMALL = Shape("small", 20, 20)
MID = Shape("mid", 2_000, 2_000, assets=20, assets_replaced=25)
LARGE = Shape("large", 10_000, 2_000, assets=100, assets_replaced=125)
HISTORY = Shape("history", 1_000, 1_000, assets=20, assets_replaced=280)


def make(shape: Shape, cache: Path) -> Path:
    """Return a bare repository of this shape, packed as a forge keeps it."""
    repository = cache / f"{shape.name}.git"
    if not repository.exists():
        new = cache / f"{shape.name}.new"
        shutil.rmtree(new, ignore_errors=True)
        git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", new)
        _import(shape, new)
        git("--git-dir", new, "repack", "-adfbq", "--depth=20")
        new.rename(repository)
    return repository


def copy(repository: Path, to: Path) -> None:
    """Make a bare repository that can be pushed to, sharing the other one's packs."""
    git("clone", "--quiet", "--bare", "--template=", repository, to)
    git("--git-dir", to, "config", "http.receivepack", "true")
    git("--git-dir", to, "config", "gc.auto", "0")


def _import(shape: Shape, repository: Path) -> None:
    command = ["git", "--git-dir", str(repository), "fast-import", "--quiet", "--date-format=raw"]
    with Popen(command, stdin=PIPE, env=GIT_ENV) as importer:
        assert importer.stdin is not None
        for piece in _stream(shape):
            importer.stdin.write(piece)
    if importer.returncode:
        raise RuntimeError(f"git fast-import ended with {importer.returncode}")


def _stream(shape: Shape) -> Iterator[bytes]:
    chance = random.Random(shape.name)
    lines = [" ".join(chance.choices(_WORDS.split(), k=9)).encode() + b" %x\n" % n for n in range(4000)]
    yield _commit(0, "Begin")
    for number in range(shape.files - shape.assets):
        yield _file(_text_path(number), b"".join(chance.choices(lines, k=chance.randint(20, 160))))
    for number in range(shape.assets):
        yield _file(_asset_path(number), chance.randbytes(_MEGABYTE))
    for number in range(1, shape.commits):
        yield _commit(number, f"Change {number}")
        path = _text_path(chance.randrange(shape.files - shape.assets))
        yield _file(path, b"".join(chance.choices(lines, k=chance.randint(20, 160))))
        if number <= shape.assets_replaced:
            yield _file(_asset_path(number % shape.assets), chance.randbytes(_MEGABYTE))


def _commit(number: int, message: str) -> bytes:
    who = b"Ada Lovelace <ada@example.com> %d +0000" % (1_700_000_000 + number)
    return b"commit refs/heads/main\ncommitter %b\ndata %d\n%b\n" % (
        who,
        len(message),
        message.encode(),
    )


def _file(path: str, content: bytes) -> bytes:
    return b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(content), content)


def _text_path(number: int) -> str:
    return f"src/part{number // 100}/module{number // 10}/file{number}.py"


def _asset_path(number: int) -> str:
    return f"assets/{number % 10}/picture{number}.png"
