"""What happens to a service's containers, as the engine tells it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
from msgspec import Struct

from swarm.engine import Engine


class Event(Struct, frozen=True):
    """A moment in a container's life; `at` is the time of day in seconds, `slot` its place of the five."""

    at: float
    action: str
    container: str
    slot: int


class Events:
    """Listens for as long as the engine runs; `seen` grows, `on_event` is called in a thread of its own."""

    def __init__(self, engine: Engine, service: str, on_event: Callable[[Event], None]) -> None:
        self.seen: list[Event] = []
        self._service = service
        self._on_event = on_event
        filters = {"type": ["container"], "label": [f"com.docker.swarm.service.name={service}"]}
        request = engine.api.build_request(
            "GET", "/events", params={"filters": json.dumps(filters)}, timeout=None
        )
        self._response = engine.api.send(request, stream=True)
        self._thread = threading.Thread(target=self._listen, name="events")
        self._thread.start()

    def _listen(self) -> None:
        with suppress(httpx.RemoteProtocolError):  # `close` cuts the stream
            for line in self._response.iter_lines():
                event = _read(json.loads(line))
                self.seen.append(event)
                self._on_event(event)

    def close(self) -> None:
        """Stop listening; the service has to be gone, so that nothing happens any more."""
        self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RD)
        self._thread.join()
        self._response.close()

    def gaps(self) -> list[Gap]:
        """Return how long each slot was gone, from one container's end to the next one's health."""
        last: dict[int, Event] = {}
        started: dict[int, float] = {}
        gaps = []
        for event in self.seen:
            if event.action == "die":
                last[event.slot] = event
            elif event.action == "start":
                started[event.slot] = event.at
            elif event.action == "health_status: healthy" and (before := last.pop(event.slot, None)):
                gaps.append(Gap(before.container, before.at, started[event.slot], event.at))
        return gaps


class Gap(Struct, frozen=True):
    """The time between two containers of a slot; times of day in seconds."""

    before: str
    died: float
    started: float
    healthy: float


def _read(event: dict[str, Any]) -> Event:
    attributes = event["Actor"]["Attributes"]
    slot = int(attributes["com.docker.swarm.task.name"].split(".")[1])
    container = event["Actor"]["ID"][:12]
    return Event(event["timeNano"] / 1e9, event["Action"], container, slot)
