"""Time that passes when a test says so."""

from __future__ import annotations

import asyncio

from github_worker_client import Clock


class FakeClock(Clock):
    """Stands still between calls of `advance`; `waits` are the seconds that others began to wait for."""

    def __init__(self) -> None:
        self.waits: asyncio.Queue[float] = asyncio.Queue()
        self._now = 1_000.0
        self._alarms: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Return the time."""
        return self._now

    async def wait(self, signal: asyncio.Event, seconds: float) -> None:
        """Return when `signal` is set, or the time has advanced by `seconds`."""
        alarm = asyncio.get_running_loop().create_future()
        self._alarms.append((self._now + seconds, alarm))
        signalled = asyncio.ensure_future(signal.wait())
        self.waits.put_nowait(seconds)
        try:
            await asyncio.wait({alarm, signalled}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            signalled.cancel()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        for due, alarm in self._alarms:
            if due <= self._now and not alarm.done():
                alarm.set_result(None)
