"""A worker, as a process, whose orders leave no more than a file each, so that a hundred are quickly done.

`python -m examples.queue.counting FOLDER`, configured like any worker. With LAST=3 its third order never
ends, which is where the test kills it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from examples.queue.config import WorkerConfig
from examples.queue.messages import ClaimedOrder
from examples.queue.worker import Worker


class Counting:
    """Makes a file for each order that it does, in the place of an agent's work."""

    def __init__(self, folder: Path, last: int) -> None:
        self._folder, self._left = folder, last

    async def execute(self, order: ClaimedOrder, worker_id: str) -> dict[str, Any]:
        """Do an order."""
        self._left -= 1
        if self._left == 0:
            (self._folder / f"stuck-{os.getpid()}").touch()
            await asyncio.Event().wait()
        await asyncio.sleep(0.02)
        (self._folder / f"done-{order.execution_id}").touch()
        return {"status": "success"}


async def main() -> None:
    """Work until SIGTERM."""
    worker = Worker(WorkerConfig.from_env(os.environ), Counting(Path(sys.argv[1]), int(os.environ["LAST"])))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
