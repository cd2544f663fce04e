"""The session's files: checked out of the store, worked in, and saved on condition that nobody else did.

It needs `pip install 'github-worker[sessions]'`. Callers without an event loop find a blocking `SessionStore`
in `github_worker_client.sessions.sync`.
"""

from importlib.util import find_spec

if missing := [name for name in ("obstore", "isal") if find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"github_worker_client.sessions needs {' and '.join(missing)}: pip install 'github-worker[sessions]'",
        name=missing[0],
    )

from github_worker_client.sessions.errors import (
    FilesUnsettled,
    NoRepository,
    NotOffered,
    SessionConflict,
    SessionCorrupt,
    SessionError,
    SessionNotFound,
    SessionTooLarge,
    StoreUnavailable,
)
from github_worker_client.sessions.store import Session, SessionStore
from github_worker_client.sessions.sync import StoredSession

__all__ = [
    "FilesUnsettled",
    "NoRepository",
    "NotOffered",
    "Session",
    "SessionConflict",
    "SessionCorrupt",
    "SessionError",
    "SessionNotFound",
    "SessionStore",
    "SessionTooLarge",
    "StoreUnavailable",
    "StoredSession",
]
