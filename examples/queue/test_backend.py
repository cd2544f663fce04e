"""The backend over HTTP and a real Redis: who gets which order, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.queue.backend import Key, from_env
from examples.queue.crew import CAUTIOUS, KEYS, Queue, queue
from examples.queue.messages import TaskType
from examples.serving import serving

ALL = ["high_priority", "default", "low_priority"]


@pytest.fixture(name="backend")
async def running_backend(tmp_path: Path) -> AsyncIterator[Queue]:
    """Yield a backend whose claims last as long as a test lets them."""
    async with queue(tmp_path) as running:
        yield running


class Hand:
    """A worker as the backend knows it: what it sends, by hand."""

    def __init__(self, id: str, http: httpx.AsyncClient) -> None:
        self.id, self.http = id, http

    @classmethod
    async def register(
        cls, backend: Queue, id: str = "w1", kind: TaskType = "feature", key: Key | None = None
    ) -> Hand:
        """Return a worker that the backend knows."""
        hand = cls(id, await backend.client(key or KEYS[kind]))
        body = {"id": id, "name": id, "worker_type": kind, "version": "1", "config": {}}
        assert (await hand.http.post("/workers", json=body)).status_code == 201
        return hand

    async def claim(self, *queue_names: str) -> dict[str, Any]:
        """Return an order, an empty one if there is none."""
        body = {"worker_id": self.id, "queue_names": queue_names or ALL}
        answer = (await self.http.post("/queue/claim", json=body)).raise_for_status()
        order: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return order

    async def finish(self, order: dict[str, Any], ending: str = "complete", **result: Any) -> int:
        """Report, and return the answer's status."""
        return (
            await self.http.post(f"/executions/{order['execution_id']}/{ending}", json=result)
        ).status_code

    async def beat(self, *orders: dict[str, Any]) -> httpx.Response:
        """Send a heartbeat that keeps some orders."""
        executions = [order["execution_id"] for order in orders]
        beat = {"status": "busy", "current_tasks": len(orders), "metrics": {"cpu_percent": 1.5}}
        return await self.http.post(f"/workers/{self.id}/heartbeat", json=beat | {"executions": executions})


async def test_many_claims_at_once_give_each_order_to_one_worker(backend: Queue) -> None:
    """Twenty workers ask for five orders at once: five have one, and no two the same."""
    ids = {await backend.enqueue() for _ in range(5)}
    hands = [await Hand.register(backend, f"w{number}") for number in range(20)]
    claimed = [order for order in await asyncio.gather(*(hand.claim() for hand in hands)) if order]
    assert len(claimed) == 5
    assert {order["id"] for order in claimed} == ids


async def test_a_claim_goes_by_queue_then_by_age_and_gives_the_workers_type_alone(backend: Queue) -> None:
    """The first queue that has an order gives its oldest one; orders of other types are for others."""
    await backend.enqueue(id="docs", task_type="docs", queue_name="high_priority")
    for id, name in [
        ("low", "low_priority"),
        ("first", "default"),
        ("second", "default"),
        ("high", "high_priority"),
    ]:
        await backend.enqueue(id=id, queue_name=name)
    hand = await Hand.register(backend)
    claimed = [await hand.claim() for _ in range(5)]
    assert [order.get("id") for order in claimed] == ["high", "first", "second", "low", None]
    assert await (await Hand.register(backend, "w2", "docs")).claim("default") == {}


async def test_the_same_order_twice_is_one_order(backend: Queue) -> None:
    """A controller that lost the answer asks again, before or after the order is done: nothing is added."""
    hand = await Hand.register(backend)
    assert await backend.enqueue(id="order-1") == await backend.enqueue(id="order-1", description="Other")
    order = await hand.claim()
    assert order["description"] == "Add a dark mode toggle"
    await hand.finish(order)
    await backend.enqueue(id="order-1")
    assert await hand.claim() == {}
    assert (await backend.order("order-1"))["status"] == "completed"


