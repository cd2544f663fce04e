"""Three machines: engines in namespaces of their own, joined by a switch whose cables can be pulled.

The switch is a network namespace with a bridge. This process's namespace is on it too, with the git server,
the store and whoever calls from outside.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from swarm.engine import ADDRESS, Engine

OUTSIDE = "10.98.0.1"
_SWITCH = "switch"
_CABLE = "cable"


class Node(Engine):
    """An engine with a network and processes of its own, all of which end with it."""

    _unshare = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")

    def __init__(self, number: int, switch: Engine, root: Path, shared: Path, state: Path) -> None:
        self.address = f"10.98.0.{10 + number}"
        self._cable = f"{_CABLE}{number}"
        self._switch = switch
        super().__init__(root, shared, state)

    def _connect(self) -> None:
        _plug(self._switch, self._cable, str(self.pid))
        self.run("ip", "address", "add", f"{self.address}/24", "dev", self._cable)
        self.run("ip", "link", "set", self._cable, "up")
        self.run("ip", "route", "add", ADDRESS, "via", OUTSIDE)  # what else is asked fails at once

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self.kill()

    def kill(self) -> None:
        """End the engine, its containers and all else that runs there, and return when all of it is gone."""
        if self.runs():
            first = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()  # of the node's processes
            os.kill(int(first), signal.SIGKILL)
        self._process.wait()

    def cut_off(self) -> None:
        """Pull the cable out; everything goes on running."""
        _switch(self._switch, "link", "set", self._cable, "down")

    def restore(self) -> None:
        """Put the cable back."""
        _switch(self._switch, "link", "set", self._cable, "up")


@contextmanager
def three_nodes(engine: Engine, root: Path, shared: Path, folder: Path) -> Iterator[list[Node]]:
    """Start three nodes for the block, which keep all they have in memory, mounted at `folder` in `shared`.

    `engine` is beside the switch, and has the commands to make it.
    """
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        subprocess.check_call(["mount", "-t", "tmpfs", "nodes", folder])
        stack.callback(subprocess.check_call, ["umount", folder])
        engine.run("ip", "netns", "add", _SWITCH)
        stack.callback(engine.run, "ip", "netns", "delete", _SWITCH)
        _switch(engine, "link", "add", "bridge", "type", "bridge")
        _switch(engine, "link", "set", "bridge", "up")
        _plug(engine, f"{_CABLE}0", str(engine.pid))
        engine.run("ip", "address", "add", f"{OUTSIDE}/24", "dev", f"{_CABLE}0")
        engine.run("ip", "link", "set", f"{_CABLE}0", "up")
        nodes = (Node(number, engine, root, shared, folder / str(number)) for number in (1, 2, 3))
        yield [stack.enter_context(node) for node in nodes]


def has_vxlan(engine: Engine) -> bool:
    """Tell whether the kernel can join the nodes' networks."""
    try:
        engine.run("ip", "link", "add", "probe", "type", "vxlan", "id", "1", "dstport", "0", "local", OUTSIDE)
    except subprocess.CalledProcessError:
        return False
    engine.run("ip", "link", "delete", "probe")
    return True


def join(nodes: list[Node]) -> None:
    """Make all nodes one Swarm, which the first has begun and manages."""
    first, *others = nodes
    token = first.docker("swarm", "join-token", "--quiet", "worker").strip()
    for node in others:
        node.docker(
            "swarm", "join", "--token", token, "--advertise-addr", node.address, f"{first.address}:2377"
        )


def state(manager: Node, node: Node) -> str:
    """Return what a manager says of a node: ready or down."""
    described: list[dict[str, Any]] = manager.get("/nodes")
    (status,) = [each["Status"] for each in described if each["Status"]["Addr"] == node.address]
    return str(status["State"])


def _plug(engine: Engine, cable: str, namespace: str) -> None:
    """Lead a cable from the bridge into a network namespace, where it has the same name."""
    _switch(engine, "link", "add", cable, "type", "veth", "peer", "name", cable, "netns", namespace)
    _switch(engine, "link", "set", cable, "master", "bridge", "up")


def _switch(engine: Engine, *command: str) -> None:
    engine.run("ip", "-netns", _SWITCH, *command)
