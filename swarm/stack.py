"""swarm.yml on a Swarm of one node or more, and what one wants to know of its containers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarm.engine import Engine

REPLICAS = 5
NAME = "github-worker"
SERVICE = f"{NAME}_worker"
FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parent
MANY = REPOSITORY / "swarm-workers.yml"
_FILES = (REPOSITORY / "swarm.yml", FOLDER / "stack.yml")
_PATIENCE = 300.0  # seconds: a slow machine is no fault


def begin_swarm(engine: Engine, address: str, secrets: Mapping[str, str]) -> None:
    """Make an engine the first node of a Swarm that has these secrets."""
    engine.docker("swarm", "init", "--advertise-addr", address, "--task-history-limit", "1")
    for name, value in secrets.items():
        engine.docker("secret", "create", name, "-", stdin=value.encode())


class Stack:
    """The stack of swarm.yml and `more` files, whose variables are `settings`; `engines[0]` is a manager."""

    def __init__(
        self,
        engines: Sequence[Engine],
        settings: Mapping[str, str],
        *,
        name: str = NAME,
        more: Sequence[Path] = (),
        replicas: int = REPLICAS,
    ) -> None:
        self.engine = engines[0]
        self.engines = engines
        self._settings = settings
        self._name = name
        self._service = f"{name}_worker"
        self._label = f"com.docker.swarm.service.name={self._service}"
        self._files = [option for file in (*_FILES, *more) for option in ("--compose-file", file)]
        self._replicas = replicas

    def deploy(self, tag: str) -> None:
        """Deploy, or update to, the image of this tag."""
        self.engine.docker(
            *("stack", "deploy", "--resolve-image", "never", *self._files, self._name),
            env={**self._settings, "IMAGE": f"github-worker:{tag}"},
        )

    def remove(self) -> None:
        """Remove it."""
        self.engine.docker("stack", "rm", self._name)
        wait_until(lambda: not self.containers(), "the stack's end")

    def containers(self) -> list[dict[str, Any]]:
        """Describe the workers that run, on all nodes that do."""
        running = (engine for engine in self.engines if engine.runs())
        return [container for engine in running for container in engine.containers(self._label)]

    def service(self) -> dict[str, Any]:
        """Describe the service."""
        described: dict[str, Any] = self.engine.get(f"/services/{self._service}")
        return described

    def wait_until_updated(self, patience: float = _PATIENCE) -> None:
        """Block until the last update has ended well."""
        wait_until(lambda: self.update() == "completed", "the update's end", patience)

    def update(self) -> str | None:
        """Tell how far the last update is."""
        state: str | None = self.service().get("UpdateStatus", {}).get("State")
        return state

    def pids(self) -> dict[str, int]:
        """Return the workers' process ids by their container ids, short as the service tells them."""
        return {each["Id"][:12]: each["State"]["Pid"] for each in self.containers()}

    def ready(self) -> bool:
        """Tell whether all replicas are healthy, and nothing else runs."""
        return [health(each) for each in self.containers()] == ["healthy"] * self._replicas

    def wait_until_ready(self, patience: float = _PATIENCE) -> None:
        """Block until all replicas are healthy."""
        wait_until(self.ready, f"{self._replicas} healthy workers", patience)

    def wait_until_served(self, patience: float = _PATIENCE) -> None:
        """Block until each replica has a healthy worker.

        Where a worker ends while it is being updated, Swarm may give its place two tasks, and keeps both.
        """
        what = f"a healthy worker for each of {self._replicas} replicas"
        wait_until(lambda: len(self.slots([self.engine])) == self._replicas, what, patience)

    def slots(self, engines: Sequence[Engine]) -> set[str]:
        """Return the places among the replicas that have a healthy one on these nodes."""
        containers = (each for engine in engines for each in engine.containers(self._label))
        healthy = (each for each in containers if health(each) == "healthy")
        return {each["Config"]["Labels"]["com.docker.swarm.task.name"].split(".")[1] for each in healthy}

    def memory(self, container: str) -> int:
        """Return the bytes of a container's memory that are no cache, 0 when it has ended."""
        query = {"stream": "false", "one-shot": "true"}
        answer = self.engine.api.get(f"/containers/{container}/stats", params=query)
        stats = answer.json().get("memory_stats", {}).get("stats", {})
        return int(stats.get("anon", stats.get("rss", 0)))

    def python(self, container: str, program: str) -> str:
        """Run a program in a container; there is nothing else to look around with."""
        return self.engine.docker("exec", container, "python", "-I", "-c", program)


def wait_until(holds: Callable[[], bool], what: str, patience: float = _PATIENCE) -> None:
    """Block until `holds`; raise TimeoutError saying `what` did not come."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {patience:g} seconds")
        time.sleep(0.1)


def health(container: dict[str, Any]) -> str | None:
    """Return what the last health checks of a container said, None where there are none."""
    status: str | None = container["State"].get("Health", {}).get("Status")
    return status