async def test_a_claim_that_is_not_renewed_goes_back_to_the_front(backend: Queue) -> None:
    """The next worker has it; who had it is told so by its heartbeat, and cannot report any more."""
    ids = [await backend.enqueue(id=id) for id in ("a", "b", "c")]
    first, second = await Hand.register(backend, "w1"), await Hand.register(backend, "w2")
    lost = [await first.claim(), await first.claim()]
    for order in lost:
        await backend.end_claim(order["id"])
    assert {(await backend.order(id))["status"] for id in ids} == {"pending"}
    again = await second.claim()
    assert again["id"] in {"a", "b"}
    assert set((await first.beat(*lost)).json()["lost"]) == {order["execution_id"] for order in lost}
    assert [await first.finish(order) for order in lost] == [409, 409]
    assert (await backend.order(again["id"]))["result"] is None
    assert await second.finish(again) == 204


async def test_a_heartbeat_keeps_a_claim(backend: Queue) -> None:
    """It lasts for a lease from then on, even where the time was over and nobody else has asked."""
    id = await backend.enqueue()
    first, second = await Hand.register(backend, "w1"), await Hand.register(backend, "w2")
    order = await first.claim()
    await backend.end_claim(id)
    assert (await first.beat(order)).json() == {"lost": []}
    assert await second.claim() == {}
    assert await first.finish(order) == 204
    assert len((await backend.order(id))["executions"]) == 1


async def test_a_report_whose_answer_was_lost_is_sent_again(backend: Queue) -> None:
    """The second one is taken as well and changes nothing, and a heartbeat meanwhile does no harm."""
    id = await backend.enqueue()
    hand = await Hand.register(backend)
    order = await hand.claim()
    assert await hand.finish(order, output="first") == 204
    assert (await hand.beat(order)).json() == {"lost": []}
    assert await hand.finish(order, "fail", output="second") == 204
    told = await backend.order(id)
    assert (told["status"], told["result"]) == ("completed", {"output": "first"})
    assert await hand.claim() == {}


async def test_an_execution_is_recorded(backend: Queue) -> None:
    """It says whose it was, how it ended, and when it began and ended."""
    id = await backend.enqueue()
    hand = await Hand.register(backend)
    order = await hand.claim()
    (running,) = (await backend.order(id))["executions"]
    assert (running["worker"], running["status"]) == ("w1", "running")
    assert "finished_at" not in running
    await hand.finish(order, "fail", error="no")
    (ended,) = (await backend.order(id))["executions"]
    assert ended["status"] == "failed"
    assert float(ended["started_at"]) < float(ended["finished_at"])


async def test_an_order_that_ends_its_workers_is_given_up(backend: Queue) -> None:
    """After five lost claims it has failed; tried again by the controller it has as many more."""
    id = await backend.enqueue()
    hand = await Hand.register(backend)
    for _ in range(5):
        assert await hand.claim() != {}
        await backend.end_claim(id)
    assert await hand.claim() == {}
    told = await backend.order(id)
    assert (told["status"], [e["status"] for e in told["executions"]]) == ("failed", ["lost"] * 5)
    assert "5 workers" in told["result"]["error"]
    await backend.decide(id, "retry")
    assert await hand.claim() != {}


async def test_what_a_person_decides_on_waits_for_approval(backend: Queue) -> None:
    """The worker's report does not complete it; approval does, once."""
    id = await backend.enqueue(permission_level="human-required")
    hand = await Hand.register(backend)
    order = await hand.claim()
    await hand.finish(order, pull_request="https://github.com/a/b/pull/1")
    told = await backend.order(id)
    assert (told["status"], told["executions"][0]["status"]) == ("awaiting_approval", "completed")
    await backend.decide(id, "approve")
    assert (await backend.order(id))["status"] == "completed"
    for decision in ("approve", "retry"):
        assert (await backend.controller.post(f"/queue/{id}/{decision}")).status_code == 409


