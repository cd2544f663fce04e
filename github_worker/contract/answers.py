"""What is answered outside a stream: health, status, refusals."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from github_worker.contract.events import SOURCE


class Build(Struct, rename="camel", frozen=True):
    """What image this worker runs."""

    commit_sha: str
    timestamp: str
    image_tag: str


WorkerStatus = Literal["idle", "busy"]


class Health(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """The answer of `GET /health`; `warning` says what an operator should know."""

    status: Literal["ok"] = msgspec.field(default_factory=lambda: "ok")
    service: str = msgspec.field(default_factory=lambda: SOURCE)
    worker_status: WorkerStatus
    container_id: str
    version: str
    build: Build
    timestamp: str
    warning: str | None = None


class Status(Struct, rename="camel", frozen=True, kw_only=True):
    """The answer of `GET /status`."""

    status: WorkerStatus
    active_operation: str | None
    container_id: str
    timestamp: str


class RefusalBody(Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """Why no job was started; `retry_after` is in seconds."""

    error: str
    message: str
    container_id: str
    retry_after: int | None = None
