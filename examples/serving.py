"""An ASGI application on a port of loopback, as long as it is needed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to who runs the event loop."""
        yield


@asynccontextmanager
async def serving(application: Any, port: int = 0, **options: Any) -> AsyncIterator[str]:
    """Serve `application` in this event loop, and yield its URL; at the end it shuts down as on SIGTERM."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = _Server(uvicorn.Config(application, log_level="warning", **options))
        running = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
