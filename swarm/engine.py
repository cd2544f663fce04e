"""A Docker engine from Debian's packages, in a root and namespaces of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

ADDRESS = "10.99.0.1"  # of this network namespace, as containers reach it
CGROUP = "github-worker-swarm"  # what the containers' control groups are in
_HERE = Path(__file__).parent
_START = 180.0  # seconds


class Engine:
    """`dockerd`, started in `root` for as long as the block lasts; `shared` is seen on both sides.

    What it keeps is in `state`, a folder in `shared`.
    """

    _unshare: tuple[str, ...] = ("--mount",)

    def __init__(self, root: Path, shared: Path, state: Path) -> None:
        state.mkdir()
        self.log = state / "dockerd.log"
        self._socket = state / "docker.sock"
        self.api = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self._socket)), base_url="http://engine", timeout=60.0
        )
        command = ["unshare", *self._unshare, str(_HERE / "in-root"), str(root), str(shared), "dockerd"]
        command += ["--data-root", f"{state}/data", "--exec-root", f"{state}/exec"]
        command += ["--host", f"unix://{self._socket}", "--no-new-privileges"]
        command += ["--cgroup-parent", CGROUP]
        with self.log.open("wb") as log:
            # In a session of its own, as who interrupts the tests lets them end it in order.
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def __enter__(self) -> Self:
        try:
            self._wait_until_it_answers()
            self.run("ip", "link", "set", "lo", "up")
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _connect(self) -> None:
        """Make the addresses that the network namespace is to have."""
        self.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "lo")

    def runs(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def run(self, *command: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """Run a command of the engine's root and return its output; its complaint is a note of the error."""
        namespaces = f"/proc/{self._process.pid}/ns"
        inside = ["nsenter", f"--mount={namespaces}/mnt", f"--net={namespaces}/net", *map(str, command)]
        given = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{self._socket}", **(env or {})}
        try:
            done = subprocess.run(inside, input=stdin, capture_output=True, env=given, check=True)
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr.decode(errors="replace"))
            raise
        return done.stdout.decode()

    def docker(self, *arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """Run `docker` and return its output."""
        return self.run("docker", *arguments, stdin=stdin, env=env)

    @property
    def pid(self) -> int:
        """The process whose namespaces are the engine's, as this one knows it."""
        return self._process.pid

    def get(self, path: str) -> Any:
        """Ask the engine's API."""
        return self.api.get(path).raise_for_status().json()

    def containers(self, label: str) -> list[dict[str, Any]]:
        """Describe the running containers that have a label."""
        query = {"filters": json.dumps({"label": [label]})}
        listed = self.api.get("/containers/json", params=query).raise_for_status().json()
        described = (self.api.get(f"/containers/{each['Id']}/json") for each in listed)
        return [answer.json() for answer in described if answer.status_code == 200]

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self.runs():
            if self._socket.exists():  # dockerd makes it when it is ready
                self.api.get("/_ping").raise_for_status()
                return
            time.sleep(0.1)
        raise RuntimeError(f"dockerd did not start:\n{self.log.read_text()[-4000:]}")


def remove_control_groups() -> None:
    """Remove what engines leave of control groups, which belong to no namespace."""
    for folder, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if CGROUP in Path(folder).parts:
            Path(folder).rmdir()
