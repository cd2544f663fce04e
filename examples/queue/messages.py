"""What is said between the controller, the backend and the workers."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from examples.coding.task import Permission

TaskType = Literal["feature", "bugfix", "test", "docs", "refactor", "review"]
WorkerStatus = Literal["initializing", "idle", "busy", "offline"]
REQUESTS = "worker_requests"  # the list in Redis that the controller reads what workers ask from

# An order's id names its session too, and the requests to GitHub Worker: the same order is never done twice.
_OrderId = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class WorkOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done in a repository, from `branch_name` on; `context` is told to the agent too."""

    id: _OrderId = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    task_id: str
    task_type: TaskType
    repository_url: str
    description: str
    branch_name: str | None = None
    permission_level: Permission = Permission.SUPERVISED
    context: str = ""
    queue_name: str = "default"


class ClaimedOrder(WorkOrder, frozen=True, kw_only=True):
    """An order that is a worker's for `lease` seconds from each heartbeat that names its execution."""

    execution_id: str
    lease: float


class Registration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A worker that comes."""

    id: str
    name: str
    worker_type: TaskType
    version: str
    config: dict[str, Any]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker tells of itself again and again, and the executions whose orders it keeps by that."""

    status: WorkerStatus
    current_tasks: int
    metrics: dict[str, float]
    executions: list[str]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A worker that asks for an order; the first of the queues that has one gives it."""

    worker_id: str
    queue_names: list[str]


class WorkerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's question to the controller, the design's WorkerRequestMessage: JSON on `worker_requests`."""

    id: str
    worker_id: str
    work_order_id: str
    task_id: str
    request_type: Literal["clarification"] = "clarification"
    message: str
    context: dict[str, Any]
    created_at: datetime
    expires_at: datetime
    conversation_id: str


class ControllerResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The controller's answer: JSON on the list `response:ID`, by the request's id."""

    request_id: str
    message: str
