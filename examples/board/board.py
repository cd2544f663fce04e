"""The board's API, on SQLite: tasks, their comments, and claims of which a task has one at a time.

    backlog → todo → in_progress → review → done
                          ↓ a bot failed, or was not heard of for a lease: todo, or after three times blocked

One transaction claims. A claim lasts `lease` seconds after each word of its bot; who lost it is told so.
A task that a person moves from review back to todo begins another round.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

ATTEMPTS = 3  # of bots at one round of a task
PRIORITIES = ("low", "medium", "high", "critical")
_SCHEMA = """
PRAGMA journal_mode = wal;
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL,
    repository_url TEXT NOT NULL, base_branch TEXT, priority INTEGER NOT NULL, status TEXT NOT NULL,
    round INTEGER NOT NULL DEFAULT 1, attempts INTEGER NOT NULL DEFAULT 0, bot_name TEXT, claim TEXT UNIQUE,
    due REAL NOT NULL DEFAULT 0,  -- when it may be taken, in progress: when its claim ends
    pr_url TEXT, pr_branch TEXT, created_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS comments (
    task_id TEXT NOT NULL REFERENCES tasks, author_type TEXT NOT NULL, author_name TEXT NOT NULL,
    comment_type TEXT NOT NULL, content TEXT NOT NULL, created_at REAL NOT NULL,
    claim TEXT, number INTEGER, UNIQUE (claim, number)  -- a bot that had no answer says it again
);
"""
_ADD = """
INSERT INTO tasks (id, workspace_id, title, description, repository_url, base_branch, priority, status,
    created_at)
VALUES (:id, :workspace, :title, :description, :repository_url, :base_branch, :priority, :status, :now)
RETURNING *
"""
_EXPIRE = """
UPDATE tasks SET status = iif(attempts < ?, 'todo', 'blocked'), claim = NULL
WHERE status = 'in_progress' AND due <= ? RETURNING id, bot_name
"""
_CLAIM = """
UPDATE tasks SET status = 'in_progress', claim = ?, bot_name = ?, due = ?, attempts = attempts + 1
WHERE id = (SELECT id FROM tasks WHERE workspace_id = ? AND status = 'todo' AND due <= ?
            ORDER BY priority DESC, created_at, rowid LIMIT 1)
RETURNING *
"""
_END = """
UPDATE tasks SET status = iif(:status = 'todo' AND attempts >= :most, 'blocked', :status),
    due = :due, pr_url = ifnull(:pr_url, pr_url), pr_branch = ifnull(:pr_branch, pr_branch)
WHERE id = :id
"""
_MOVE = """
UPDATE tasks SET round = round + (status IN ('review', 'done') AND :status = 'todo'), status = :status,
    claim = NULL, attempts = 0, due = 0
WHERE id = :id AND workspace_id = :workspace
"""


class NewTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person wants to be done."""

    title: str
    repository_url: str
    description: str = ""
    base_branch: str | None = None
    priority: Literal["low", "medium", "high", "critical"] = "medium"
    status: Literal["backlog", "todo"] = "backlog"


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a person puts a task; bots alone put it in progress."""

    status: Literal["backlog", "todo", "blocked", "review", "done"]


class NewComment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says of a task."""

    content: str
    author_name: str = "somebody"


class ClaimRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks for a task, and of which workspace."""

    bot_name: str
    workspace_id: str


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a bot says of the task that it has: that alone renews its claim, a `status` ends it.

    `number` tells the comments of one claim apart.
    """

    comment: str | None = None
    comment_type: Literal["progress", "summary", "error"] = "progress"
    number: int = 0
    status: Literal["review", "todo"] | None = None
    pr_url: str | None = None
    pr_branch: str | None = None


class NoSuchTask(Exception):
    """The workspace has no task of this id."""