@pytest.mark.parametrize(
    ("allowed", "counts"),
    [("autonomous", "supervised"), ("supervised", "supervised"), ("human-required", "human-required")],
)
async def test_a_key_limits_what_an_order_allows(backend: Queue, allowed: str, counts: str) -> None:
    """A worker with a key for supervised work is given no order that it may do alone."""
    await backend.enqueue(permission_level=allowed)
    hand = await Hand.register(backend, key=CAUTIOUS)
    order = await hand.claim()
    assert order["permission_level"] == counts


async def test_a_key_opens_what_it_is_for(backend: Queue) -> None:
    """A worker neither gives nor approves orders, claims for its own type, and has to be registered."""
    hand, stranger = await Hand.register(backend), await backend.client(KEYS["docs"])
    order = {"worker_id": "w1", "queue_names": ALL}
    registration = {"id": "x", "name": "x", "worker_type": "review", "version": "1", "config": {}}
    refused = [
        await hand.http.get("/workers"),
        await hand.http.post("/queue", json={}),
        await hand.http.post("/queue/x/approve"),
        await hand.http.post("/workers", json=registration),
        await backend.controller.post("/queue/claim", json=order),
        await stranger.post("/queue/claim", json=order),
        await stranger.delete("/workers/w1"),
        await hand.http.post("/queue/claim", headers={"Authorization": "Bearer x"}, json=order),
        await hand.http.post("/queue/claim", headers={"Authorization": ""}, json=order),
    ]
    assert [answer.status_code for answer in refused] == [403, 403, 403, 403, 403, 404, 404, 401, 401]
    assert all(answer.json()["error"] for answer in refused)


async def test_what_makes_no_sense_is_refused_in_words(backend: Queue) -> None:
    """A wrong body, an unknown order, execution or ending."""
    hand = await Hand.register(backend)
    await backend.enqueue()
    order = await hand.claim()
    wrong = {"status": "busy", "worker_type": "review"}
    bad_id = {"id": "../x", "task_id": "t", "task_type": "test", "repository_url": "", "description": ""}
    answers = [
        await backend.controller.post("/queue", json={"task_type": "cleaning"}),
        await backend.controller.post("/queue", json=bad_id),
        await hand.http.post("/workers/w1/heartbeat", json=wrong),
        await hand.http.post(f"/executions/{order['execution_id']}/complete", content=b"no json"),
        await hand.http.post(f"/executions/{order['execution_id']}/forget", json={}),
        await hand.http.post("/executions/none/complete", json={}),
        await backend.controller.get("/queue/none"),
        await backend.controller.post("/queue/none/forget"),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 404, 404, 404, 404]
    assert all(answer.json()["error"] for answer in answers)


async def test_the_workers_are_listed_with_what_they_told(backend: Queue) -> None:
    """Who is not heard of is offline, who has gone is not there."""
    hand, gone = await Hand.register(backend, "w1"), await Hand.register(backend, "w2")
    assert {worker["status"] for worker in await backend.workers()} == {"initializing"}
    await gone.http.delete("/workers/w2")
    await hand.beat()
    (worker,) = await backend.workers()
    assert (worker["id"], worker["worker_type"], worker["status"]) == ("w1", "feature", "busy")
    assert worker["metrics"] == {"cpu_percent": 1.5}
    await backend.redis.hset("worker:w1", "last_seen", 1)
    (worker,) = await backend.workers()
    assert worker["status"] == "offline"
    assert (await gone.beat()).status_code == 404


async def test_the_environment_configures_the_backend(
    backend: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two keys of one type count at once, as it has to be while they are changed."""
    keys = tmp_path / "keys.json"
    keys.write_text('[{"key": "old", "worker_type": "docs"}, {"key": "new", "worker_type": "docs"}]')
    monkeypatch.setenv("API_KEYS_FILE", str(keys))
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path}/redis.sock")
    async with serving(from_env()) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for key in ("old", "new"):
            body: dict[str, Any] = {
                "id": key,
                "name": key,
                "worker_type": "docs",
                "version": "1",
                "config": {},
            }
            headers = {"Authorization": f"Bearer {key}"}
            assert (await client.post("/api/v1/workers", json=body, headers=headers)).status_code == 201
    assert {worker["id"] for worker in await backend.workers()} == {"old", "new"}
