"""A session from a repository to two pushed commits, through the service and its client.

Without arguments everything happens on this machine: a git server, the service, its session store. With a
repository's URL and GITHUB_TOKEN it happens to that repository; the demo pushes one new branch, and nothing
else. ANTHROPIC_API_KEY lets a model name the branch and write the messages.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from github_worker.contract import (
    AnyEvent,
    BranchStarted,
    Completed,
    Progress,
    PushError,
    SessionNamed,
    Warned,
    origin_of,
)
from github_worker_client import GitHubWorker, GitHubWorkerError
from tests.support.git_server import GitServer
from tests.support.repositories import git, with_token
from tests.support.sessions import SessionFolder
from tests.support.worker import Worker

TOKEN = "demo-token-0123456789"  # noqa: S105 (of the server that the demo starts)
SERVICE = ("-m", "github_worker", "serve", "--workers", "2")
REQUEST = "Add a dark mode toggle that remembers what the reader chose"
SEED = {
    "README.md": "# Reader\n\nA small page that shows texts.\n",
    "reader/page.py": 'def page(text: str) -> str:\n    return f"<body>{text}</body>"\n',
}
THEME = (
    'THEMES = ("light", "dark")\n\n\ndef toggled(theme: str) -> str:\n    return THEMES[theme == "light"]\n'
)
STORED = '\n\ndef cookie(theme: str) -> str:\n    return f"theme={theme}; Max-Age=31536000; SameSite=Lax"\n'
EDITS: tuple[Mapping[str, str], ...] = (
    {"theme.py": THEME},
    {"theme.py": THEME + STORED, "THEME.md": "The theme is kept in a cookie for a year.\n"},
)


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class Remote:
    """The repository that the demo works on, and the token for it."""

    url: str
    token: str


def main() -> int:
    """Run the demo; return the exit status."""
    arguments = _arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="github-worker-demo-") as folder:
            run(arguments.repository, arguments.request, Path(folder))
    except DemoFailed as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run(repository: str | None, request: str, folder: Path) -> None:
    """Start what is needed in `folder`, drive it, and show the remote's log."""
    if shutil.which("git") is None:
        raise DemoFailed("the git command is needed: it serves and shows the repository")
    with remote(repository, folder) as origin, service(origin, folder) as worker:
        branch = asyncio.run(drive(worker.base_url, origin, request, _store(folder)))
        print(f"\ngit log --stat {branch}, as the remote has it:\n")
        print(log(origin, branch, folder))
        worker.terminate()
        status, jobs = worker.wait(), _count_jobs(worker)
        print(f"The service did {jobs} jobs, each in a process of its own, and ended with status {status}.")


@contextmanager
def remote(repository: str | None, folder: Path) -> Iterator[Remote]:
    """Yield the repository that was asked for, or one on a git server of our own."""
    if repository is not None:
        token = os.environ.get("GITHUB_TOKEN")
        if not token:
            raise DemoFailed("GITHUB_TOKEN must hold a token that may push to the repository")
        yield Remote(repository, token)
        return
    with GitServer(folder / "remote", {TOKEN: "write"}) as server:
        yield Remote(server.seed("demo", "reader", SEED).url, TOKEN)


@contextmanager
def service(origin: Remote, folder: Path) -> Iterator[Worker]:
    """Yield the service, which keeps serving."""
    _store(folder).path.parent.mkdir()
    env = {
        "TMP_DIR": str(_store(folder).path.parent),
        "GIT_ALLOWED_HOSTS": origin_of(origin.url),
        "ANTHROPIC_API_KEY": os.environ.get("ANTHROPIC_API_KEY", ""),
    }
    with Worker(env, folder / "service.log", program=SERVICE) as worker:
        try:
            worker.wait_until_healthy()
            yield worker
        except (TimeoutError, GitHubWorkerError) as error:
            raise DemoFailed(f"{error}{_complaint(worker)}") from error


async def drive(base_url: str, origin: Remote, request: str, store: SessionFolder) -> str:
    """Start a session, edit and commit twice, and return the session's branch."""
    session_id = f"demo-{uuid.uuid4().hex[:8]}"
    async with GitHubWorker(base_url) as worker:
        print(f"init-session: {request!r} in {origin.url}")
        started = await worker.init_session(
            session_id=session_id,
            repo_url=origin.url,
            user_request=request,
            access_token=origin.token,
            on_event=Printer(),
        )
        _check(pushed=started.pushed, why=started.push_error)
        for files in EDITS:
            print(f"\nA coding worker edits the session: {', '.join(files)}\n\ncommit-and-push:")
            store.edit(session_id, files)
            committed = await worker.commit_and_push(
                session_id=session_id, access_token=origin.token, on_event=Printer()
            )
            _check(pushed=committed.pushed, why=committed.push_error)
    return started.branch_name


class Printer:
    """Prints a stream's events, each with the milliseconds since its beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, event: AnyEvent) -> None:
        """Print one event."""
        if (words := _words(event)) is not None:
            print(f"{(time.monotonic() - self._began) * 1000:7.0f} ms  {words[0]:<20} {words[1]}")


def log(origin: Remote, branch: str, folder: Path) -> str:
    """Return what `git log --stat` says about a branch of the remote."""
    copy = folder / "copy.git"
    try:
        git(
            *("clone", "--quiet", "--bare", "--single-branch", "--depth=10", "--branch", branch),
            *(origin.url, copy),
            env=with_token(origin.token),
        )
        return git("--git-dir", copy, "log", "-3", "--stat").decode()
    except subprocess.CalledProcessError as error:
        raise DemoFailed(f"the branch cannot be read back: {error.__notes__[0]}") from None


def _words(event: AnyEvent) -> tuple[str, str] | None:
    match event:
        case Progress():
            return event.stage, event.message
        case Warned():
            return "warning", event.message
        case BranchStarted():
            return "branch_created", event.branch_name
        case SessionNamed():
            return "session_name", event.session_name
        case Completed():
            return "completed", ", ".join(
                f"{step} {spent} ms" for step, spent in event.timings.items() if spent
            )
        case _:
            return None  # the client raises it


def _check(*, pushed: bool, why: PushError | None) -> None:
    if not pushed:
        raise DemoFailed(f"nothing was pushed: {why.message if why else 'nothing had changed'}")


def _complaint(worker: Worker) -> str:
    complaints = [
        line["message"] for line in worker.log_lines() if line.get("level") in {"error", "critical"}
    ]
    return f" (the service logged: {complaints[-1]})" if complaints else ""


def _count_jobs(worker: Worker) -> int:
    return sum(line.get("message") == "job ended" for line in worker.log_lines())


def _store(folder: Path) -> SessionFolder:
    # where the service keeps sessions when no store is configured
    return SessionFolder(folder / "scratch" / "github-worker-sessions")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", nargs="?", help="https://github.com/owner/repo")
    parser.add_argument("--request", default=REQUEST, help="what the session is asked to do")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
