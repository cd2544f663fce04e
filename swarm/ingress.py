"""The ingress: Swarm's own where the kernel has IPVS, else the same round robin by nftables.

Swarm's routing mesh is IPVS, whose scheduler deals out connections in turn and knows nothing of HTTP. On a
kernel without it the engine runs all the same, but the published port answers nothing. The stand-in deals out
that port's connections in the engine's network namespace to the same containers: those that are healthy.
"""

from __future__ import annotations

import random
import threading
from pathlib import Path

from swarm.engine import ADDRESS, Engine
from swarm.events import Event

PUBLISHED, PORT = 5003, 5002
_RULES = """
table ip ingress
delete table ip ingress
table ip ingress {{
  chain prerouting {{ type nat hook prerouting priority -101; {rule} }}
  chain output {{ type nat hook output priority -101; {rule} }}
  chain postrouting {{ type nat hook postrouting priority 99; ct status dnat tcp dport {port} masquerade; }}
}}
"""


def has_ipvs() -> bool:
    """Tell whether the kernel can balance as Swarm's ingress needs it."""
    return Path("/proc/sys/net/ipv4/vs").exists()


class StandIn:
    """Follows the containers' events, as Swarm's own balancer does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._healthy: set[str] = set()
        self._lock = threading.Lock()

    def on_event(self, event: Event) -> None:
        """Deal out to a container from its first health to its end, or to the signal that asks for it."""
        if event.action == "health_status: healthy":
            self._healthy.add(event.container)
        elif event.action in {"die", "kill"} and event.container in self._healthy:
            self._healthy.remove(event.container)
        else:
            return
        self._apply()

    def _apply(self) -> None:
        with self._lock:
            network = self._engine.get("/networks/docker_gwbridge")["Containers"]
            addresses = [
                described["IPv4Address"].partition("/")[0]
                for container, described in network.items()
                if container[:12] in self._healthy
            ]
            random.shuffle(addresses)  # each change would begin with the first one again
            self._engine.run("nft", "-f", "-", stdin=rules(addresses).encode())


def rules(addresses: list[str]) -> str:
    """Return the rules that deal out the published port to `addresses` in turn."""
    places = ", ".join(f"{number} : {address}" for number, address in enumerate(addresses))
    turn = f"numgen inc mod {len(addresses)} map {{ {places} }}"
    rule = f"ip daddr {ADDRESS} tcp dport {PUBLISHED} dnat to {turn} : {PORT};" if addresses else ""
    return _RULES.format(rule=rule, port=PORT)
