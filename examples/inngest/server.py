"""A stand-in for Inngest's server: it takes events, and calls the worker's functions step by step.

It does what the SDK's specification asks of a server (https://github.com/inngest/inngest/blob/main/docs/SDK_SPEC.md):
requests are signed, each call runs one step, what a step returned is remembered and sent along with the next
call, what failed is tried again, and a step that failed to the last is an error in the function.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import httpx
from inngest._internal.net import sign_request  # "needed for tests that mimic Inngest server behavior"
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

Event = dict[str, Any]


class InngestServer:
    """Keeps the events that were sent, and the functions that a worker has registered."""

    def __init__(self, signing_key: str) -> None:
        self.events: list[Event] = []
        self.functions: dict[str, str] = {}  # id by the event that triggers it
        self.calls = 0
        self._key = signing_key
        self._worker = ""

    def application(self) -> Starlette:
        """Return the APIs that a worker's SDK calls."""
        routes = [
            Route("/fn/register", self._register, methods=["POST"]),
            Route("/e/{key}", self._take, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def _register(self, request: Request) -> JSONResponse:
        for function in (await request.json())["functions"]:
            self.functions |= {trigger["event"]: function["id"] for trigger in function["triggers"]}
        return JSONResponse({"ok": True, "modified": True})

    async def _take(self, request: Request) -> JSONResponse:
        sent = await request.json()
        self.events += sent if isinstance(sent, list) else [sent]
        return JSONResponse({"status": 200, "ids": [str(uuid.uuid4()) for _ in sent]})

    async def sync(self, worker: str) -> None:
        """Ask the worker at this URL which functions it has."""
        self._worker = f"{worker}/api/inngest"
        async with _client() as client:
            answer = await client.put(self._worker, headers=self._signed(b""))
            answer.raise_for_status()

    async def run(self, event: Event, *, run_id: str | None = None, max_attempts: int = 2) -> Any:
        """Run the function that an event triggers to its end, and return what it returns.

        With the `run_id` of an earlier run it is that run again, from its first step, as after a lost answer.
        """
        run = Run(run_id or uuid.uuid4().hex, {"id": uuid.uuid4().hex, "ts": _now(), **event}, max_attempts)
        while not run.ended:
            self.calls += 1
            run.take(await self.call(self.functions[event["name"]], run.body()))
        return run.result

    async def call(self, function: str, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Call a function once; without `headers` the call is signed."""
        async with _client() as client:
            return await client.post(
                self._worker,
                params={"fnId": function, "stepId": "step"},
                content=body,
                headers=self._signed(body) if headers is None else headers,
            )

    def _signed(self, body: bytes) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "X-Inngest-Server-Kind": "cloud",
            "X-Inngest-Signature": str(sign_request(body, self._key)),
        }


class Run:
    """One run of a function: which of its steps are done, and what came of them."""

    def __init__(self, run_id: str, event: Event, max_attempts: int) -> None:
        self.ended, self.result = False, None
        self._id, self._event, self._max = run_id, event, max_attempts
        self._steps: dict[str, Any] = {}
        self._attempt = 0

    def body(self) -> bytes:
        """Return what the function is called with."""
        context = {
            "attempt": self._attempt,
            "disable_immediate_execution": False,
            "max_attempts": self._max,
            "run_id": self._id,
            "stack": {"stack": list(self._steps)},
        }
        body = {"ctx": context, "event": self._event, "events": [self._event]}
        return json.dumps({**body, "steps": self._steps, "use_api": False}).encode()

    def take(self, answer: httpx.Response) -> None:
        """Remember the steps that the function tells, or its end."""
        if answer.status_code == 206:
            for step in answer.json():
                self._remember(step)
        elif answer.status_code == 200:
            self.ended, self.result = True, answer.json()
        elif self._may_try_again(answer):
            self._attempt += 1
        else:
            raise RuntimeError(f"the function failed: {answer.status_code} {answer.text}")

    def _remember(self, step: dict[str, Any]) -> None:
        if step["op"] == "StepError" and self._attempt + 1 < self._max:
            self._attempt += 1
            return
        error = step.get("error")
        self._steps[step["id"]] = {"error": error} if error else {"data": step.get("data")}
        self._attempt = 0

    def _may_try_again(self, answer: httpx.Response) -> bool:
        retriable = answer.headers.get("x-inngest-no-retry") != "true"
        return answer.status_code >= 500 and retriable and self._attempt + 1 < self._max


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(10, read=None))


def _now() -> int:
    return round(time.time() * 1000)
