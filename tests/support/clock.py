"""Time that passes when a test says so, or when somebody waits."""

from __future__ import annotations

import asyncio

from github_worker_client import Clock


class HastyClock(Clock):
    """Lets time pass for who waits, and at no other time: a wait is over at once."""

    def __init__(self) -> None:
        self._now = 1_000.0

    def now(self) -> float:
        """Return the time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, and others have a turn."""
        self._now += seconds
        await asyncio.sleep(0)


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
