"""The worker between a real backend and an executor that does nothing to a repository."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.queue.config import WorkerConfig
from examples.queue.crew import CAUTIOUS, PATIENCE, Queue, queue
from examples.queue.messages import ClaimedOrder
from examples.queue.worker import Worker
from github_worker_client import Secret

Does = Callable[[ClaimedOrder], Awaitable[Any]]


class Executor:
    """Does what it was made with, and remembers which orders it was given."""

    def __init__(self, does: Does) -> None:
        self._does, self.orders, self.cancelled = does, list[str](), asyncio.Event()

    async def execute(self, order: ClaimedOrder, worker_id: str) -> dict[str, Any]:
        """Do an order."""
        self.orders.append(order.id)
        try:
            return {"status": "success", "output": await self._does(order)}
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class Trouble:
    """Stands before the backend: what has a word of `refuses` in its path gets 503, and is in `refused`."""

    def __init__(self) -> None:
        self.refuses: list[str] = []
        self.refused = asyncio.Event()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the backend with trouble."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if any(word in scope.get("path", "") for word in self.refuses):
                self.refused.set()
                await Response(status_code=503)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return answer


class Setting:
    """A backend with trouble, and the workers of a test, which are stopped at its end."""

    def __init__(self, backend: Queue, trouble: Trouble, stack: AsyncExitStack) -> None:
        self.backend, self.trouble, self._stack = backend, trouble, stack

    def start(self, does: Does, **config: Any) -> tuple[Worker, Executor, asyncio.Task[None]]:
        """Start a worker."""
        executor = Executor(does)
        worker = Worker(self.backend.config(**config), executor)
        running = asyncio.create_task(worker.run())

        async def end() -> None:
            worker.stop()
            await asyncio.wait([running])

        self._stack.push_async_callback(end)
        return worker, executor, running


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """Yield a backend and what starts workers."""
    trouble = Trouble()
    async with queue(tmp_path, around=trouble.around) as backend, AsyncExitStack() as stack:
        yield Setting(backend, trouble, stack)


async def at_once(order: ClaimedOrder) -> str:
    """Do an order."""
    return order.description


async def for_ever(order: ClaimedOrder) -> None:
    """Never come to an end."""
    await asyncio.Event().wait()


async def test_a_worker_claims_does_and_reports(setting: Setting) -> None:
    """The order has the result, the execution its worker and its times."""
    id = await setting.backend.enqueue()
    worker, _, _ = setting.start(at_once)
    told = await setting.backend.until(id, "completed")
    assert told["result"] == {"status": "success", "output": "Add a dark mode toggle"}
    (execution,) = told["executions"]
    assert (execution["worker"], execution["status"]) == (worker.id, "completed")


async def test_a_busy_worker_tells_how_it_goes(setting: Setting) -> None:
    """The heartbeat goes on beside the work, with the design's metrics and the worker's configuration."""
    id = await setting.backend.enqueue()
    done = asyncio.Event()
    setting.start(lambda _: done.wait(), specializations=["python"])
    await setting.backend.until(id, "claimed")
    async with asyncio.timeout(PATIENCE):
        while (told := await setting.backend.workers())[0]["status"] != "busy":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (worker,) = told
    assert worker["metrics"].keys() == {"cpu_percent", "memory_mb", "disk_usage_gb", "uptime_seconds"}
    assert (worker["current_tasks"], worker["config"]["specializations"]) == (1, ["python"])
    assert not {"api_key", "github_token", "redis_url"} & worker["config"].keys()
    done.set()
    await setting.backend.until(id, "completed")


async def test_orders_are_done_at_once_up_to_the_limit(setting: Setting) -> None:
    """Two that wait for each other come to their end, and a third one waits."""
    both, most, now = asyncio.Barrier(2), [0], [0]

    async def meet(order: ClaimedOrder) -> None:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await both.wait()
        now[0] -= 1

    ids = [await setting.backend.enqueue() for _ in range(4)]
    setting.start(meet, max_concurrent_tasks=2)
    for id in ids:
        await setting.backend.until(id, "completed")
    assert most == [2]


async def test_what_an_order_ends_in_is_told_without_secrets(setting: Setting) -> None:
    """An exception is the order's failure, in words; the worker goes on."""
    secret = Secret("a-secret-0123456789")

    async def fail(order: ClaimedOrder) -> None:
        raise ValueError(f"it does not work with {secret.reveal()}")

    ids = [await setting.backend.enqueue() for _ in range(2)]
    setting.start(fail)
    for id in ids:
        told = await setting.backend.until(id, "failed")
        assert told["result"] == {
            "status": "failed",
            "error": "it does not work with ***",
            "session_id": id,
        }


async def test_an_order_has_a_time_limit(setting: Setting) -> None:
    """Past it the work is ended, and the order has failed."""
    id = await setting.backend.enqueue()
    _, executor, _ = setting.start(for_ever, task_timeout=0.3)
    told = await setting.backend.until(id, "failed")
    assert "0.3 seconds" in told["result"]["error"]
    assert executor.cancelled.is_set()


async def test_a_worker_whose_heartbeats_were_lost_reports_nothing(setting: Setting) -> None:
    """Another one has done the order; told so, the first one ends its work and goes on with others."""
    backend, trouble = setting.backend, setting.trouble
    id = await backend.enqueue()
    first, slow, _ = setting.start(lambda order: for_ever(order) if order.id == id else at_once(order))
    await backend.until(id, "claimed")
    trouble.refuses.append(f"{first.id}/heartbeat")
    await asyncio.wait_for(trouble.refused.wait(), PATIENCE)
    await backend.take_away(id)
    _, quick, _ = setting.start(at_once)
    told = await backend.until(id, "completed")
    assert [execution["status"] for execution in told["executions"]] == ["lost", "completed"]
    assert not slow.cancelled.is_set()
    trouble.refuses.clear()
    await asyncio.wait_for(slow.cancelled.wait(), PATIENCE)
    assert await backend.order(id) == told
    while len(slow.orders) == 1:
        await backend.until(await backend.enqueue(), "completed")
    assert quick.orders[0] == id


