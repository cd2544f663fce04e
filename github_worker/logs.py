"""Writes log lines, as JSON or for people, every one of them scrubbed of secrets."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

import msgspec

from github_worker.contract import rfc3339
from github_worker.redaction import escape_controls, scrub, scrub_all

_job: Mapping[str, Any] = {}  # of this process, which has one at most


def configure(level: str, format: Literal["json", "console"]) -> None:
    """Log to stdout, libraries from `warning` on, because their details may be headers and bodies."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if format == "json" else ConsoleFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("github_worker").setLevel(level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


@contextmanager
def lines_of_job(identity: Mapping[str, Any]) -> Iterator[None]:
    """Let every line, whichever thread writes it, say what `identity` says by then."""
    global _job  # noqa: PLW0603 (a context variable would not reach the threads of libraries)
    _job = identity
    try:
        yield
    finally:
        _job = {}


class JsonFormatter(logging.Formatter):
    """Writes a JSON object a line: timestamp, level, logger, message, job, and the record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line."""
        line: dict[str, Any] = {
            "timestamp": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": scrub(record.getMessage()),
            **_collect_fields(record),
        }
        if record.exc_info:
            line["exception"] = scrub(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


class ConsoleFormatter(logging.Formatter):
    """Writes a line for people: time, level, message, and the fields as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Write a record, with its traceback on lines of their own."""
        head, *rest = super().format(record).split("\n")
        fields = "".join(f" {name}={value}" for name, value in _collect_fields(record).items())
        return "\n".join(escape_controls(scrub(line)) for line in [head + fields, *rest])


def _collect_fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {**_job, **getattr(record, "fields", {})}
    return {name: scrub_all(value) for name, value in fields.items() if value is not None}


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    logging.getLogger("github_worker").critical(
        "uncaught exception", exc_info=(kind, error or kind(), traceback)
    )
