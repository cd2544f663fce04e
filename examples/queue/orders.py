"""The orders in Redis: each in one queue or claimed by one worker, and never in two hands.

All that decides is a script, and Redis runs one script at a time. Its clock is the only one that counts. The
scripts name keys that they are not given, so it is one Redis, not a cluster.

    order:ID         the order as it came, its queue, status, execution, attempts and result
    queue:NAME:TYPE  a list of the ids that wait
    claims           a sorted set of the ids that are claimed, by the time at which the claim ends
    executions:ID    a list of an order's executions
    execution:ID     its order, worker, status (running, completed, failed, lost), started_at, finished_at
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from redis.asyncio import Redis

from examples.queue.messages import WorkOrder

Ending = Literal["complete", "fail"]
Decision = Literal["approve", "retry"]

_NOW = "local t = redis.call('TIME') local now = t[1] + t[2] / 1000000 "
_ENQUEUE = """
if redis.call('HSETNX', 'order:' .. ARGV[1], 'order', ARGV[2]) == 0 then return 0 end
redis.call('HSET', 'order:' .. ARGV[1], 'queue', ARGV[3], 'status', 'pending', 'attempts', 0)
redis.call('RPUSH', ARGV[3], ARGV[1])
return 1
"""
_GIVE_BACK = f"""{_NOW}
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', 'claims', now, '-inf')) do
  local order = 'order:' .. id
  local attempts, queue, execution = unpack(redis.call('HMGET', order, 'attempts', 'queue', 'execution'))
  redis.call('ZREM', 'claims', id)
  redis.call('HSET', 'execution:' .. execution, 'status', 'lost', 'finished_at', now)
  if tonumber(attempts) < tonumber(ARGV[1]) then
    redis.call('HSET', order, 'status', 'pending', 'execution', '')
    redis.call('LPUSH', queue, id)
  else
    redis.call('HSET', order, 'status', 'failed', 'execution', '', 'result', ARGV[2])
  end
end
"""
_CLAIM = f"""{_NOW}
for _, queue in ipairs(KEYS) do
  local id = redis.call('LPOP', queue)
  if id then
    redis.call('ZADD', 'claims', now + ARGV[1], id)
    redis.call('HSET', 'order:' .. id, 'status', 'claimed', 'execution', ARGV[2])
    redis.call('HINCRBY', 'order:' .. id, 'attempts', 1)
    redis.call('RPUSH', 'executions:' .. id, ARGV[2])
    local execution = 'execution:' .. ARGV[2]
    redis.call('HSET', execution, 'order', id, 'worker', ARGV[3], 'status', 'running', 'started_at', now)
    return id
  end
end
return false
"""
_HAS = """
local id = redis.call('HGET', 'execution:' .. ARGV[1], 'order')
if not id or redis.call('HGET', 'order:' .. id, 'execution') ~= ARGV[1] then return 0 end
if redis.call('HGET', 'order:' .. id, 'status') ~= 'claimed' then return 1 end
"""
_RENEW = f"""{_HAS} {_NOW}
redis.call('ZADD', 'claims', now + ARGV[2], id)
return 1
"""
_FINISH = f"""{_HAS} {_NOW}
redis.call('ZREM', 'claims', id)
redis.call('HSET', 'order:' .. id, 'status', ARGV[2], 'result', ARGV[4])
redis.call('HSET', 'execution:' .. ARGV[1], 'status', ARGV[3], 'finished_at', now)
return 1
"""
_DECIDE = """
local order = 'order:' .. ARGV[1]
if redis.call('HGET', order, 'status') ~= ARGV[2] then return 0 end
redis.call('HSET', order, 'status', ARGV[3])
if ARGV[3] == 'pending' then
  redis.call('HSET', order, 'attempts', 0, 'execution', '')
  redis.call('RPUSH', redis.call('HGET', order, 'queue'), ARGV[1])
end
return 1
"""


@dataclass(frozen=True)
class Orders:
    """Keeps orders; a claim lasts `lease` seconds unless it is renewed, an order that many lost claims."""

    redis: Redis  # which decodes its responses
    lease: float = 90.0
    attempts: int = 5

    async def enqueue(self, order: WorkOrder) -> bool:
        """Put an order at the end of its queue, unless one of its id was put there before; tell which."""
        queue = f"queue:{order.queue_name}:{order.task_type}"
        return bool(await self.redis.eval(_ENQUEUE, 0, order.id, msgspec.json.encode(order), queue))

    async def claim(
        self, worker_id: str, task_type: str, queue_names: list[str]
    ) -> tuple[WorkOrder, str] | None:
        """Return the next order of a type and its new execution; the first queue that has one gives it."""
        await self._give_back()
        execution, queues = uuid.uuid4().hex, [f"queue:{name}:{task_type}" for name in queue_names]
        id = await self.redis.eval(_CLAIM, len(queues), *queues, self.lease, execution, worker_id)
        return None if id is None else (await self._order(id), execution)

    async def renew(self, execution: str) -> bool:
        """Keep an execution's order for another lease; tell whether it is its order still."""
        return bool(await self.redis.eval(_RENEW, 0, execution, self.lease))

    async def order_of(self, execution: str) -> WorkOrder | None:
        """Return an execution's order, None if there is no such execution."""
        id = await self.redis.hget(f"execution:{execution}", "order")
        return None if id is None else await self._order(id)

    async def finish(self, execution: str, ending: Ending, result: Any, *, approval: bool) -> bool:
        """End an execution, and its order unless it needs `approval`; tell whether it is its order still."""
        ended = "completed" if ending == "complete" else "failed"
        status = "awaiting_approval" if approval and ending == "complete" else ended
        ended_by = (execution, status, ended, msgspec.json.encode(result))
        return bool(await self.redis.eval(_FINISH, 0, *ended_by))

    async def decide(self, id: str, decision: Decision) -> bool:
        """Complete what awaits approval, or put what has failed into its queue; tell whether it is such."""
        change = ("awaiting_approval", "completed") if decision == "approve" else ("failed", "pending")
        return bool(await self.redis.eval(_DECIDE, 0, id, *change))

    async def read(self, id: str) -> dict[str, Any] | None:
        """Return an order, its status, what came of it and its executions; None if there is no such order."""
        await self._give_back()
        fields: dict[Any, Any] = await self.redis.hgetall(f"order:{id}")
        if not fields:
            return None
        ids: list[Any] = await self.redis.lrange(f"executions:{id}", 0, -1)
        executions: list[Any] = [await self.redis.hgetall(f"execution:{execution}") for execution in ids]
        result = msgspec.json.decode(fields.get("result", "null"))
        told = {"status": fields["status"], "result": result, "executions": executions}
        return {**msgspec.json.decode(fields["order"]), **told}

    async def _order(self, id: Any) -> WorkOrder:
        return msgspec.json.decode(str(await self.redis.hget(f"order:{id}", "order")), type=WorkOrder)

    async def _give_back(self) -> None:
        given_up = {"error": f"given up: {self.attempts} workers in a row did not come to its end"}
        await self.redis.eval(_GIVE_BACK, 0, self.attempts, msgspec.json.encode(given_up))
