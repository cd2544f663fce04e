"""Unpacks or packs a session once, and prints what that took: `… bench.archives unpack ARCHIVE FOLDER`.

A worker has imported everything and is idle when a job comes: imports are not counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.measure import Usage
from github_worker.archive.limits import Limits
from github_worker.archive.pack import pack
from github_worker.archive.quarantine import Folders, Inventory
from github_worker.archive.unpack import unpack

_CHUNK = 64 * 1024


def _chunks(archive: Path) -> Iterator[bytes]:
    with archive.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _unpack(archive: Path, folder: Path) -> None:
    unpack(_chunks(archive), Folders.make(folder), Limits())


def _pack(archive: Path, folder: Path) -> None:
    folders = Folders(folder / "tree", folder / "quarantine")
    pieces = pack(folders, Inventory(), Limits(), before_worktree=lambda: None, before_tail=lambda: None)
    with archive.open("wb", buffering=0) as file:
        for piece in pieces:
            file.write(piece)


if __name__ == "__main__":
    work = {"unpack": _unpack, "pack": _pack}[sys.argv[1]]
    wall, cpu = time.perf_counter(), time.process_time()
    work(Path(sys.argv[2]), Path(sys.argv[3]))
    usage = Usage(time.perf_counter() - wall, time.process_time() - cpu)
    sys.stdout.buffer.write(msgspec.json.encode(usage))
