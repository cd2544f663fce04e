"""`github-worker sessions`: the sessions of a store, and their files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from github_worker.cli.command import (
    DONE,
    FAILED,
    NOBODY,
    WRONG_USE,
    Call,
    CommandFailed,
    Subparsers,
    add_command,
)
from github_worker.cli.text import clean, size
from github_worker.errors import JobError, StorageUnavailable
from github_worker.settings import Settings, from_env

if TYPE_CHECKING:
    from github_worker.cli.session_state import State
    from github_worker_client.sessions.sync import SessionStore, StoredSession

_STORE = """
The store is that of STORAGE_URL or STORAGE_WORKER_URL, as a worker has it; or --store. Its keys come from the
environment (AWS_ACCESS_KEY_ID and so on)."""
_SHOWN = 20  # commits or files, unless all are asked for


def register(commands: Subparsers) -> None:
    """Add the command, and those below it."""
    parser = add_command(
        commands,
        "sessions",
        "list sessions, and get, save or delete one",
        example="github-worker sessions list",
    )
    below = parser.add_subparsers(title="commands", dest="verb", metavar="COMMAND", required=True)
    listing = _add(below, "list", "list the sessions of the store, the newest first", "list", _list)
    listing.add_argument("--json", action="store_true", help="print one JSON object a line")
    showing = _add(
        below, "show", "show what a session holds and what of it is not pushed", "show demo", _show
    )
    showing.add_argument("id", metavar="ID", help="the session")
    showing.add_argument("--all", action="store_true", help=f"show more than {_SHOWN} commits or files")
    showing.add_argument("--json", action="store_true", help="print it as JSON")
    getting = _add(below, "checkout", "unpack a session into a folder", "checkout demo", _check_out)
    getting.add_argument("id", metavar="ID", help="the session")
    getting.add_argument("folder", metavar="FOLDER", nargs="?", help="a new or empty one (./ID)")
    saving = _add(below, "save", "save a folder as a session", "save demo ./demo", _save)
    saving.add_argument("id", metavar="ID", help="the session")
    saving.add_argument("folder", metavar="FOLDER", help="one that `checkout` made, or any for a new session")
    saving.add_argument(
        "--overwrite", action="store_true", help="replace the session even if another writer saved it since"
    )
    deleting = _add(below, "delete", "delete a session", "delete demo", _delete)
    deleting.add_argument("id", metavar="ID", help="the session")
    deleting.add_argument("--yes", action="store_true", help="do not ask first")


def _add(
    below: Subparsers, name: str, sentence: str, example: str, execute: Callable[[Call, SessionStore], int]
) -> argparse.ArgumentParser:
    parser = add_command(
        below,
        name,
        sentence,
        example=f"github-worker sessions {example}\n{_STORE}",
        execute=lambda call: _execute(call, execute),
        extra="sessions",
    )
    parser.add_argument("--store", metavar="URL", help="s3://…, gs://…, az://…, file:///folder or http://…")
    return parser


def _execute(call: Call, command: Callable[[Call, SessionStore], int]) -> int:
    """Execute a command on the store; raise CommandFailed with what a person can do."""
    from github_worker_client.errors import GitHubWorkerError, InvalidRequest  # noqa: PLC0415 (an extra)
    from github_worker_client.sessions import StoreUnavailable  # noqa: PLC0415
    from github_worker_client.sessions.sync import SessionStore  # noqa: PLC0415

    settings = read_settings(call)
    try:
        store = SessionStore(
            choose_url(settings),
            options=settings.storage_options,
            timeout=settings.storage_timeout,
            max_bytes=settings.max_session_bytes,
            max_files=settings.max_session_files,
        )
        return command(call, store)
    except InvalidRequest as error:
        raise CommandFailed(clean(str(error)), WRONG_USE) from error
    except (StoreUnavailable, StorageUnavailable) as error:
        raise CommandFailed(clean(str(error)), NOBODY) from error
    except (GitHubWorkerError, JobError) as error:
        raise CommandFailed(clean(str(error)), FAILED) from error


def read_settings(call: Call) -> Settings:
    """Read the settings of a worker whose store is the one that was asked for; raise ConfigurationError."""
    settings = from_env(call.env)
    if (url := call.options.store) is None:
        return settings
    is_worker = url.startswith(("http://", "https://"))
    return msgspec.structs.replace(
        settings,
        storage_worker_url=url.rstrip("/") if is_worker else None,
        storage_url=None if is_worker else url.rstrip("/"),
    )


def choose_url(settings: Settings) -> str:
    """Return the store's URL: that which is configured, or a worker's own folder; raise CommandFailed."""
    if url := settings.storage_worker_url or settings.storage_url:
        return url
    folder = settings.tmp_dir.absolute() / "github-worker-sessions"
    if not folder.is_dir():
        raise CommandFailed(
            "no store is configured: set STORAGE_URL or STORAGE_WORKER_URL, or name one with --store"
        )
    return folder.as_uri()


def _list(call: Call, store: SessionStore) -> int:
    sessions = sorted(store.list(), key=lambda session: str(session.modified or ""), reverse=True)
    if call.options.json:
        for session in sessions:
            _print(_encode(session))
        return DONE
    width = max((len(session.id) for session in sessions), default=0)
    for session in sessions:
        _print(f"{session.id:{width}}  {_describe_size(session):>8}  {_describe_time(session.modified)}")
    if not sessions:
        print("the store has no sessions", file=sys.stderr)  # noqa: T201 (this is the command line)
    return DONE


def _show(call: Call, store: SessionStore) -> int:
    from github_worker.cli.session_state import look_at  # noqa: PLC0415 (it looks for packages)

    session = store.show(call.options.id)
    settings = read_settings(call)
    state = look_at(session.id, settings, choose_url(settings))
    if call.options.json:
        _print(_encode(session, state))
        return DONE
    _print_rows(
        "Session", [f"{session.id}, {_describe_size(session)}, saved {_describe_time(session.modified)}"]
    )
    _print_rows("Title", [state.title])
    _print_rows("Repository", [state.repository])
    _print_rows("Branch", [_describe_branch(state)])
    most = None if call.options.all else _SHOWN
    _print_rows("Unpushed", _list_some(state.describe_unpushed(), state.unpushed or (), most))
    _print_rows("Changed", _list_some(state.describe_changes(), state.changes or (), most))
    _print_rows("Note", [state.note])
    return DONE


def _check_out(call: Call, store: SessionStore) -> int:
    from github_worker_client.sessions import NoRepository, SessionCorrupt  # noqa: PLC0415 (an extra)

    folder = Path(call.options.folder or call.options.id)
    try:
        session = store.unpack(call.options.id, folder)
    except OSError as error:
        raise CommandFailed(clean(str(error)), WRONG_USE) from error
    try:
        where = session.repository
    except (NoRepository, SessionCorrupt):
        where = folder
    _print(clean(str(where)))
    print(  # noqa: T201 (this is the command line)
        f"save it with: github-worker sessions save {session.id} {clean(str(folder))}", file=sys.stderr
    )
    return DONE


def _save(call: Call, store: SessionStore) -> int:
    folder = Path(call.options.folder)
    if not folder.is_dir():
        raise CommandFailed(f"{clean(str(folder))} is no folder", WRONG_USE)
    is_saved = store.save(call.options.id, folder, overwrite=call.options.overwrite)
    _print(f"saved {call.options.id}" if is_saved else f"nothing changed: {call.options.id} stays as it is")
    return DONE


def _delete(call: Call, store: SessionStore) -> int:
    session = store.show(call.options.id)
    if not call.options.yes and sys.stdin.isatty():
        question = f"delete {session.id}, saved {_describe_time(session.modified)}? [y/N] "
        if input(question).strip().lower() not in {"y", "yes"}:
            raise CommandFailed("nothing was deleted", FAILED)
    store.delete(session.id)
    _print(f"deleted {session.id}")
    return DONE


def _describe_branch(state: State) -> str:
    return f"{state.branch}, from {state.base_branch}" if state.branch and state.base_branch else state.branch


def _list_some(head: str, lines: tuple[str, ...], most: int | None) -> list[str]:
    """Return a heading and what it is of, cut to a screen."""
    shown = lines[:most]
    rest = [f"… and {len(lines) - len(shown)} more: --all"] if len(lines) > len(shown) else []
    return [head, *(f"  {line}" for line in shown), *rest]


def _print_rows(label: str, texts: list[str]) -> None:
    for number, text in enumerate(filter(str.strip, texts)):
        indent = text[: len(text) - len(text.lstrip())]
        _print(f"{label if number == 0 else '':12}{indent}{clean(text)}")


def _print(line: str) -> None:
    print(line)  # noqa: T201 (this is the command line)


def _encode(session: StoredSession, state: State | None = None) -> str:
    fields: dict[str, Any] = msgspec.to_builtins(session) | (msgspec.to_builtins(state) if state else {})
    return msgspec.json.encode(fields).decode()


def _describe_size(session: StoredSession) -> str:
    return "" if session.size is None else size(session.size)


def _describe_time(moment: datetime | None) -> str:
    return "at an unknown time" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
