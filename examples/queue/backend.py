"""The backend of the queue: `/api/v1/workers`, `/api/v1/queue` and `/api/v1/executions`, for who has a key.

A worker's key is for one type, and says the most that its workers may do alone: they are given no order of
another type, and what a person has to decide on is not completed by them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.coding.task import Permission
from examples.queue.messages import Claim, ClaimedOrder, Heartbeat, Registration, TaskType, WorkOrder
from examples.queue.orders import Orders

FORGOTTEN = 86_400  # seconds after which a worker that is not heard of is not listed any more


# In one script, so that a heartbeat that comes late does not bring a worker back that has gone.
_HEARTBEAT = """
local worker, now = KEYS[1], redis.call('TIME')[1]
if redis.call('HGET', worker, 'type') ~= ARGV[1] then return 0 end
redis.call('HSET', worker, 'status', ARGV[2], 'current_tasks', ARGV[3], 'metrics', ARGV[4], 'last_seen', now)
redis.call('EXPIRE', worker, ARGV[5])
return 1
"""


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key: the controller's, or that of the workers of a type.

    `permission_level` is the most that such a worker may do alone, whatever an order allows.
    """

    key: str
    worker_type: TaskType | None = None  # the controller's has none
    permission_level: Permission = Permission.SUPERVISED

    def stricter(self, permission: Permission) -> Permission:
        """Return the level that counts where an order allows `permission`."""
        return max(permission, self.permission_level, key=list(Permission).index)


Handler = Callable[[Request, Key], Awaitable[Response]]


class Refusal(Exception):
    """What is asked for cannot be had: an HTTP status and the reason."""


UNKNOWN = (404, "no such worker is registered")


