"""What surrounds a worker, for the demo and the tests: Redis, the backend, the controller, processes."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import httpx
import msgspec
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NotConnected
from starlette.types import ASGIApp

from examples.coding.task import Permission
from examples.lab import Lab
from examples.queue.backend import Backend, Key
from examples.queue.config import WorkerConfig
from examples.queue.messages import REQUESTS, ControllerResponse, TaskType, WorkerRequest
from examples.queue.orders import Orders
from examples.serving import serving

ROOT = Path(__file__).parents[2]
CONTROLLER = Key(key=f"controller-{secrets.token_hex()}")
CAUTIOUS = Key(
    key=f"cautious-{secrets.token_hex()}", worker_type="feature", permission_level=Permission.SUPERVISED
)
KEYS = {
    kind: Key(key=f"{kind}-{secrets.token_hex()}", worker_type=kind, permission_level=Permission.AUTONOMOUS)
    for kind in get_args(TaskType)
}
# Of Redis a worker needs no more than its questions: the queues are the backend's.
WORKERS_RIGHTS = f"~request:* ~response:* ~{REQUESTS} +@connection +eval +setnx +rpush +get +lindex +blmove"
PASSWORD = secrets.token_hex()
PATIENCE = 120.0  # seconds that the tests wait on a busy machine


@contextmanager
def redis_server(folder: Path) -> Iterator[Path]:
    """Yield the socket of a Redis server of our own."""
    program = shutil.which(
        "redis-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if program is None:
        raise FileNotFoundError("there is no redis-server")
    path, log = folder / "redis.sock", folder / "redis.log"
    settings = (
        f'port 0\nunixsocket {path}\ndir {folder}\nsave ""\nuser worker on >{PASSWORD} {WORKERS_RIGHTS}\n'
    )
    (folder / "redis.conf").write_text(settings)
    with log.open("ab") as output:
        process = subprocess.Popen([program, folder / "redis.conf"], stdout=output, stderr=output)
    try:
        yield path
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Queue:
    """A backend at `url`, seen by the controller and by who starts workers."""

    redis: Redis
    worker_redis_url: str
    url: str
    controller: httpx.AsyncClient
    clients: AsyncExitStack

    async def client(self, key: Key) -> httpx.AsyncClient:
        """Return a client that has a key."""
        return await self.clients.enter_async_context(_client(self.url, key))

    def redis_of_workers(self) -> Redis:
        """Return a client with a worker's rights."""
        return Redis.from_url(self.worker_redis_url, decode_responses=True)

    async def enqueue(self, **order: Any) -> str:
        """Put an order into its queue and return its id."""
        given = {"task_id": "task-1", "task_type": "feature", "repository_url": "https://github.com/a/b"}
        given["description"] = "Add a dark mode toggle"
        answer = await self.controller.post("/queue", json=given | order)
        return str(answer.raise_for_status().json()["id"])

    async def order(self, id: str) -> dict[str, Any]:
        """Return what the backend tells of an order."""
        told: dict[str, Any] = (await self.controller.get(f"/queue/{id}")).raise_for_status().json()
        return told

    async def until(self, id: str, *statuses: str) -> dict[str, Any]:
        """Wait until an order has one of the statuses, and return it."""
        async with asyncio.timeout(PATIENCE):
            while (order := await self.order(id))["status"] not in statuses:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return order

    async def decide(self, id: str, decision: str) -> None:
        """Approve an order, or have it tried again."""
        (await self.controller.post(f"/queue/{id}/{decision}")).raise_for_status()

    async def end_claim(self, id: str) -> None:
        """Let the time of an order's claim be over."""
        await self.redis.zadd("claims", {id: 1}, xx=True)

    async def take_away(self, id: str) -> None:
        """Let an order be lost to its worker, also where a heartbeat of it is still on its way."""
        number = len((await self.order(id))["executions"]) - 1
        while (await self.order(id))["executions"][number]["status"] == "running":
            await self.end_claim(id)

    async def workers(self) -> list[dict[str, Any]]:
        """Return what the backend tells of the workers."""
        told: list[dict[str, Any]] = (await self.controller.get("/workers")).raise_for_status().json()
        return told

    async def question(self) -> WorkerRequest:
        """Wait for the next thing that a worker asks, and take it from the list."""
        _, asked = await self.redis.blpop([REQUESTS], PATIENCE)  # type: ignore[misc]  # None after that time
        return msgspec.json.decode(asked, type=WorkerRequest)

    async def answer(self, request: WorkerRequest, message: str) -> None:
        """Answer it."""
        response = msgspec.json.encode(ControllerResponse(request_id=request.id, message=message))
        await self.redis.rpush(f"response:{request.id}", response)

    def config(self, **fields: Any) -> WorkerConfig:
        """Return the configuration of a worker that is quick to look and to tell."""
        kind: TaskType = fields.get("worker_type", "feature")
        given = {
            "name": f"{kind}-worker-1",
            "worker_type": kind,
            "api_url": self.url,
            "api_key": KEYS[kind].key,
        }
        given |= {"redis_url": self.worker_redis_url, "github_token": "of-no-use"}
        quick = {"poll_interval": 0.1, "heartbeat_interval": 0.2}
        return WorkerConfig(**(given | quick | fields))


@asynccontextmanager
async def queue(
    folder: Path,
    *,
    lease: float = 60.0,
    attempts: int = 5,
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> AsyncIterator[Queue]:
    """Yield a queue whose files are in `folder`; `around` may come between the backend and who asks it."""
    with redis_server(folder) as path:
        async with Redis(unix_socket_path=str(path), decode_responses=True) as redis:
            await _until_up(redis)
            backend = Backend(Orders(redis, lease, attempts), [CONTROLLER, CAUTIOUS, *KEYS.values()])
            async with serving(around(backend.application())) as url, AsyncExitStack() as clients:
                controller = await clients.enter_async_context(_client(url, CONTROLLER))
                yield Queue(redis, f"unix://worker:{PASSWORD}@{path}", url, controller, clients)


def start_worker(backend: Queue, log: Path, *program: str, **env: str) -> subprocess.Popen[bytes]:
    """Start a module as a worker, a process of its own that is configured by its environment."""
    config = backend.config()
    given = {
        "PATH": os.environ["PATH"],
        "WORKER_NAME": log.stem,
        "WORKER_TYPE": config.worker_type,
        "REDIS_URL": config.redis_url,
        "API_URL": config.api_url,
        "API_KEY": config.api_key,
        "GITHUB_TOKEN": config.github_token,
        "POLL_INTERVAL": str(config.poll_interval),
        "HEARTBEAT_INTERVAL": str(config.heartbeat_interval),
    }
    with log.open("ab") as output:
        command = [sys.executable, "-m", *program]
        return subprocess.Popen(command, env=given | env, cwd=ROOT, stdout=output, stderr=output)


def lab_env(here: Lab, script: str) -> dict[str, str]:
    """Return what a worker has to know of a lab, with an agent that is a script."""
    return {
        "GITHUB_WORKER_URL": here.worker_url,
        "GITHUB_WORKER_TOKEN": here.worker_token,
        "GITHUB_TOKEN": here.token,
        "STORAGE_URL": here.store_url,
        "WORKSPACE_DIR": str(here.folder / "workspaces"),
        "TMPDIR": str(here.folder),  # where the home of an agent stays whose worker is killed
        "AGENT_COMMAND": shlex.join(["sh", "-c", script]),
    }


def _client(url: str, key: Key) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key.key}"}
    return httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=60)


async def _until_up(redis: Redis) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            await redis.ping()
        except NotConnected:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            return
