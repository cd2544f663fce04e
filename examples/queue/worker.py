"""A worker of the queue: it registers, claims orders of its type, has them done, and reports.

Its heartbeat goes on beside the work and renews the claims. A claim that could not be renewed in time is
lost: its work is cancelled, and nothing is reported. SIGTERM lets it finish what it has, and claim nothing
more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec
import psutil
from redis.asyncio import Redis

from examples.coding.agent import hide
from examples.coding.task import Coder
from examples.coding.worker import agent_from_env
from examples.queue.config import WorkerConfig
from examples.queue.executor import Clarification, TaskExecutor
from examples.queue.messages import Claim, ClaimedOrder, Heartbeat, Registration, WorkerStatus
from github_worker_client import GitHubWorker, Secret, scrub
from github_worker_client.sessions import SessionStore

VERSION = "1.0"
REPORT_AGAIN = 1.0  # seconds between two tries to report, as long as the claim lasts
logger = logging.getLogger("queue-worker")


class Executor(Protocol):
    """Does an order and returns what came of it; raises if it cannot."""

    async def execute(self, order: ClaimedOrder, worker_id: str) -> dict[str, Any]:
        """Do an order, which may be one that another worker has begun."""


class Worker:
    """Works until it is told to stop."""

    def __init__(self, config: WorkerConfig, executor: Executor) -> None:
        self.id = str(uuid.uuid4())
        self.config, self._executor = config, executor
        self._began, self._stopping = time.monotonic(), asyncio.Event()
        self._claims: dict[str, tuple[ClaimedOrder, asyncio.Timeout]] = {}  # by execution
        self._secrets = [Secret(config.api_key), Secret(config.github_token)]  # are masked in what is told
        self._api = httpx.AsyncClient(
            base_url=f"{config.api_url.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {config.api_key}"},
            timeout=10.0,
            trust_env=False,
        )

    @property
    def status(self) -> WorkerStatus:
        """Whether it has anything to do."""
        return "busy" if self._claims else "idle"

    def stop(self) -> None:
        """Let `run` end once the orders that are claimed are done."""
        self._stopping.set()

    async def run(self) -> None:
        """Register, work until `stop`, and deregister; raise HTTPStatusError if the key is refused."""
        async with self._api:
            while not await self._register():
                if await self._is_stopped_within(self.config.poll_interval):
                    return
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(self._beat())
                await self._serve(group)
                beating.cancel()
            await self._send("DELETE", f"/workers/{self.id}")

    async def _register(self) -> bool:
        config = self.config
        registration = Registration(
            id=self.id,
            name=config.name,
            worker_type=config.worker_type,
            version=VERSION,
            config=config.to_dict(),
        )
        answer = await self._send("POST", "/workers", registration)
        return answer is not None and answer.raise_for_status().is_success

    async def _is_stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        running: set[asyncio.Task[Any]] = set()
        stopping = group.create_task(self._stopping.wait())
        while not stopping.done():
            asked_at = asyncio.get_running_loop().time()
            order = await self._claim() if len(running) < self.config.max_concurrent_tasks else None
            if order is None:
                await asyncio.wait(
                    {stopping, *running},
                    timeout=self.config.poll_interval,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            else:
                task = group.create_task(self._work(order, asked_at))
                running.add(task)
                task.add_done_callback(running.discard)
        logger.info("%s stops; orders to finish: %d", self.config.name, len(running))
        if running:
            await asyncio.wait(running)

    async def _claim(self) -> ClaimedOrder | None:
        claim = Claim(worker_id=self.id, queue_names=self.config.queue_names)
        answer = await self._send("POST", "/queue/claim", claim)
        if answer is None or answer.status_code in {204, 404}:  # the heartbeat registers who is not known
            return None
        return msgspec.json.decode(answer.raise_for_status().content, type=ClaimedOrder)

    async def _work(self, order: ClaimedOrder, asked_at: float) -> None:
        """Do an order and report; end without a report when the claim is lost."""
        claim = asyncio.timeout_at(asked_at + order.lease)
        try:
            async with claim:
                self._claims[order.execution_id] = order, claim
                try:
                    await self._report(order, *await self._outcome(order))
                finally:
                    del self._claims[order.execution_id]
        except TimeoutError:
            logger.warning("order %s: the claim is lost, nothing is reported", order.id)

    async def _outcome(self, order: ClaimedOrder) -> tuple[str, dict[str, Any]]:
        logger.info("order %s: %s", order.id, order.task_type)
        try:
            async with asyncio.timeout(self.config.task_timeout):
                return "complete", await self._executor.execute(order, self.id)
        except TimeoutError:
            reason = f"the order was not done within {self.config.task_timeout:g} seconds"
        except Exception as error:  # whatever it is, it is the order's end, and the controller hears of it
            logger.warning("order %s", order.id, exc_info=True)
            reason = scrub(str(error) or type(error).__name__)
        return "fail", {"status": "failed", "error": reason, "session_id": order.id}

    async def _report(self, order: ClaimedOrder, ending: str, result: dict[str, Any]) -> None:
        path = f"/executions/{order.execution_id}/{ending}"
        while (answer := await self._send("POST", path, result)) is None:  # noqa: ASYNC110 (a server)
            await asyncio.sleep(REPORT_AGAIN)
        if answer.status_code in {404, 409}:
            logger.warning("order %s: it is not this worker's any more", order.id)
        else:
            answer.raise_for_status()
            logger.info("order %s: %s", order.id, ending)

    async def _beat(self) -> None:
        """Tell how it goes, again and again, and keep the claims by that."""
        while True:
            began, claims = asyncio.get_running_loop().time(), dict(self._claims)
            beat = Heartbeat(
                status=self.status,
                current_tasks=len(claims),
                metrics=self._metrics(),
                executions=list(claims),
            )
            answer = await self._send("POST", f"/workers/{self.id}/heartbeat", beat)
            if answer is not None and answer.status_code == 404:
                await self._register()
            elif answer is not None:
                lost = answer.raise_for_status().json()["lost"]
                for execution, (order, claim) in claims.items():
                    if execution in self._claims and not claim.expired():
                        claim.reschedule(began if execution in lost else began + order.lease)
            await asyncio.sleep(self.config.heartbeat_interval)

    def _metrics(self) -> dict[str, float]:
        return {
            "cpu_percent": psutil.cpu_percent(),
            "memory_mb": psutil.virtual_memory().used / 2**20,
            "disk_usage_gb": psutil.disk_usage("/").used / 2**30,
            "uptime_seconds": time.monotonic() - self._began,
        }

    async def _send(self, method: str, path: str, message: Any = None) -> httpx.Response | None:
        """Return the backend's answer, None where it cannot be reached or is in trouble."""
        try:
            answer = await self._api.request(method, path, content=msgspec.json.encode(message))
            return answer.raise_for_status() if answer.is_server_error else answer
        except httpx.HTTPError as error:
            logger.warning("%s %s: %s", method, path, error or type(error).__name__)
            return None


async def main() -> None:
    """Run the worker that the environment configures, until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    hide()
    config = WorkerConfig.from_env(os.environ)
    async with (
        GitHubWorker(os.environ["GITHUB_WORKER_URL"], os.environ.get("GITHUB_WORKER_TOKEN")) as github,
        Redis.from_url(config.redis_url, decode_responses=True) as redis,
    ):
        if config.workspace_dir:
            Path(config.workspace_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        store = SessionStore(os.environ["STORAGE_URL"], folder=config.workspace_dir)
        clarification = Clarification(redis, config.clarification_timeout)
        coder = Coder(github, store, agent_from_env())
        executor = TaskExecutor(coder, clarification, config.github_token, config.specializations)
        worker = Worker(config, executor)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, worker.stop)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
