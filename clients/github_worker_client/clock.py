"""Time, as those who wait by it ask for it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress


class Clock:
    """Monotonic time in seconds, and waiting by it; a test may bring its own."""

    def now(self) -> float:
        """Return the time."""
        return time.monotonic()

    async def wait(self, signal: asyncio.Event, seconds: float) -> None:
        """Return when `signal` is set, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await signal.wait()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await self.wait(asyncio.Event(), seconds)
