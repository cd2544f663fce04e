"""A cgroup of our own, version 2 or 1: the kernel holds what runs in it to its memory and processor."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds
_INTERVAL = 0.05  # seconds between two looks at the memory


class Unavailable(Exception):
    """This machine lets nobody make a cgroup here; the message says why."""


class Cgroup:
    """A group of processes; it has no swap."""

    def __init__(self, folders: Sequence[Path], names: Mapping[str, str]) -> None:
        self._folders = folders
        self._memory = folders[0]
        self._names = names
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self.peak = 0

    @classmethod
    @contextmanager
    def made(cls, memory: int, processors: float) -> Iterator[Cgroup]:
        """Make one that has so many bytes and processors, for the block; raise Unavailable."""
        quota = round(processors * _PERIOD)
        try:
            if (_ROOT / "cgroup.controllers").exists():
                made = _version_2(memory, quota)
            else:
                made = _version_1(memory, quota)
        except OSError as error:
            raise Unavailable(f"{error.strerror}: {error.filename}") from error
        made._watcher.start()
        try:
            yield made
        finally:
            made._over.set()
            made._watcher.join()
            for folder in made._folders:
                folder.rmdir()

    @property
    def prefix(self) -> list[str]:
        """What turns a command into one that runs in the group."""
        files = " ".join(str(folder / "cgroup.procs") for folder in self._folders)
        return ["sh", "-c", f'for group in {files}; do echo $$ > $group; done; exec "$@"', "sh"]

    def take_in(self, pid: int) -> None:
        """Move a process that runs already into the group; what it has by then is not counted."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        return _fields(self._memory / self._names["events"])["oom_kill"]

    def _watch(self) -> None:
        while not self._over.wait(_INTERVAL):
            self.peak = max(self.peak, _fields(self._memory / "memory.stat")[self._names["anonymous"]])


def _version_2(memory: int, quota: int) -> Cgroup:
    with suppress(OSError):  # they may be there already
        (_ROOT / "cgroup.subtree_control").write_text("+memory +cpu")
    settings = {
        "memory.max": str(memory),
        "memory.swap.max": "0",
        "cpu.max": f"{quota} {_PERIOD}",
    }
    folder = _make(_ROOT, settings)
    return Cgroup([folder], {"events": "memory.events", "anonymous": "anon"})


def _version_1(memory: int, quota: int) -> Cgroup:
    settings = {"memory.limit_in_bytes": str(memory), "memory.memsw.limit_in_bytes": str(memory)}
    of_memory = _make(_ROOT / "memory", settings)
    of_cpu = _make(_ROOT / "cpu", {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(quota)})
    return Cgroup([of_memory, of_cpu], {"events": "memory.oom_control", "anonymous": "rss"})


def _make(parent: Path, settings: Mapping[str, str]) -> Path:
    folder = parent / f"github-worker-bench-{os.getpid()}"
    folder.mkdir()
    for name, value in settings.items():
        (folder / name).write_text(value)
    return folder


def _fields(file: Path) -> dict[str, int]:
    return {name: int(value) for name, value in map(str.split, file.read_text().splitlines())}
