"""The callers of the first version, imitated: what they post, read of a stream, and compare."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

KNOWN = {"progress", "branch_created", "session_name", "completed", "error"}


@dataclass
class CodingWorker:
    """Calls as the coding worker does: each line of progress is shown, and types it does not know are not."""

    base_url: str
    shown: list[str] = field(default_factory=list)
    passed_over: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, endpoint: str, **fields: Any) -> dict[str, Any]:
        """Post a job and read its stream; return the last event's `data`, or raise its `error`."""
        self.shown, self.passed_over, self.events = [], [], []
        for line in self._post(endpoint, fields):
            if line.startswith("data: "):
                self._read(json.loads(line.removeprefix("data: ")))
        last = self.events[-1]
        if last["type"] == "error":
            raise CallFailed(last["code"], last["error"])
        data: dict[str, Any] = last["data"]
        return data

    def _post(self, endpoint: str, fields: dict[str, Any]) -> list[str]:
        """Post a job, again where the worker is just being started, as they do."""
        for _ in range(400):
            try:
                answer = httpx.post(f"{self.base_url}/{endpoint}", json=fields, trust_env=False, timeout=60)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if answer.status_code != 429:
                assert answer.status_code == 200, answer.text
                return answer.text.splitlines()
        raise TimeoutError("no worker took the job")

    def _read(self, event: dict[str, Any]) -> None:
        (self.events if event["type"] in KNOWN else self.passed_over).append(event)
        if event["type"] == "progress":
            self.shown.append(event["message"])


class CallFailed(Exception):
    """The stream ended with an error; `code` is compared as it is spelled."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
