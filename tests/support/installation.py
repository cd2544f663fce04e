"""Tries an installation as its user would: `python -m tests.support.installation PYTHON [EXTRA…]`.

PYTHON is the interpreter of an environment into which the distribution and these extras were installed, and
nothing else. Each trial is the main job of an extra, done by that interpreter.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx

from github_worker_client.sync import GitHubWorker
from github_worker_client.testing import StandInWorker
from tests.support.git_server import GitServer
from tests.support.sessions import SessionFolder, clone, metadata, pack
from tests.support.worker import Worker

_TOKEN = "a-token-of-the-trial"
_ISOLATED = "-I"  # without the current folder and PYTHONPATH: what runs is what was installed
_CLIENT = """
import pathlib, sys
import github_worker_client
from github_worker_client.sync import GitHubWorker
from github_worker_client.testing import StandInWorker

assert pathlib.Path(github_worker_client.__file__).is_relative_to(sys.prefix), github_worker_client.__file__
with StandInWorker() as worker, GitHubWorker(worker.base_url) as client:
    result = client.commit_and_push(session_id="s1", access_token="t")
assert result.commit_hash, result
assert [request.body["sessionId"] for request in worker.requests] == ["s1"]
"""


_CHECKOUT = """
import sys
from github_worker_client.sessions.sync import SessionStore

with SessionStore(sys.argv[1]).checkout("s1") as session:
    (session.repository / "new.txt").write_text("new")
"""

_TELEMETRY = """
from opentelemetry.sdk.trace import TracerProvider
import github_worker.telemetry.otlp
from github_worker_client.tracing import trace_headers

with TracerProvider().get_tracer("trial").start_as_current_span("trial"):
    print(trace_headers()["traceparent"])
"""


def run(python: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the interpreter in an empty folder, and return what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, _ISOLATED, *arguments]
        given = {"PATH": os.environ["PATH"], **env}
        return subprocess.run(
            command, cwd=folder, env=given, capture_output=True, text=True, timeout=120, check=False
        )


def try_client(python: str, folder: Path) -> None:
    """Let the client do a job with its stand-in, and the command say which version it is."""
    done = run(python, "-c", _CLIENT)
    assert done.returncode == 0, done.stderr
    done = run(python, "-m", "github_worker", "--version")
    assert done.stdout.startswith("github-worker "), done


def try_without_server(python: str) -> None:
    """Let the command say what it lacks."""
    done = run(python, "-m", "github_worker", "serve")
    assert done.returncode == 2, done
    assert "pip install 'github-worker[server]'" in done.stderr, done


def try_server(python: str, folder: Path) -> None:
    """Let a worker begin a session on a repository of a git server, and see the branch there."""
    store = SessionFolder(folder / "store")
    for made in (store.path, folder / "scratch", folder / "remote"):
        made.mkdir()
    program = (_ISOLATED, "-m", "github_worker", "serve")
    with GitServer(folder / "remote", {_TOKEN: "write"}) as server:
        origin = server.seed("octo", "demo")
        env = {"TMP_DIR": str(folder / "scratch"), "STORAGE_URL": store.url}
        env["GIT_ALLOWED_HOSTS"] = server.origin
        with Worker(env, folder / "worker.log", program=program, python=python) as worker:
            assert worker.wait_until_healthy()["status"] == "ok"
            with GitHubWorker(worker.base_url) as client:
                result = client.init_session(
                    session_id="s1", repo_url=origin.url, user_request="Add a toggle", access_token=_TOKEN
                )
            assert worker.wait() == 0
        assert origin.branches()[result.branch_name] == result.commit
    assert store.archive("s1").exists()


def try_sessions(python: str, folder: Path) -> None:
    """Check a session out, change a file, and see it in the store."""
    store = SessionFolder(folder / "store")
    for made in (store.path, folder / "remote"):
        made.mkdir()
    with GitServer(folder / "remote", {_TOKEN: "write"}) as server:
        origin = server.seed("octo", "demo")
        worktree = clone(origin.url, _TOKEN, folder / "demo")
    github = {"repoUrl": origin.url, "baseBranch": "main", "clonedPath": "demo"}
    store.put("s1", pack(metadata("s1", github=github), worktree))
    done = run(python, "-c", _CHECKOUT, store.url)
    assert done.returncode == 0, done.stderr
    session = store.get("s1")
    assert session.read(session.worktree("new.txt")) == b"new"


def try_command_line(python: str, folder: Path) -> None:
    """Run a job by hand, and print what a shell completes the command by."""
    job = ("run", "commit-and-push", "--session", "s1")
    with StandInWorker() as worker:
        done = run(python, "-m", "github_worker", *job, "--url", worker.base_url, GITHUB_TOKEN=_TOKEN)
    assert done.returncode == 0, done
    assert [request.body["sessionId"] for request in worker.requests] == ["s1"]
    done = run(python, "-m", "github_worker", "completion", "bash")
    assert done.returncode == 0, done.stderr
    assert "commit-and-push" in done.stdout, done


def try_telemetry(python: str, folder: Path) -> None:
    """Let the client name its span, and import what a worker sends spans by."""
    done = run(python, "-c", _TELEMETRY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("00-"), done


def try_metrics(python: str, folder: Path) -> None:
    """Ask a service that keeps serving what it measured."""
    program = (_ISOLATED, "-m", "github_worker", "serve", "--workers", "1")
    with Worker({"TMP_DIR": str(folder)}, folder / "worker.log", program=program, python=python) as worker:
        worker.wait_until_healthy()
        answer = httpx.get(f"{worker.base_url}/metrics", trust_env=False)
    assert answer.status_code == 200, answer.text
    assert "github_worker_workers_limit 1.0" in answer.text, answer.text


_TRIALS: dict[str, Callable[[str, Path], None]] = {
    "sessions": try_sessions,
    "server": try_server,
    "cli": try_command_line,
    "otel": try_telemetry,
    "metrics": try_metrics,
}


def main() -> None:
    """Try what was installed; fail at what does not work, or is an extra without a trial."""
    python, *extras = sys.argv[1:]
    if not {"server", "metrics"} & set(extras):
        try_without_server(python)
    for trial in (try_client, *(_TRIALS[extra] for extra in extras)):
        with tempfile.TemporaryDirectory() as folder:
            trial(python, Path(folder))


if __name__ == "__main__":
    main()
