"""Checks a session out, looks whether it changed, or saves it, and prints what that took.

`… bench.checkout unpack|look|save STORE FOLDER`: the store is a folder with a session `bench`; what is looked
at and saved is what was unpacked. As for `bench.archives`, imports are not counted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from bench.measure import Usage
from github_worker_client.sessions.sync import SessionStore


def _save(store: SessionStore, folder: Path) -> None:
    if not store.save("bench", folder, overwrite=True):
        raise RuntimeError("nothing was saved")


def _look(store: SessionStore, folder: Path) -> None:
    if store.save("bench", folder):
        raise RuntimeError("nothing had changed")


if __name__ == "__main__":
    works = {"unpack": lambda store, folder: store.unpack("bench", folder), "look": _look, "save": _save}
    work, store = works[sys.argv[1]], SessionStore(Path(sys.argv[2]).as_uri())
    wall, cpu = time.perf_counter(), time.process_time()
    work(store, Path(sys.argv[3]))
    usage = Usage(time.perf_counter() - wall, time.process_time() - cpu)
    sys.stdout.buffer.write(msgspec.json.encode(usage))
