"""An orchestrator's API for programs; what it answers is told in the README, and by its /openapi.json."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Self
from urllib.parse import quote

import httpx
import httpx_sse

from github_worker_client import Backoff, Secret

_BACKOFF = Backoff(first=0.3, longest=10)
_TIMEOUT = httpx.Timeout(10, read=60)  # a stream of events says something each 15 s
Item = dict[str, Any]


class OrchestratorError(Exception):
    """The orchestrator refuses; `code` and the message are its own, `status` is HTTP's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class OrchestratorClient:
    """The API at `url`; through the aggregator that is `http://…:8421/projects/NAME`.

    Methods raise OrchestratorError, and httpx.TransportError if nobody answers.
    """

    def __init__(self, url: str, key: Secret | None = None, backoff: Backoff = _BACKOFF) -> None:
        headers = {"Authorization": f"Bearer {key.reveal()}"} if key else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT)
        self._backoff = backoff

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def health(self) -> Item:
        """Return how the orchestrator is."""
        return await self._ask("GET", "health")

    async def tasks(self, **wanted: str | int) -> list[Item]:
        """Return the tasks, or those of a `phase` or a `status`."""
        return _list(await self._ask("GET", f"tasks?{httpx.QueryParams(wanted)}"), "tasks")

    async def task(self, key: str) -> Item:
        """Return a task with its description and what was tried."""
        return await self._ask("GET", f"tasks/{quote(key, safe='')}")

    async def retry(self, key: str) -> Item:
        """Let a blocked task be tried again, and return it."""
        return await self._ask("POST", f"tasks/{quote(key, safe='')}/retry")

    async def workers(self) -> list[Item]:
        """Return the workers."""
        return _list(await self._ask("GET", "workers"), "workers")

    async def circuits(self) -> list[Item]:
        """Return the circuit breakers."""
        return _list(await self._ask("GET", "circuits"), "circuits")

    async def reset(self, circuit: str) -> Item:
        """Close a circuit, and return it."""
        return await self._ask("POST", f"circuits/{quote(circuit, safe='')}/reset")

    async def runs(self) -> list[Item]:
        """Return the runs, the newest first."""
        return _list(await self._ask("GET", "runs"), "runs")

    async def metrics(self) -> str:
        """Return the metrics as Prometheus reads them."""
        return (await _checked(await self._http.get("metrics"))).text

    async def events(self) -> AsyncGenerator[tuple[str, Item]]:
        """Yield what happens, over as many connections as it takes; each begins with a `snapshot`."""
        failures = 0
        while True:
            try:
                async with httpx_sse.aconnect_sse(self._http, "GET", "events") as stream:
                    await _checked(stream.response)
                    async for event in stream.aiter_sse():
                        failures = 0
                        yield event.event, event.json()
            except (httpx.TransportError, OrchestratorError) as error:
                if isinstance(error, OrchestratorError) and error.status < 500:
                    raise
            failures += 1
            await asyncio.sleep(self._backoff.pause(failures))

    async def wait(self, run_id: str) -> Item:
        """Return a run once it is over, however long that takes."""
        async with aclosing(self.events()) as events:
            async for event, told in events:
                runs = told["runs"] if event == "snapshot" else [told] if event == "run_completed" else []
                for run in runs:
                    if run["id"] == run_id and run["status"] != "running":
                        return dict(run)
        raise AssertionError  # the events do not end

    async def _ask(self, method: str, path: str) -> Item:
        answer: Item = (await _checked(await self._http.request(method, path))).json()
        return answer


def _list(answer: Item, name: str) -> list[Item]:
    return list(answer[name])


async def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        error = json.loads(await answer.aread())["error"]
        raise OrchestratorError(answer.status_code, error["code"], error["message"])
    except (ValueError, LookupError, TypeError) as error:
        status = answer.status_code
        raise OrchestratorError(status, "unexpected_answer", f"The orchestrator answers {status}.") from error
