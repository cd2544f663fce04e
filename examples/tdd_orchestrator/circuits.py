"""Circuit breakers of the system, each worker and each stage, kept in the store.

A library's breakers are in one process: these outlive it, and a person resets one from another process.

    closed → open      after `failures` in a row: nothing is tried for `pause` seconds
    open → half_open   one try is let through: it closes the circuit, or opens it again
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from examples.tdd_orchestrator.store import Store, now

SYSTEM = "system"
_LOOK = 0.2  # seconds


@dataclass(frozen=True)
class Circuits:
    """Lets tries through, and learns how they went."""

    store: Store
    failures: int
    pause: float
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # one try is one

    async def begin(self, *ids: str) -> None:
        """Make the circuits that are missing; a try that a killed process has made is made again."""
        for id_ in ids:
            circuit = await self.store.set_circuit(id_)
            if circuit["state"] == "half_open":
                await self.store.set_circuit(id_, state="open", retry_at=now())

    async def enter(self, *ids: str) -> None:
        """Wait until all of them let a try through."""
        while not await self._admit(ids):  # noqa: ASYNC110 (what is waited for may be done by another process)
            await asyncio.sleep(_LOOK)

    async def settle(self, ok: bool, *ids: str) -> None:
        """Tell them how the try went."""
        for id_ in ids:
            circuit = await self.store.set_circuit(id_)
            count = 0 if ok else circuit["failures"] + 1
            if count >= self.failures or (count and circuit["state"] == "half_open"):
                await self.store.set_circuit(id_, state="open", failures=count, retry_at=now(self.pause))
            elif (circuit["state"], circuit["failures"]) != ("closed", count):
                await self.store.set_circuit(id_, state="closed", failures=count, retry_at=None)

    async def _admit(self, ids: tuple[str, ...]) -> bool:
        async with self._lock:
            asked = [circuit for circuit in await self.store.circuits() if circuit["id"] in ids]
            tried = [circuit for circuit in asked if circuit["state"] != "closed"]
            if any(circuit["state"] == "half_open" or circuit["retryAt"] > now() for circuit in tried):
                return False
            for circuit in tried:
                await self.store.set_circuit(circuit["id"], state="half_open")
            return True
