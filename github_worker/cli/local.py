"""A worker of one's own: a process on loopback, for one job, with which it ends."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

import github_worker
from github_worker.cli.command import CommandFailed
from github_worker.cli.text import clean
from github_worker.redaction import Secret

_PROGRAM = """
import sys
sys.path.append(sys.argv.pop(1))
from github_worker.__main__ import main
sys.exit(main())
"""
_PAUSE = 0.01  # seconds between looks at the log
_PATIENCE = 30.0  # seconds until it listens
_MOST = 1024 * 1024  # bytes of the log that are looked at
_END = 10.0  # seconds in which it cleans up behind the job
# The caller's own, or what would make it many workers, or put it elsewhere.
_NOT_ITS = (
    *("GITHUB_TOKEN", "GITHUB_WORKER_TOKEN", "WORKERS", "QUEUE"),
    *("HOST", "PORT", "LOG_LEVEL", "LOG_FORMAT"),
)


class LocalWorker(Struct, frozen=True):
    """A worker that listens at `url` for whoever has `token`; the rest is what it says of itself."""

    url: str
    token: Secret
    pid: int
    sandbox: str
    warning: str | None


@asynccontextmanager
async def start_worker(env: Mapping[str, str]) -> AsyncIterator[LocalWorker]:
    """Start a worker for one job; raise CommandFailed with what it says if it does not start.

    It is left alone where the job goes on without its caller: it finishes that, and ends.
    """
    async with _run(env) as (worker, process):
        yield worker
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, _END)


async def try_worker(env: Mapping[str, str]) -> LocalWorker:
    """Start a worker and end it; raise CommandFailed with what it says if it does not start."""
    async with _run(env) as (worker, process):
        process.terminate()
        await asyncio.to_thread(process.wait, _END)
        return worker


@asynccontextmanager
async def _run(env: Mapping[str, str]) -> AsyncIterator[tuple[LocalWorker, subprocess.Popen[bytes]]]:
    if importlib.util.find_spec("pygit2") is None:
        raise CommandFailed(
            "to start a worker here takes pip install 'github-worker[server]'; or name one with --url"
        )
    token = Secret(secrets.token_urlsafe(32))
    with tempfile.TemporaryFile() as log:
        process = _start(_choose_settings(env, token), log)
        try:
            yield await _wait_until_open(process, log, token), process
        finally:
            process.terminate()  # an idle one ends at once, another one after its job
            process.poll()


def _start(settings: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # Nothing is imported from the folder that one is in, which may be a stranger's repository.
        [sys.executable, "-P", "-c", _PROGRAM, str(Path(github_worker.__file__).parents[1]), "serve"],
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that an interrupt does not end the job
    )


def _choose_settings(env: Mapping[str, str], token: Secret) -> dict[str, str]:
    kept = {name: value for name, value in env.items() if name.removesuffix("_FILE") not in _NOT_ITS}
    return kept | {
        "HOST": "127.0.0.1",
        "PORT": "0",  # the kernel chooses
        "LOG_FORMAT": "json",
        "GITHUB_WORKER_TOKEN": token.reveal(),
    }


async def _wait_until_open(process: subprocess.Popen[bytes], log: IO[bytes], token: Secret) -> LocalWorker:
    for _ in range(round(_PATIENCE / _PAUSE)):
        has_ended = process.poll() is not None
        lines = list(_read(log))
        for line in lines:
            if line.get("message") == "listening":
                return LocalWorker(
                    line["address"], token, process.pid, line.get("sandbox") or "", line.get("warning")
                )
        if has_ended:
            said = "; ".join(clean(line["message"]) for line in lines if line.get("message"))
            raise CommandFailed(f"the worker does not start: {said or f'status {process.returncode}'}")
        await asyncio.sleep(_PAUSE)
    raise CommandFailed("the worker does not start: it does not listen")


def _read(log: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log; a line that is none of the log's is a message by itself."""
    written = os.pread(log.fileno(), _MOST, 0)  # the place in the file is the worker's
    for line in written.decode(errors="replace").splitlines():
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            yield {"message": line.removeprefix("github-worker: ")}
