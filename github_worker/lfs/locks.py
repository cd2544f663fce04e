"""The locks that others have on files, where the server offers such."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from github_worker.errors import FileLocked, JobError, RepositoryNotFound
from github_worker.lfs.batch import Lock, read_locks, write_question
from github_worker.lfs.server import NotOffered, Server, ServerFaltered
from github_worker.retry import retry

_MOST_PAGES = 1000
_SHOWN = 10


def find_locks(server: Server, branch: str, warn: Callable[[str], None]) -> dict[str, str]:
    """Return the paths that others have locked, each with its owner.

    A server that has no such API has no locks; one that refuses to tell is a warning, as git-lfs has it.
    """
    locks: list[Lock] = []
    cursor = ""
    try:
        for _ in range(_MOST_PAGES):
            question = write_question(branch, cursor)
            page = read_locks(retry(partial(server.ask, "locks/verify", question), ServerFaltered))
            locks += page.theirs or []
            if not (cursor := page.next_cursor or ""):
                break
    except (NotOffered, RepositoryNotFound):
        return {}
    except JobError as error:
        warn(f"Whether others have locked files is not known: {error}")
    return {lock.path: lock.owner.name if lock.owner and lock.owner.name else "somebody" for lock in locks}


def refuse_locked(locks: dict[str, str], paths: Iterable[str]) -> None:
    """Raise FileLocked if one of the paths is locked."""
    found = sorted(set(paths) & locks.keys())
    if found:
        first = ", ".join(f"{path} is locked by {locks[path]}" for path in found[:_SHOWN])
        raise FileLocked(first + (f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""))
