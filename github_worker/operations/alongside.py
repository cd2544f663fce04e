"""Steps that need no waiting for: they run beside the others, and end with the operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

Value = TypeVar("Value")


@asynccontextmanager
async def alongside(step: Coroutine[Any, Any, Value]) -> AsyncIterator[asyncio.Task[Value]]:
    """Run `step` beside the block, which awaits it where it needs its value."""
    task = asyncio.create_task(step)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
