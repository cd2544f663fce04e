"""Unpacks archives of little but large headers into a folder, and says by how many bytes it has grown.

It is a process of its own, since the most that a process ever used is all that the kernel tells.
"""

from __future__ import annotations

import os
import resource
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from github_worker.archive import tar
from github_worker.archive.limits import Limits
from github_worker.archive.quarantine import Folders
from github_worker.archive.tar import Member, Owner, encode
from github_worker.archive.unpack import unpack
from github_worker.errors import SessionTooLarge

_KINDS = ((tar.FILE, b"uname"), (tar.PIPE, b"comment"))
_COUNT, _SIZE = 2000, 250_000


def _chunks(kind: bytes, key: bytes) -> Iterator[bytes]:
    deflate = zlib.compressobj(1, wbits=31)
    for number in range(_COUNT):
        value = os.urandom(2000) + bytes(_SIZE)  # compresses well, yet not so well that it counts as a bomb
        member = Member(b"%d" % number, kind, 0, 0o644, 0, Owner(0, 0, b"", b""), records={key: value})
        yield deflate.compress(encode(member))


def _most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _run(folder: Path) -> None:
    before = _most()
    for number, (kind, key) in enumerate(_KINDS):
        (folder / str(number)).mkdir()
        with suppress(SessionTooLarge):
            unpack(_chunks(kind, key), Folders.make(folder / str(number)), Limits())
    print(_most() - before)  # noqa: T201


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
