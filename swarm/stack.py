"""swarm.yml on a one-node Swarm, and what one wants to know of its five containers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarm.engine import Engine
from swarm.events import Events
from swarm.ingress import StandIn, has_ipvs

REPLICAS = 5
NAME = "github-worker"
SERVICE = f"{NAME}_worker"
_FOLDER = Path(__file__).parent
_PATIENCE = 60.0  # seconds


class Stack:
    """The stack of swarm.yml, with `secrets` by name and `settings` that its file asks for."""

    def __init__(self, engine: Engine, secrets: dict[str, str], settings: dict[str, str]) -> None:
        self.engine = engine
        self._settings = settings
        engine.docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--task-history-limit", "1")
        for name, value in secrets.items():
            engine.docker("secret", "create", name, "-", stdin=value.encode())
        ingress = StandIn(engine).on_event if not has_ipvs() else _ignore
        self.events = Events(engine, SERVICE, ingress)

    def deploy(self, tag: str) -> None:
        """Deploy, or update to, the image of this tag."""
        files = ("--compose-file", _FOLDER.parent / "swarm.yml", "--compose-file", _FOLDER / "stack.yml")
        self.engine.docker(
            *("stack", "deploy", "--resolve-image", "never", *files, NAME),
            env={**self._settings, "IMAGE": f"github-worker:{tag}"},
        )

    def remove(self) -> None:
        """Remove it, and stop listening."""
        self.engine.docker("stack", "rm", NAME)
        wait_until(lambda: not self.containers(), "the stack's end")
        self.events.close()

    def containers(self) -> list[dict[str, Any]]:
        """Describe the workers that run."""
        return self.engine.containers(SERVICE)

    def service(self) -> dict[str, Any]:
        """Describe the service."""
        described: dict[str, Any] = self.engine.get(f"/services/{SERVICE}")
        return described

    def pids(self) -> dict[str, int]:
        """Return the workers' process ids by their container ids, short as the service tells them."""
        return {each["Id"][:12]: each["State"]["Pid"] for each in self.containers()}

    def ready(self) -> bool:
        """Tell whether all replicas are healthy, and nothing else runs."""
        states = [each["State"].get("Health", {}).get("Status") for each in self.containers()]
        return states == ["healthy"] * REPLICAS

    def wait_until_ready(self) -> None:
        """Block until all replicas are healthy."""
        wait_until(self.ready, "five healthy workers")

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


def _ignore(event: object) -> None:
    """Leave the balancing to Swarm."""
