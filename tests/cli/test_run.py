"""`github-worker run`, as a process, against real workers."""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import hide_package, run, run_in_terminal, start
from tests.conftest import WRITE_TOKEN
from tests.support.faults import Meanwhile
from tests.support.git_server import GitServer
from tests.support.repositories import Repository
from tests.support.sessions import SessionFolder
from tests.support.worker import RestartLoop, Worker

NOBODY = "http://127.0.0.1:1"
WORKER_TOKEN = "worker-token-0123456789"


def init(origin: Repository, session: str = "demo") -> list[str]:
    """Return the words that begin a session."""
    words = ["--session", session, "--repo-url", origin.url, "--user-request", "Add a dark mode toggle"]
    return ["run", "init-session", *words]


class Pause:
    """Holds a clone: `begun` is set when it is under way, and it goes on when `over` is."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.over = threading.Event()

    def strike(self) -> None:
        """Hold the request."""
        self.begun.set()
        self.over.wait(30)


@pytest.fixture
def pause(git_server: GitServer) -> Iterator[Pause]:
    """Hold the next clone."""
    pause = Pause()
    git_server.faults.add(Meanwhile(pause.strike), "POST")
    yield pause
    pause.over.set()


def test_a_worker_is_started_for_the_job(
    env: dict[str, str], origin: Repository, sessions: SessionFolder
) -> None:
    """Without an address the job is done here, in the configured store, and nothing is left behind."""
    ended = run(*init(origin), **env)
    assert (ended.returncode, ended.stderr) == (0, "")
    branch = sessions.get("demo").metadata["branch"]
    assert branch in origin.branches()
    for shown in ("Starting a worker here", "Cloning acme/shop", branch, origin.branches()[branch][:12]):
        assert shown in ended.stdout
    assert list(Path(env["TMP_DIR"]).iterdir()) == []


def test_the_worker_at_an_address_is_asked(
    env: dict[str, str], worker: Worker, origin: Repository, sessions: SessionFolder
) -> None:
    """With an address this machine needs no settings but the token."""
    ended = run(*init(origin), PATH=env["PATH"], GITHUB_TOKEN=WRITE_TOKEN, GITHUB_WORKER_URL=worker.base_url)
    assert ended.returncode == 0, ended.stderr
    assert f"Asking {worker.base_url}" in ended.stdout
    assert sessions.get("demo").metadata["branch"] in origin.branches()
    assert worker.wait() == 0


def test_json_is_the_stream_line_by_line(env: dict[str, str], origin: Repository) -> None:
    """Each line is an event, the last one the outcome, and none has more than ASCII."""
    ended = run(*init(origin), "--json", **env)
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [event["type"] for event in events].count("completed") == 1
    assert events[-1]["data"]["pushed"] is True
    assert events[0]["stage"] == "downloading_session"
    assert ended.stdout.isascii()


def test_a_job_that_fails_says_what_to_do(env: dict[str, str]) -> None:
    """The status is 1; the code is there, what it means, and what helps."""
    ended = run("run", "commit-and-push", "--session", "none", **env)
    assert ended.returncode == 1
    for shown in ("session_not_found", "no session none", "What to do", "--session"):
        assert shown in ended.stdout


def test_a_push_that_fails_is_a_failure(env: dict[str, str], origin: Repository) -> None:
    """The result is shown, the status is 1, and the remote's words move no cursor."""
    origin.reject_pushes("no pushes today \033]0;title\007\033[2J")
    ended = run(*init(origin), **env)
    assert ended.returncode == 1
    assert ", but not pushed" in ended.stdout
    assert "no pushes today" in ended.stdout
    assert "push_rejected" in ended.stdout
    assert "\033" not in ended.stdout


