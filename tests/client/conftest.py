from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from github_worker_client import Backoff, GitHubWorker
from github_worker_client.testing import StandInWorker

Connect = Callable[..., GitHubWorker]
IMPATIENT = Backoff(at_once=2, first=0.01, longest=0.02)


@pytest.fixture
def stand_in() -> Iterator[StandInWorker]:
    """A stand-in worker without a script."""
    with StandInWorker() as worker:
        yield worker


@pytest.fixture
async def connect(stand_in: StandInWorker) -> AsyncIterator[Connect]:
    """Make clients of the stand-in that wait for hundredths of a second."""
    async with AsyncExitStack() as clients:

        def connect(**options: Any) -> GitHubWorker:
            settings: dict[str, Any] = {"base_url": stand_in.base_url, "backoff": IMPATIENT}
            client = GitHubWorker(**(settings | options))
            clients.push_async_callback(client.aclose)
            return client

        yield connect
