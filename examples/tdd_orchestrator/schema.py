"""The tables of the store, the longer questions to them, and their rows as they are shown."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]

SCHEMA = """
PRAGMA journal_mode = wal;
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, document TEXT NOT NULL, context TEXT NOT NULL, repo_url TEXT NOT NULL, base TEXT,
    propose INTEGER NOT NULL, branch TEXT, status TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT,
    number INTEGER, url TEXT, error TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS one_run ON runs (status) WHERE status = 'running';
CREATE TABLE IF NOT EXISTS tasks (
    key TEXT PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, position INTEGER NOT NULL,
    title TEXT NOT NULL, description TEXT NOT NULL, phase INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending', stage TEXT, worker TEXT, attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT, commit_hash TEXT, updated_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS attempts (
    task TEXT NOT NULL REFERENCES tasks, stage TEXT NOT NULL, attempt INTEGER NOT NULL, ok INTEGER NOT NULL,
    exit_status INTEGER, output TEXT NOT NULL, seconds REAL NOT NULL, at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS patches (  -- what a stage changed; `landing` once it is on its way to the branch
    task TEXT NOT NULL REFERENCES tasks, stage TEXT NOT NULL, files BLOB NOT NULL,
    landing INTEGER NOT NULL DEFAULT 0, undo BLOB, commit_hash TEXT, PRIMARY KEY (task, stage)
);
CREATE TABLE IF NOT EXISTS workers (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, task TEXT, stage TEXT, heartbeat_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS circuits (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, failures INTEGER NOT NULL, retry_at TEXT
);
"""
OPEN = "status NOT IN ('complete', 'blocked')"
CLAIM = f"""
UPDATE tasks SET worker = :worker, updated_at = :now,
    status = iif(status = 'pending', 'in_progress', status)
WHERE key = (
    SELECT key FROM tasks WHERE run_id = :run AND {OPEN} AND worker IS NULL
        AND phase = (SELECT min(phase) FROM tasks WHERE run_id = :run AND {OPEN})
    ORDER BY position LIMIT 1)
RETURNING *
"""  # noqa: S608
HISTORY = """
SELECT a.*, iif(ok, p.commit_hash, NULL) AS commit_hash FROM attempts a
LEFT JOIN patches p USING (task, stage) WHERE task = ? ORDER BY a.rowid
"""
TASKS = """
SELECT tasks.* FROM tasks JOIN runs ON runs.id = run_id
WHERE phase = ifnull(?, phase) AND tasks.status = ifnull(?, tasks.status)
ORDER BY started_at DESC, phase, position
"""
RUNS = """
SELECT runs.*, count(key) AS total, total(tasks.status = 'complete') AS complete,
    total(tasks.status = 'blocked') AS blocked
FROM runs LEFT JOIN tasks ON run_id = id GROUP BY id ORDER BY started_at DESC
"""
STATISTICS = "SELECT stage, ok, count(*) AS count, sum(seconds) AS seconds FROM attempts GROUP BY stage, ok"
LEFT = f"SELECT 1 FROM tasks WHERE run_id = ? AND {OPEN}"  # noqa: S608


def now(seconds: float = 0.0) -> str:
    """Return the time so many seconds from now."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown_task(row: sqlite3.Row) -> Row:
    """Return a task as it is listed."""
    return camel(row, "position", "description")


def shown_run(row: sqlite3.Row) -> Row:
    """Return a run as it is listed."""
    counts = {name: int(row[name]) for name in ("total", "complete", "blocked")}
    link = {"number": row["number"], "url": row["url"]} if row["url"] else None
    fields = camel(row, "context", "base", "propose", "number", "url", *counts)
    return fields | {"tasks": counts, "pullRequest": link}


def camel(row: sqlite3.Row, *without: str) -> Row:
    """Return a row under the names that it is shown by."""
    return {_head(name): row[name] for name in row.keys() if name not in without}  # noqa: SIM118 (a row has values)


def _head(column: str) -> str:
    first, *rest = column.removesuffix("_hash").split("_")
    return first + "".join(map(str.title, rest))
