"""A worker whose job does what the request's `message` says: the real process, without git and sessions.

The message is a JSON list of steps, `[name, argument]` each; `python -m tests.support.life_worker LIMITS`
takes the worker's limits as JSON, and the environment as the real one does.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

from github_worker import errors, logs, worker
from github_worker.contract import CommitAndPush, Committed, Request, Result
from github_worker.jobs import Timeouts
from github_worker.progress import Report
from github_worker.scratch import Scratch
from github_worker.settings import from_env
from github_worker.supervisor import Supervisor

RESULT = Committed(
    commit_hash="0" * 40,
    commit_message="Say «hi»",
    branch="main",
    pushed=True,
    files_changed=1,
    insertions=2,
    deletions=3,
)


class ScriptedOperations:
    """Plays a request's steps."""

    def __init__(self) -> None:
        self._leftover: str | None = None

    async def load(self, scratch: Scratch) -> None:
        """Nothing is heavy here, and nothing fails unless `refuse` lies in the scratch space."""
        if Path(os.environ["TMP_DIR"], "refuse").exists():
            raise RuntimeError("this process was told not to start")

    async def run(self, request: Request, report: Report) -> Result:
        """Take one step after the other, then answer with `RESULT`."""
        assert isinstance(request, CommitAndPush)
        assert request.message is not None
        report("analyzing", "Looking")
        for name, argument in msgspec.json.decode(request.message):
            await getattr(self, name)(argument, report)
        return RESULT

    def close(self) -> None:
        """Have nothing to give back."""

    async def cleanup(self) -> None:
        """Remove the file that `leave` named."""
        if self._leftover:
            os.remove(self._leftover)

    async def leave(self, path: str, report: Report) -> None:
        """Make a file that the cleanup removes."""
        Path(path).touch()
        self._leftover = path

    async def leave_nothing(self, path: str, report: Report) -> None:
        """Let the cleanup fail."""
        self._leftover = path

    async def mark(self, path: str, report: Report) -> None:
        """Make a file."""
        Path(path).touch()

    async def python(self, argument: list[Any], report: Report) -> None:
        """Run any code as an attacker would, with these variables; warn of the errors that it appends."""
        code, variables = argument
        names: dict[str, Any] = {**variables, "said": []}
        exec(code, names)  # noqa: S102 (in tests alone)
        for said in names["said"]:
            report.warning("said", str(said))

    async def write_down(self, path: str, report: Report) -> None:
        """Add a line to a file, and say which process this is and where it listens."""
        await asyncio.to_thread(_append, path, f"{os.getpid()}\n")
        listening = [number for number in range(256) if _is_listening(number)]
        report.warning("process", f"{os.getpid()} {listening}")

    async def say_to_all(self, words: str, report: Report) -> None:
        """Write to every socket of this machine's own that this process has."""
        for number in range(256):
            with suppress(OSError), socket.socket(fileno=os.dup(number)) as found:
                if found.family == socket.AF_UNIX:
                    found.send(words.encode())

    async def scratch(self, argument: None, report: Report) -> None:
        """Make a file in a folder of this process."""
        self._scratch = Scratch(Path(os.environ["TMP_DIR"]))
        (self._scratch.folder() / "file").touch()

    async def wait_for(self, path: str, report: Report) -> None:
        """Wait until a file exists."""
        while not os.path.exists(path):  # noqa: ASYNC110 (another process makes it)
            await asyncio.sleep(0.005)

    async def open(self, number: int, report: Report) -> None:
        """Have as many files open as a job with large packs."""

        def open_all() -> None:
            with ExitStack() as files:
                for _ in range(number):
                    files.enter_context(Path(os.devnull).open())

        await asyncio.to_thread(open_all)

    async def count(self, number: int, report: Report) -> None:
        """Send warnings from another thread, one after the other, with one from the loop at the end."""

        def warn() -> None:
            for each in range(number):
                report.warning("n", str(each))

        await asyncio.to_thread(warn)
        report.warning("n", str(number))

    async def flood(self, kilobytes: int, report: Report) -> None:
        """Send more than a client that does not read will ever take."""
        for _ in range(kilobytes):
            report.warning("flood", "x" * 1024)

    async def fail(self, argument: list[Any], report: Report) -> None:
        """Raise a JobError by its code, with a message and data."""
        code, message, data = argument
        raise errors.job_errors()[code](message, data=data)

    async def crash(self, message: str, report: Report) -> None:
        """Raise what no operation should."""
        raise RuntimeError(message)

    async def cancel(self, argument: None, report: Report) -> None:
        """End as cancelled, without having been told to."""
        raise asyncio.CancelledError

    async def refuse_to_end(self, seconds: float, report: Report) -> None:
        """Swallow cancellation, and keep on talking."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                report.warning("late", "I was told to end")

    async def block_thread(self, argument: None, report: Report) -> None:
        """Block a thread for ever."""
        await asyncio.to_thread(threading.Event().wait)

    async def hold_gil(self, argument: None, report: Report) -> None:
        """Block in native code that does not release the GIL."""
        await asyncio.to_thread(ctypes.PyDLL(None).sleep, 3600)

    async def crash_thread(self, message: str, report: Report) -> None:
        """Raise in a thread that nobody waits for."""
        thread = threading.Thread(target=lambda: 1 / int(message[:0] or "0"))
        thread.start()
        thread.join()


def _append(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(line)


def _is_listening(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def main() -> None:
    """Serve one scripted job, or many where the environment says so."""
    settings = from_env(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    limits = msgspec.json.decode(sys.argv[1], type=Timeouts)
    if settings.workers is not None:
        sys.exit(Supervisor(settings, limits, ScriptedOperations).run())
    worker.serve(settings, ScriptedOperations(), limits)


if __name__ == "__main__":
    main()