@pytest.mark.parametrize(
    ("words", "changes", "said"),
    [
        (["commit-and-push", "--session", "../x"], {}, "--session must be"),
        (
            ["create-pull-request", "--base", "main"],
            {},
            "--owner is missing (or --repo-url or --session in its place)",
        ),
        (["commit-and-push", "--session", "s"], {"GITHUB_TOKEN": ""}, "set GITHUB_TOKEN"),
        (["commit-and-push", "--session", "s"], {"GITHUB_TOKEN_FILE": "/none"}, "GITHUB_TOKEN"),
        (["commit-and-push", "--session", "s"], {"JOB_TIMEOUT": "soon"}, "JOB_TIMEOUT must be"),
        (["commit-and-push", "--session", "s", "--url", "host:5002"], {}, "--url must be"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_wrong_use_is_told_in_a_sentence(
    env: dict[str, str], words: list[str], changes: dict[str, str], said: str
) -> None:
    """The status is 2, and the option or the variable is named."""
    ended = run("run", *words, **(env | changes))
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_worker_that_wants_a_token_is_given_it(
    env: dict[str, str], worker_env: dict[str, str], origin: Repository, tmp_path: Path
) -> None:
    """From GITHUB_WORKER_TOKEN or its file; without it the status is 2, and a hint says which."""
    with Worker(worker_env | {"GITHUB_WORKER_TOKEN": WORKER_TOKEN}, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        words = [*init(origin), "--url", worker.base_url]
        refused = run(*words, **env)
        (tmp_path / "token").write_text(WORKER_TOKEN)
        taken = run(*words, **env, GITHUB_WORKER_TOKEN_FILE=str(tmp_path / "token"))
    assert refused.returncode == 2
    assert "GITHUB_WORKER_TOKEN" in refused.stderr
    assert taken.returncode == 0, taken.stderr


def test_nobody_there_is_a_status_of_its_own(env: dict[str, str]) -> None:
    """A script can tell it from a job that failed; as JSON it is an error like others."""
    words = ["run", "commit-and-push", "--session", "s", "--url", NOBODY, "--wait", "0"]
    ended = run(*words, "--json", **env)
    assert ended.returncode == 3
    assert "no worker answered" in ended.stderr
    assert json.loads(ended.stdout)["code"] == "unavailable"


def test_a_busy_worker_is_a_status_of_its_own(
    env: dict[str, str], worker: Worker, origin: Repository, pause: Pause
) -> None:
    """After the wait that was asked for, the command says that every worker has a job."""
    words = [*init(origin), "--url", worker.base_url]
    with start(*words, **env) as first:
        assert pause.begun.wait(30)
        second = run(*words, "--wait", "0", **env)
        pause.over.set()
        first.communicate()
    assert (first.returncode, second.returncode) == (0, 3)
    assert "--wait" in second.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_tells_how_to_ask_for_the_outcome(
    env: dict[str, str],
    restart_loop: RestartLoop,
    origin: Repository,
    pause: Pause,
    number: signal.Signals,
) -> None:
    """The job goes on; the command that is shown answers with what it did, and does nothing twice."""
    with start(*init(origin), "--url", restart_loop.base_url, **env) as interrupted:
        assert pause.begun.wait(30)
        interrupted.send_signal(number)
        _, said = interrupted.communicate()
    pause.over.set()
    restart_loop.wait_until_ended(1)
    assert interrupted.returncode == 130
    [again] = [line for line in said.splitlines() if "--request-id" in line]
    branches = origin.branches()
    program, *words = shlex.split(again)
    assert program == "github-worker"
    asked = run(*words, **env)
    assert (asked.returncode, len(branches)) == (0, 2)
    assert origin.branches() == branches
    assert "Cloning" not in asked.stdout


def test_an_interrupted_worker_of_ones_own_finishes_the_job(
    env: dict[str, str],
    origin: Repository,
    sessions: SessionFolder,
    pause: Pause,
) -> None:
    """It is named, does what it was asked, saves it, and ends."""
    with start(*init(origin), **env) as interrupted:
        assert pause.begun.wait(30)
        os.kill(interrupted.pid, signal.SIGINT)
        _, said = interrupted.communicate()
    assert interrupted.returncode == 130
    worker = int(said.partition("(process ")[2].partition(")")[0])
    ended = os.pidfd_open(worker)
    pause.over.set()
    wait_until_readable(ended)
    assert sessions.get("demo").metadata["branch"] in origin.branches()


def test_a_worker_that_is_killed_leaves_the_outcome_open(
    env: dict[str, str], worker: Worker, origin: Repository, pause: Pause
) -> None:
    """The status is that of nobody there, and the command that asks for the outcome is shown."""
    with start(*init(origin), "--url", worker.base_url, "--wait", "0", **env) as left:
        assert pause.begun.wait(30)
        worker.kill()
        _, said = left.communicate()
    assert left.returncode == 3
    assert "--request-id" in said


def test_a_terminal_of_ascii_shows_escapes(env: dict[str, str], git_server: GitServer) -> None:
    """A title in another script ends nothing in a traceback."""
    origin = git_server.seed("acme", "shop")
    words = ["--session", "demo", "--repo-url", origin.url, "--user-request", "Größe ändern"]
    ended = run("run", "init-session", *words, **env, PYTHONIOENCODING="ascii:strict")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\xf6" in ended.stdout


def test_gh_is_asked_for_the_token_of_the_host(
    env: dict[str, str], origin: Repository, git_server: GitServer, tmp_path: Path
) -> None:
    """With --gh the token is what GitHub's own command line has."""
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/asked"\necho {WRITE_TOKEN}\n')
    gh.chmod(0o755)
    changes = {"GITHUB_TOKEN": "", "PATH": f"{tmp_path}:{env['PATH']}"}
    ended = run(*init(origin), "--gh", **(env | changes))
    assert ended.returncode == 0, ended.stderr
    host = git_server.origin.partition("://")[2]
    assert (tmp_path / "asked").read_text() == f"auth token --hostname {host}\n"


@pytest.mark.parametrize(
    ("script", "said"), [(None, "not installed"), ("echo no oauth token >&2; exit 1", "no oauth token")]
)
def test_gh_that_has_no_token_is_wrong_use(
    env: dict[str, str], tmp_path: Path, script: str | None, said: str
) -> None:
    """What it says is passed on."""
    if script:
        (tmp_path / "gh").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "gh").chmod(0o755)
    ended = run("run", "commit-and-push", "--session", "s", "--gh", **(env | {"PATH": str(tmp_path)}))
    assert ended.returncode == 2
    assert said in ended.stderr


def test_without_the_server_an_address_is_needed(env: dict[str, str], tmp_path: Path) -> None:
    """A sentence says what to install, or what to say."""
    ended = run("run", "commit-and-push", "--session", "s", **env, **hide_package("pygit2", tmp_path))
    assert ended.returncode == 2
    assert "pip install 'github-worker[server]'" in ended.stderr
    assert "--url" in ended.stderr


def test_a_folder_of_a_strangers_is_not_imported_from(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that is started has the tokens: no module beside a stranger's code is taken for ours."""
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    command = [f"{sys.prefix}/bin/github-worker", "run", "commit-and-push", "--session", "none"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert "session_not_found" in ended.stdout, ended.stderr


def test_a_terminal_shows_the_stages_and_the_result(env: dict[str, str], origin: Repository) -> None:
    """Each stage is ticked off, in colours, and the result stands below."""
    status, sent = run_in_terminal(*init(origin), **env)
    assert status == 0
    assert "\033[32m✓\033[0m Cloning acme/shop" in sent
    assert "Done in" in sent
    assert "webedt/add-dark-mode-toggle-demo" in sent
    assert sent.count("\033[?25l") == sent.count("\033[?25h")  # the cursor is back


def test_no_color_means_plain_lines(env: dict[str, str], origin: Repository) -> None:
    """Also in a terminal."""
    status, sent = run_in_terminal(*init(origin), **env, NO_COLOR="1")
    assert status == 0
    assert "\033" not in sent
    assert "cloning" in sent


def test_a_terminal_without_rich_is_told_what_to_install(
    env: dict[str, str], origin: Repository, tmp_path: Path
) -> None:
    """A sentence, before anything is done."""
    status, sent = run_in_terminal(*init(origin), **env, **hide_package("rich", tmp_path))
    assert status == 2
    assert "pip install 'github-worker[cli]'" in sent
    assert set(origin.branches()) == {"main"}


def wait_until_readable(descriptor: int) -> None:
    """Block until a process is gone, whose descriptor this is."""
    assert select.select([descriptor], [], [], 30)[0]
    os.close(descriptor)