@dataclass(frozen=True)
class Backend:
    """Takes orders from the controller and gives them to the workers, who each have one of `keys`."""

    orders: Orders
    keys: Sequence[Key]

    def application(self) -> Starlette:
        """Return the API, under `/api/v1`."""
        of_workers: list[tuple[str, str, Handler]] = [
            ("POST", "/workers", self.register),
            ("POST", "/workers/{id}/heartbeat", self.heartbeat),
            ("DELETE", "/workers/{id}", self.deregister),
            ("POST", "/queue/claim", self.claim),
            ("POST", "/executions/{id}/{ending}", self.finish),
        ]
        of_the_controller: list[tuple[str, str, Handler]] = [
            ("GET", "/workers", self.workers),
            ("POST", "/queue", self.enqueue),
            ("GET", "/queue/{id}", self.order),
            ("POST", "/queue/{id}/{decision}", self.decide),
        ]
        return Starlette(
            routes=[self._route(*route, controller=False) for route in of_workers]
            + [self._route(*route, controller=True) for route in of_the_controller],
            exception_handlers={msgspec.DecodeError: _invalid, Refusal: _refused},
            lifespan=self._lifespan,
        )

    async def register(self, request: Request, key: Key) -> Response:
        """Take a worker in that is of the key's type."""
        worker = msgspec.json.decode(await request.body(), type=Registration)
        if worker.worker_type != key.worker_type:
            raise Refusal(403, f"the API key is not for a worker of the type {worker.worker_type}")
        now, _ = await self._redis.time()
        fields: dict[Any, Any] = {"registration": msgspec.json.encode(worker), "type": worker.worker_type}
        fields |= {"status": "initializing", "last_seen": now}
        await self._redis.hset(f"worker:{worker.id}", mapping=fields)
        await self._redis.expire(f"worker:{worker.id}", FORGOTTEN)
        return Response(status_code=201)

    async def heartbeat(self, request: Request, key: Key) -> Response:
        """Keep what a worker tells of itself, renew its claims, and say which of them it has lost."""
        beat = msgspec.json.decode(await request.body(), type=Heartbeat)
        worker, metrics = f"worker:{request.path_params['id']}", msgspec.json.encode(beat.metrics)
        told = (str(key.worker_type), beat.status, beat.current_tasks, metrics, FORGOTTEN)
        if not await self._redis.eval(_HEARTBEAT, 1, worker, *told):
            raise Refusal(*UNKNOWN)
        return JSONResponse({"lost": [id for id in beat.executions if not await self.orders.renew(id)]})

    async def deregister(self, request: Request, key: Key) -> Response:
        """Let a worker go."""
        await self._redis.delete(f"worker:{await self._worker(request.path_params['id'], key)}")
        return Response(status_code=204)

    async def claim(self, request: Request, key: Key) -> Response:
        """Give the next order to a worker, and the execution that it finishes it by; 204 if there is none."""
        asked = msgspec.json.decode(await request.body(), type=Claim)
        worker_id = await self._worker(asked.worker_id, key)
        claimed = await self.orders.claim(worker_id, str(key.worker_type), asked.queue_names)
        if claimed is None:
            return Response(status_code=204)
        order, execution = claimed
        fields = msgspec.structs.asdict(order) | {"permission_level": key.stricter(order.permission_level)}
        answer = ClaimedOrder(**fields, execution_id=execution, lease=self.orders.lease)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def finish(self, request: Request, key: Key) -> Response:
        """End an execution by `complete` or `fail`; what a person has to decide on then awaits approval."""
        result = msgspec.json.decode(await request.body(), type=dict[str, Any])
        execution, ending = request.path_params["id"], request.path_params["ending"]
        order = await self.orders.order_of(execution)
        if order is None or ending not in {"complete", "fail"}:
            raise Refusal(404, "there is no such execution, or it is to end by neither complete nor fail")
        approval = key.stricter(order.permission_level) is Permission.HUMAN_REQUIRED
        if not await self.orders.finish(execution, ending, result, approval=approval):
            raise Refusal(409, "the order is not this execution's any more")
        return Response(status_code=204)

    async def workers(self, request: Request, key: Key) -> Response:
        """List the workers with what they told last; who was not heard of for a lease is `offline`."""
        now, _ = await self._redis.time()
        names = [name async for name in self._redis.scan_iter("worker:*")]
        found: list[dict[Any, Any]] = [await self._redis.hgetall(name) for name in names]
        return JSONResponse([self._describe(worker, now) for worker in found if worker])

    def _describe(self, worker: dict[Any, Any], now: int) -> dict[str, Any]:
        told = {**msgspec.json.decode(worker["registration"]), "status": worker["status"]}
        told["current_tasks"] = int(worker.get("current_tasks", 0))
        told["metrics"] = msgspec.json.decode(worker.get("metrics", "{}"))
        return told | ({"status": "offline"} if now - int(worker["last_seen"]) > self.orders.lease else {})

    async def enqueue(self, request: Request, key: Key) -> Response:
        """Put an order into its queue; 200 if one of its id was put there before, which stays as it is."""
        order = msgspec.json.decode(await request.body(), type=WorkOrder)
        new = await self.orders.enqueue(order)
        return JSONResponse({"id": order.id}, 201 if new else 200)

    async def order(self, request: Request, key: Key) -> Response:
        """Tell an order, its status, what came of it, and its executions."""
        if (order := await self.orders.read(request.path_params["id"])) is None:
            raise Refusal(404, "there is no such order")
        return JSONResponse(order)

    async def decide(self, request: Request, key: Key) -> Response:
        """`approve` what awaits it, or `retry` what has failed, which goes on where it ended."""
        id, decision = request.path_params["id"], request.path_params["decision"]
        if decision not in {"approve", "retry"}:
            raise Refusal(404, "the decisions are approve and retry")
        if not await self.orders.decide(id, decision):
            raise Refusal(
                409, "only what awaits approval is approved, and only what has failed is tried again"
            )
        return Response(status_code=204)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self._redis:
            yield

    def _route(self, method: str, path: str, handler: Handler, *, controller: bool) -> Route:
        async def answer(request: Request) -> Response:
            given = request.headers.get("Authorization", "").encode()
            keys = [k for k in self.keys if secrets.compare_digest(given, f"Bearer {k.key}".encode())]
            if not keys:
                raise Refusal(401, "the API key is missing or wrong")
            if controller is not (keys[0].worker_type is None):
                raise Refusal(403, "the API key is not for this")
            return await handler(request, keys[0])

        return Route(f"/api/v1{path}", answer, methods=[method])

    @property
    def _redis(self) -> Redis:
        return self.orders.redis

    async def _worker(self, id: str, key: Key) -> str:
        if await self._redis.hget(f"worker:{id}", "type") != key.worker_type:
            raise Refusal(*UNKNOWN)
        return id


def from_env() -> Starlette:
    """Return the backend that `REDIS_URL` and `API_KEYS_FILE`, a JSON list of keys, configure."""
    keys = msgspec.json.decode(Path(os.environ["API_KEYS_FILE"]).read_bytes(), type=list[Key])
    redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    return Backend(Orders(redis), keys).application()


async def _invalid(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _refused(request: Request, error: Exception) -> Response:
    status, reason = error.args
    return JSONResponse({"error": reason}, status)
