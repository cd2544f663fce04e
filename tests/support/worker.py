"""The service as a process of its own, once or again and again as Swarm runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_START = 20.0  # seconds


class ReservedPort:
    """A port of loopback that is its owner's until `close`, whoever else asks for one meanwhile.

    The kernel gives nobody a port that is bound; but as every server sets SO_REUSEADDR, one may listen on
    it, end, and listen again, because this socket never does.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Let the port go."""
        self._socket.close()


class Worker:
    """One process of the service; `log` is the file that its output goes to."""

    def __init__(
        self,
        env: Mapping[str, str],
        log: Path,
        port: ReservedPort | None = None,
        program: Sequence[str] = ("-m", "github_worker", "serve"),
        python: str = sys.executable,
    ) -> None:
        self._port = port or ReservedPort()
        self._owns_port = port is None
        self.port = self._port.number
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.log = log
        settings = {"PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": str(self.port), **env}
        with log.open("ab") as output:
            command = [python, *program]
            self._process = subprocess.Popen(command, env=settings, stdout=output, stderr=output)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """What the process exited with (a signal is negative), None while it runs."""
        return self._process.poll()

    def wait_until_healthy(self, timeout: float = _START) -> dict[str, Any]:
        """Block until `/health` answers and return what it says."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.exit_status is None:
            try:
                answer: dict[str, Any] = httpx.get(f"{self.base_url}/health", trust_env=False).json()
            except httpx.TransportError:
                time.sleep(0.01)
            else:
                return answer
        raise TimeoutError(
            f"the worker did not come up; exit status {self.exit_status}\n{self.log.read_text()}"
        )

    def wait(self, timeout: float | None = 30.0) -> int:
        """Block until the process is gone and return its exit status."""
        return self._process.wait(timeout)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL, wait, and let the port go."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._owns_port:
            self._port.close()

    def log_lines(self) -> list[dict[str, Any]]:
        """Return what the process has logged."""
        return log_lines(self.log)


@dataclass(frozen=True)
class Generation:
    """A worker that has ended: its exit status, where it logged, and how many jobs it took."""

    pid: int
    exit_status: int
    log: Path

    @property
    def jobs(self) -> int:
        """How many jobs it admitted."""
        return sum(line.get("message") == "job admitted" for line in log_lines(self.log))


class RestartLoop:
    """Keeps a worker on one port until `close`, as Swarm's restart policy does; `ended` are those before."""

    def __init__(
        self,
        env: Mapping[str, str],
        logs: Path,
        python: str = sys.executable,
    ) -> None:
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.ended: list[Generation] = []
        self._env, self._logs, self._python = env, logs, python
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._worker = self._start()
        self._thread = threading.Thread(target=self._run, name="restart-loop")
        self._thread.start()

    def __enter__(self) -> RestartLoop:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def worker(self) -> Worker:
        """The worker of this moment."""
        return self._worker

    def wait_until_healthy(self, timeout: float = _START) -> dict[str, Any]:
        """Block until the worker of this moment answers `/health`."""
        return self._worker.wait_until_healthy(timeout)

    def wait_until_ended(self, count: int, timeout: float = 30.0) -> None:
        """Block until `count` workers have ended; raise TimeoutError when they do not."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.ended) >= count, timeout):
                raise TimeoutError(f"{len(self.ended)} of {count} workers ended")

    def close(self) -> None:
        """Kill the worker and start no other."""
        self._closing.set()
        while self._thread.is_alive():
            self._worker.kill()
            self._thread.join(0.1)
        self._reserved.close()

    def _run(self) -> None:
        while True:
            status = self._worker.wait(timeout=None)
            if self._closing.is_set():
                return
            ended = Generation(self._worker.pid, status, self._worker.log)
            with self._changed:
                self.ended.append(ended)
                self._worker = self._start()
                self._changed.notify_all()

    def _start(self) -> Worker:
        log = self._logs / f"worker-{self.port}-{len(self.ended)}.log"
        return Worker(self._env, log, self._reserved, python=self._python)


def log_lines(log: Path) -> list[dict[str, Any]]:
    """Read a log's JSON lines; one that is none comes as `{"text": …}`."""
    return [_log_line(line) for line in log.read_text().splitlines()]


def _log_line(line: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"text": line}
    return fields