@dataclass(frozen=True)
class Board:
    """Keeps the board in the file `path`; any number of processes may."""

    path: str | os.PathLike[str]
    lease: float = 90.0
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        with closing(sqlite3.connect(self.path)) as db:
            db.executescript(_SCHEMA)

    def tasks(self, workspace: str, status: str | None) -> list[dict[str, Any]]:
        """Return the tasks of a workspace, the oldest first."""
        query = (
            "SELECT * FROM tasks WHERE workspace_id = ? AND status = ifnull(?, status) ORDER BY created_at"
        )
        with self._transaction() as db:
            return [_shown(task) for task in db.execute(query, (workspace, status))]

    def add(self, workspace: str, task: NewTask) -> dict[str, Any]:
        """Put a task on the board."""
        fields = msgspec.to_builtins(task) | {"priority": PRIORITIES.index(task.priority)}
        fields |= {"id": f"task_{uuid.uuid4().hex[:8]}", "workspace": workspace, "now": self.clock()}
        with self._transaction() as db:
            (added,) = db.execute(_ADD, fields)
            return _shown(added)

    def show(self, workspace: str, id_: str) -> dict[str, Any]:
        """Return a task with its comments; raise NoSuchTask."""
        with self._transaction() as db:
            return _with_comments(db, _find(db, workspace, id_))

    def move(self, workspace: str, id_: str, move: Move) -> dict[str, Any]:
        """Give a task a status as a person does: a bot that works on it loses it."""
        with self._transaction() as db:
            db.execute(_MOVE, {"id": id_, "workspace": workspace, "status": move.status})
            return _shown(_find(db, workspace, id_))

    def comment(self, workspace: str, id_: str, comment: NewComment) -> None:
        """Add what a person says."""
        with self._transaction() as db:
            _find(db, workspace, id_)
            self._say(db, id_, "person", comment.author_name, "progress", comment.content)

    def claim(self, workspace: str, bot: str) -> dict[str, Any] | None:
        """Give the most urgent task that is to do to a bot; None if there is none."""
        now = self.clock()
        with self._transaction() as db:
            claim = (uuid.uuid4().hex, bot, now + self.lease, workspace, now)
            claimed = db.execute(_CLAIM, claim).fetchone()
            return claimed and {**_with_comments(db, claimed), "claim": claim[0], "lease": self.lease}

    def report(self, workspace: str, claim: str, report: Report) -> bool:
        """Take what a bot says of its task, and tell whether the task is still its own."""
        due = self.clock() + self.lease  # a task that failed rests for as long
        with self._transaction() as db:
            query = "SELECT * FROM tasks WHERE claim = ? AND workspace_id = ?"
            task = db.execute(query, (claim, workspace)).fetchone()
            if task is None:
                return False
            if task["status"] != "in_progress":
                return report.status is not None  # its answer to this was lost
            if report.comment:
                told = ("bot", task["bot_name"], report.comment_type, report.comment, claim, report.number)
                self._say(db, task["id"], *told)
            if report.status:
                fields = {name: getattr(report, name) for name in ("status", "pr_url", "pr_branch")}
                db.execute(_END, {**fields, "id": task["id"], "most": ATTEMPTS, "due": due})
            else:
                db.execute("UPDATE tasks SET due = ? WHERE claim = ?", (due, claim))
            return True

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that alone may write, once claims that ran out are given back."""
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN IMMEDIATE")
            with db:  # commits, or rolls back
                for id_, bot in db.execute(_EXPIRE, (ATTEMPTS, self.clock())).fetchall():
                    self._say(db, id_, "board", "board", "error", f"{bot} was not heard of any more")
                yield db

    def _say(self, db: sqlite3.Connection, id_: str, *comment: Any) -> None:
        author_type, author, kind, content, claim, number = (*comment, None, None)[:6]
        row = (id_, author_type, author, kind, content, self.clock(), claim, number)
        db.execute("INSERT OR IGNORE INTO comments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def _find(db: sqlite3.Connection, workspace: str, id_: str) -> sqlite3.Row:
    query = "SELECT * FROM tasks WHERE workspace_id = ? AND id = ?"
    row: sqlite3.Row | None = db.execute(query, (workspace, id_)).fetchone()
    if row is None:
        raise NoSuchTask(f"the workspace {workspace} has no task {id_}")
    return row


def _shown(task: sqlite3.Row) -> dict[str, Any]:
    hidden = {"claim", "due"}
    fields = {name: task[name] for name in task.keys() if name not in hidden}  # noqa: SIM118 (a row has values)
    return fields | {"priority": PRIORITIES[task["priority"]]}


def _with_comments(db: sqlite3.Connection, task: sqlite3.Row) -> dict[str, Any]:
    names = "author_type, author_name, comment_type, content, created_at"
    said = db.execute(f"SELECT {names} FROM comments WHERE task_id = ? ORDER BY rowid", (task["id"],))  # noqa: S608
    return _shown(task) | {"comments": [dict(comment) for comment in said]}
