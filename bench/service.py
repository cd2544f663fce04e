"""A server as a process that is measured: the worker, or the bare application beside it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.measure import Usage, reap
from tests.support.worker import ReservedPort

PYTHON = str(Path(__file__).parent / "out/service/bin/python")  # scripts/bench makes it
_QUIET = 0.8  # seconds
_TICK = os.sysconf("SC_CLK_TCK")


class Answer(Struct, frozen=True):
    """An answer as it came: seconds from connecting to its first event and its outcome; when it ended."""

    first: float
    outcome: float
    ended_at: float
    events: tuple[dict[str, Any], ...]


class Process:
    """A server on loopback, from its start (`began`, by the monotonic clock) to its end."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        settings = {"PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": str(self.port), **env}
        self.began = time.perf_counter()
        self._process = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL)

    @classmethod
    def worker(cls, env: Mapping[str, str], prefix: Sequence[str] = ()) -> Process:
        """Start the service; `prefix` is a command that runs it."""
        return cls([*prefix, PYTHON, "-m", "github_worker", "serve"], env)

    @classmethod
    def bare(cls) -> Process:
        """Start the bare application."""
        return cls([PYTHON, "-m", "bench.bare"], {})

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def healthy(self) -> float:
        """Wait for the first 200 on /health; return the seconds since the start."""
        while True:
            try:
                self.get_health()
            except ConnectionError:
                time.sleep(0.001)
            else:
                return time.perf_counter() - self.began

    def get_health(self) -> float:
        """Ask for /health on a new connection; return the seconds that it took."""
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
                raise ConnectionError("no 200")
        return time.perf_counter() - began

    def warm(self) -> None:
        """Wait until the process has done nothing for a while: the worker's last imports come late."""
        self.healthy()
        before, since = self.cpu, time.monotonic()
        while time.monotonic() - since < _QUIET:
            time.sleep(0.02)
            if self.cpu != before:
                before, since = self.cpu, time.monotonic()

    @property
    def cpu(self) -> float:
        """The CPU seconds that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory(self) -> dict[str, float]:
        """Return what it holds of memory, by the kernel's names (Rss, Pss …), in megabytes."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        pairs = (line.split(":") for line in lines)
        return {name: int(value.split()[0]) * 1024 / 1e6 for name, value in pairs}

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Send a request and take its answer to the end."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + content)
            pieces = [(time.perf_counter(), piece) for piece in iter(lambda: connection.recv(65536), b"")]
        return _answer(began, pieces)

    def end(self) -> float:
        """Wait for the process to end by itself; return the CPU seconds of its life."""
        return reap(self._process)

    def do(self, path: str, body: Mapping[str, Any]) -> Usage:
        """Do one job in a process that is warm; its CPU seconds are those until the process is gone."""
        self.warm()
        before = self.cpu
        answer = self.post(path, body)
        check(answer)
        return Usage(answer.outcome, self.end() - before)


def check(answer: Answer) -> dict[str, Any]:
    """Return the result of a job; raise if it failed, or if what it did was not pushed."""
    last = answer.events[-1]
    if last["type"] != "completed" or last.get("pushError"):
        raise RuntimeError(f"the job failed: {last}")
    return last


def _answer(began: float, pieces: list[tuple[float, bytes]]) -> Answer:
    body = b"".join(piece for _, piece in pieces)
    events = tuple(json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: "))
    first, outcome = (_when(words, pieces) - began for words in (b"{", b'"type":"completed"'))
    return Answer(first, outcome, pieces[-1][0], events)


def _when(words: bytes, pieces: list[tuple[float, bytes]]) -> float:
    """Return the moment at which the words had come, or all of it."""
    data = b""
    for moment, piece in pieces:
        data += piece
        if words in data:
            return moment
    return pieces[-1][0]