async def test_a_worker_that_cannot_renew_its_claim_ends_its_work_in_time(tmp_path: Path) -> None:
    """It hears nothing at all: once the lease is over it has stopped by itself."""
    trouble = Trouble()
    async with (
        queue(tmp_path, lease=1.0, around=trouble.around) as backend,
        AsyncExitStack() as stack,
    ):
        id = await backend.enqueue()
        _, slow, _ = Setting(backend, trouble, stack).start(for_ever)
        await backend.until(id, "claimed")
        trouble.refuses += ["heartbeat", "claim", "executions"]
        await asyncio.wait_for(slow.cancelled.wait(), PATIENCE)
        assert (await backend.until(id, "pending"))["result"] is None


async def test_a_report_that_does_not_arrive_is_sent_until_it_does(setting: Setting) -> None:
    """The order is done once, and completed when the backend is there again."""
    setting.trouble.refuses.append("complete")
    id = await setting.backend.enqueue()
    _, executor, _ = setting.start(at_once)
    await asyncio.wait_for(setting.trouble.refused.wait(), PATIENCE)
    setting.trouble.refuses.clear()
    told = await setting.backend.until(id, "completed")
    assert (executor.orders, len(told["executions"])) == ([id], 1)


async def test_a_report_that_comes_too_late_is_not_taken(setting: Setting) -> None:
    """Another worker has the order by then, and its report counts."""
    backend, trouble = setting.backend, setting.trouble
    id = await backend.enqueue()
    held = asyncio.Event()

    async def late(order: ClaimedOrder) -> str:
        await held.wait()
        return "late"

    first, _, running = setting.start(late)
    await backend.until(id, "claimed")
    trouble.refuses.append(f"{first.id}/heartbeat")
    await asyncio.wait_for(trouble.refused.wait(), PATIENCE)
    await backend.take_away(id)
    setting.start(at_once)
    told = await backend.until(id, "completed")
    first.stop()
    held.set()
    await asyncio.wait_for(running, PATIENCE)
    assert await backend.order(id) == told
    assert told["result"]["output"] == "Add a dark mode toggle"


async def test_a_worker_that_is_told_to_stop_finishes_what_it_has(setting: Setting) -> None:
    """It claims nothing new, and is gone from the list."""
    held = asyncio.Event()
    ids = [await setting.backend.enqueue() for _ in range(2)]
    worker, executor, running = setting.start(lambda _: held.wait())
    await setting.backend.until(ids[0], "claimed")
    worker.stop()
    held.set()
    await asyncio.wait_for(running, PATIENCE)
    assert executor.orders == ids[:1]
    assert [(await setting.backend.order(id))["status"] for id in ids] == ["completed", "pending"]
    assert await setting.backend.workers() == []


async def test_a_worker_waits_for_a_backend_that_is_not_there_yet(setting: Setting) -> None:
    """It registers once it is, and one that is told to stop meanwhile does."""
    setting.trouble.refuses.append("workers")
    id = await setting.backend.enqueue()
    stopped, _, ended = setting.start(at_once)
    setting.start(at_once)
    await asyncio.wait_for(setting.trouble.refused.wait(), PATIENCE)
    stopped.stop()
    await asyncio.wait_for(ended, PATIENCE)
    setting.trouble.refuses.clear()
    await setting.backend.until(id, "completed")


async def test_a_worker_that_the_backend_has_forgotten_registers_again(setting: Setting) -> None:
    """Its next heartbeat finds out."""
    worker, _, _ = setting.start(at_once)
    await setting.backend.until(await setting.backend.enqueue(), "completed")
    await setting.backend.redis.delete(f"worker:{worker.id}")
    await setting.backend.until(await setting.backend.enqueue(), "completed")
    assert [told["id"] for told in await setting.backend.workers()] == [worker.id]


@pytest.mark.parametrize(("key", "status"), [("wrong", "401"), (CAUTIOUS.key, "403")])
async def test_a_key_that_is_refused_ends_the_worker(setting: Setting, key: str, status: str) -> None:
    """There is no use in trying on."""
    _, _, running = setting.start(at_once, api_key=key, worker_type="docs")
    with pytest.raises(httpx.HTTPStatusError, match=status):
        await running


def test_the_environment_is_the_configuration() -> None:
    """The names are those of the design, lists have commas, and what is missing or wrong is named."""
    env = {"WORKER_NAME": "docs-1", "WORKER_TYPE": "docs", "REDIS_URL": "redis://r", "API_URL": "http://a"}
    env |= {"API_KEY": "k", "GITHUB_TOKEN": "t", "MAX_CONCURRENT_TASKS": "2", "POLL_INTERVAL": "0.5"}
    config = WorkerConfig.from_env(env | {"QUEUE_NAMES": "urgent,default", "NAME": "of the shell"})
    assert (config.name, config.max_concurrent_tasks, config.poll_interval) == ("docs-1", 2, 0.5)
    assert config.queue_names == ["urgent", "default"]
    assert WorkerConfig.from_env(env).queue_names == ["high_priority", "default", "low_priority"]
    for wrong, named in [({"API_KEY": ""}, "api_key"), ({"WORKER_TYPE": "cleaner"}, "worker_type")]:
        with pytest.raises(msgspec.ValidationError, match=named):
            WorkerConfig.from_env(env | wrong)
