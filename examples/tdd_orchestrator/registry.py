"""The projects of this machine, each with the address that its orchestrator announces itself at."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Literal

import aiosqlite

HEARTBEAT = 15.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS projects (
    path TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, api_url TEXT NOT NULL,
    status TEXT NOT NULL, last_seen REAL NOT NULL
);
"""
_ANNOUNCE = """
INSERT INTO projects (path, id, name, api_url, status, last_seen) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET
    name = excluded.name, api_url = excluded.api_url, status = excluded.status, last_seen = excluded.last_seen
"""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Project:
    """A project as it announced itself; `last_seen` is in seconds since 1970."""

    path: str
    id: str
    name: str
    api_url: str
    status: Literal["running", "stopped"]
    last_seen: float


@dataclass(frozen=True)
class Registry:
    """Keeps the projects in the file `path`; any number of processes may."""

    path: Path = field(default_factory=lambda: Path.home() / ".tdd" / "registry.db")

    @asynccontextmanager
    async def announcing(self, name: str, path: Path, url: str) -> AsyncIterator[None]:
        """Say that the project in the folder `path` is served at `url`, again and again until it ends."""
        await self.announce(name, path, url, "running")
        beating = asyncio.create_task(self._beat(name, path, url))
        try:
            yield
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
            await self.announce(name, path, url, "stopped")

    async def announce(self, name: str, path: Path, url: str, status: Literal["running", "stopped"]) -> None:
        """Say where a project is; another that had the address before is there no more."""
        folder = str(path.resolve())
        async with self._transaction() as db:
            rows = await db.execute_fetchall("SELECT id FROM projects WHERE path != ?", (folder,))
            id_ = _free(name, {row["id"] for row in rows})
            others = "UPDATE projects SET status = 'stopped' WHERE api_url = ? AND path != ?"
            await db.execute(others, (url, folder))
            await db.execute(_ANNOUNCE, (folder, id_, name, url, status, time.time()))

    async def projects(self) -> list[Project]:
        """Return all projects whose folders are still there, by name."""
        async with self._transaction() as db:
            rows = await db.execute_fetchall("SELECT * FROM projects ORDER BY name, id")
        return [Project(**dict(row)) for row in rows if Path(row["path"]).is_dir()]

    async def _beat(self, name: str, path: Path, url: str) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            try:
                await self.announce(name, path, url, "running")
            except (OSError, sqlite3.Error) as error:
                _logger.warning("the registry %s cannot be written: %s", self.path, error)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with aiosqlite.connect(self.path, timeout=30, isolation_level=None) as db:
            db.row_factory = aiosqlite.Row
            await db.executescript(_SCHEMA)
            await db.execute("BEGIN IMMEDIATE")
            yield db
            await db.commit()


def _free(name: str, taken: set[str]) -> str:
    """Return what stands for a project in addresses: its name, with a number if another has it."""
    slug = re.sub(r"[^\w-]+", "-", name).strip("-") or "project"
    names = chain([slug], (f"{slug}-{number}" for number in count(2)))
    return next(free for free in names if free not in taken)
