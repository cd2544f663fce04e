"""What the environment of a worker says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import msgspec

from examples.queue.messages import TaskType


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What a worker is and how it behaves; each field is a variable in capitals, `name` WORKER_NAME."""

    name: str
    worker_type: TaskType

    redis_url: str = field(repr=False)
    api_url: str
    api_key: str = field(repr=False)
    github_token: str = field(repr=False)  # pushes and opens pull requests; the agent never sees it

    max_concurrent_tasks: int = 1
    poll_interval: float = 10.0  # seconds, as all of these
    heartbeat_interval: float = 30.0
    task_timeout: float = 3600.0
    clarification_timeout: float = 1800.0

    queue_names: list[str] = field(default_factory=lambda: ["high_priority", "default", "low_priority"])
    specializations: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)

    workspace_dir: str | None = None  # where sessions are checked out; by default the system's

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> WorkerConfig:
        """Return what `env` configures; lists have commas. Raises msgspec.ValidationError."""
        given: dict[str, Any] = {}
        for known in fields(cls):
            name = "WORKER_NAME" if known.name == "name" else known.name.upper()
            if value := env.get(name):
                given[known.name] = value.split(",") if str(known.type).startswith("list") else value
        return msgspec.convert(given, cls, strict=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what the backend may know."""
        return {name: value for name, value in asdict(self).items() if name not in _SECRETS}


_SECRETS = {known.name for known in fields(WorkerConfig) if not known.repr}
