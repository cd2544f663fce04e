"""What an orchestrator knows, in a SQLite file: runs, tasks, attempts, patches, workers, circuits.

Any number of processes may have it open: one works, others show. What is shown is read from here alone, so
who is killed leaves nothing untold.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from examples.tdd_orchestrator import schema
from examples.tdd_orchestrator.schema import Row, camel, now, shown_run, shown_task

SILENCE = 15.0  # seconds without a heartbeat after which a worker counts as stopped


__all__ = ["Refused", "Row", "Store", "now"]


class Refused(Exception):
    """What was asked for cannot be, as things stand; the message says why."""


class Store:
    """Keeps what is known, over one connection to the file; each method is one transaction."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db, self._lock = db, asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Store]:
        """Open the file, which is made if there is none."""
        async with aiosqlite.connect(path, isolation_level=None, timeout=30) as db:
            db.row_factory = sqlite3.Row
            await db.executescript(schema.SCHEMA)
            yield cls(db)

    async def version(self) -> int:
        """Return a number that is another one once another connection has changed something."""
        return int((await self._rows("PRAGMA data_version"))[0]["data_version"])

    async def snapshot(self) -> dict[str, list[Row]]:
        """Return all that is shown, as it is at one moment."""
        async with self._transaction("BEGIN"):
            return {
                "tasks": await self.tasks(),
                "workers": await self.workers(),
                "circuits": await self.circuits(),
                "runs": await self.runs(),
            }

    async def tasks(self, phase: int | None = None, status: str | None = None) -> list[Row]:
        """Return the tasks, those of the newest run first."""
        return [shown_task(row) for row in await self._rows(schema.TASKS, phase, status)]

    async def task(self, key: str) -> Row:
        """Return a task with its history; raise KeyError."""
        row = await self._one("SELECT * FROM tasks WHERE key = ?", key)
        attempts = await self._rows(schema.HISTORY, key)
        history = [camel(told, "task") | {"ok": bool(told["ok"])} for told in attempts]
        return shown_task(row) | {"description": row["description"], "history": history}

    async def workers(self) -> list[Row]:
        """Return the workers; one that was not heard of for a while has stopped."""
        rows = await self._rows("SELECT * FROM workers ORDER BY length(id), id")
        silent = now(-SILENCE)
        gone = {"status": "stopped", "task": None, "stage": None}
        return [camel(row) | (gone if row["heartbeat_at"] < silent else {}) for row in rows]

    async def circuits(self) -> list[Row]:
        """Return the circuits."""
        rows = await self._rows("SELECT * FROM circuits ORDER BY id")
        return [camel(row) | {"level": row["id"].partition(":")[0]} for row in rows]

    async def runs(self) -> list[Row]:
        """Return the runs, the newest first."""
        return [shown_run(row) for row in await self._rows(schema.RUNS)]

    async def run(self, id_: str) -> Row:
        """Return a run as its work needs it; raise KeyError."""
        return dict(await self._one("SELECT * FROM runs WHERE id = ?", id_))

    async def statistics(self) -> list[Row]:
        """Return the number and the seconds of attempts, by stage and outcome."""
        return [dict(row) for row in await self._rows(schema.STATISTICS)]

    async def begin(self, run: Mapping[str, Any], tasks: Iterable[Mapping[str, Any]]) -> None:
        """Begin a run, or go on with the one of this id; raise Refused while there is another one.

        One that was over does what was blocked again, and what is complete not.
        """
        async with self._transaction():
            for other in await self._rows("SELECT * FROM runs WHERE status = 'running'"):
                if other["id"] == run["id"]:
                    return
                raise Refused(f"the project is at work on another document, “{other['document']}”")
            await self._insert("runs", {**run, "status": "running", "started_at": now()})
            await self._set("runs", "id = :id", {"propose": run["propose"]}, id=run["id"])
            for position, task in enumerate(tasks):
                added = {"run_id": run["id"], "position": position, "updated_at": now()}
                await self._insert("tasks", {**task, **added})
            mine = "SELECT key FROM tasks WHERE status = 'blocked' AND run_id = ?"
            for blocked in await self._rows(mine, run["id"]):
                await self._reset(blocked["key"])
            await self._reopen(run["id"])

    async def retry(self, key: str) -> Row:
        """Let a blocked task be done again, and its run go on; raise KeyError, Refused."""
        async with self._transaction():
            task = await self._one("SELECT * FROM tasks WHERE key = ?", key)
            if task["status"] != "blocked":
                raise Refused(f"the task is {task['status'].replace('_', ' ')}, not blocked")
            if await self._rows("SELECT 1 FROM runs WHERE status = 'running' AND id != ?", task["run_id"]):
                raise Refused("another run is at work: try the task again when that is over")
            await self._reset(key)
            await self._reopen(task["run_id"])
            return shown_task(await self._one("SELECT * FROM tasks WHERE key = ?", key))

    async def claim(self, run_id: str, worker: str) -> Row | None:
        """Give a worker the next task of the earliest phase that is not over; None if there is none."""
        async with self._transaction():
            rows = await self._rows(schema.CLAIM, {"run": run_id, "worker": worker, "now": now()})
            return dict(rows[0]) if rows else None

    async def set_task(self, key: str, **fields: Any) -> None:
        """Change a task."""
        await self._update("tasks", "key", key, {**fields, "updated_at": now()})

    async def set_run(self, id_: str, **fields: Any) -> None:
        """Change a run."""
        await self._update("runs", "id", id_, fields)

    async def release(self, run_id: str) -> None:
        """Take the tasks from the workers of a process that is no more."""
        await self._update("tasks", "run_id", run_id, {"worker": None})

    async def end(self, run_id: str, error: str | None) -> bool:
        """End a run, unless a task of it is to be done again meanwhile; return whether it has ended."""
        status = "failed" if error else "completed"
        async with self._transaction():
            if not error and await self._rows(schema.LEFT, run_id):
                return False
            fields = {"status": status, "error": error, "ended_at": now()}
            await self._set("runs", "id = :id", fields, id=run_id)
            await self._set("tasks", "run_id = :id", {"worker": None}, id=run_id)
            return True

    async def attempted(self, task: str, stage: str, **attempt: Any) -> None:
        """Note an attempt at a stage."""
        async with self._transaction():
            await self._insert("attempts", {"task": task, "stage": stage, **attempt, "at": now()})

    async def patches(self, task: str) -> dict[str, Row]:
        """Return what the stages of a task changed, by their names."""
        rows = await self._rows("SELECT * FROM patches WHERE task = ? ORDER BY rowid", task)
        return {row["stage"]: dict(row) for row in rows}

    async def set_patch(self, task: str, stage: str, **fields: Any) -> None:
        """Keep what a stage changed, its `files`, or change what is known of it."""
        key = {"task": task, "stage": stage}
        async with self._transaction():
            await self._insert("patches", {**key, **fields})
            await self._set("patches", "task = :task AND stage = :stage", fields, **key)

    async def drop_patches(self, task: str, stages: Sequence[str]) -> None:
        """Forget what some stages changed, and the attempts at the one that is at work."""
        async with self._transaction():
            drop = "DELETE FROM patches WHERE task = ? AND stage = ?"
            await self._db.executemany(drop, [(task, stage) for stage in stages])
            await self._set("tasks", "key = :key", {"stage": None, "attempts": 0}, key=task)

    async def set_worker(self, id_: str, **fields: Any) -> None:
        """Say what a worker does, or with no field that it is alive."""
        async with self._transaction():
            await self._insert("workers", {"id": id_, "status": "idle", "heartbeat_at": now()})
            await self._set("workers", "id = :id", {**fields, "heartbeat_at": now()}, id=id_)

    async def set_circuit(self, id_: str, **fields: Any) -> Row:
        """Change a circuit, and return it."""
        async with self._transaction():
            await self._insert("circuits", {"id": id_, "state": "closed", "failures": 0})
            await self._set("circuits", "id = :id", fields, id=id_)
            row = await self._one("SELECT * FROM circuits WHERE id = ?", id_)
        return camel(row) | {"level": id_.partition(":")[0]}

    async def _reset(self, key: str) -> None:
        fields = dict.fromkeys(("stage", "worker", "error")) | {"status": "pending", "attempts": 0}
        await self._set("tasks", "key = :key", {**fields, "updated_at": now()}, key=key)
        await self._db.execute("DELETE FROM patches WHERE task = ? AND NOT landing", (key,))

    async def _reopen(self, run_id: str) -> None:
        fields = {"status": "running", "ended_at": None, "error": None}
        await self._set("runs", "id = :id", fields, id=run_id)

    async def _update(self, table: str, name: str, key: str, fields: Mapping[str, Any]) -> None:
        async with self._transaction():
            await self._set(table, f"{name} = :this", fields, this=key)

    async def _insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert a row unless it is there."""
        values = ", ".join(f":{name}" for name in row)
        await self._db.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({values})", row)  # noqa: S608

    async def _set(self, table: str, where: str, fields: Mapping[str, Any], **key: str) -> None:
        changes = ", ".join(f"{name} = :{name}" for name in fields) or "rowid = rowid"
        await self._db.execute(f"UPDATE {table} SET {changes} WHERE {where}", {**fields, **key})  # noqa: S608

    async def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        named = values[0] if values and isinstance(values[0], dict) else values
        return list(await self._db.execute_fetchall(query, named))

    async def _one(self, query: str, key: str) -> sqlite3.Row:
        rows = await self._rows(query, key)
        if not rows:
            raise KeyError(key)
        return rows[0]

    @asynccontextmanager
    async def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> AsyncIterator[None]:
        async with self._lock:
            try:
                await _whole(self._db.execute(begin))
                yield
                await _whole(self._db.execute("COMMIT"))
            except BaseException:
                if self._db.in_transaction:
                    await _whole(self._db.execute("ROLLBACK"))
                raise


async def _whole(statement: Awaitable[Any]) -> None:
    """Wait for a statement's end, also when cancelled: it is done in any case."""
    doing = asyncio.ensure_future(statement)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise
