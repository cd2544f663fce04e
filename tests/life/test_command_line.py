"""The command as a person or a container starts it."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import pytest

import github_worker
from github_worker import __version__
from github_worker.web.address import explain
from tests.support.worker import Worker

EVERYWHERE = "0.0.0.0"  # noqa: S104 (for the length of a test)

WAYS = [["serve"], ["serve", "--workers", "2"]]


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "github_worker", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False)


def wait_for_answer(address: str, port: int) -> int:
    """Ask `/health` of one address until it answers, and return the status."""
    url = f"http://[{address}]:{port}/health" if ":" in address else f"http://{address}:{port}/health"
    deadline = time.monotonic() + 20
    while True:
        try:
            return httpx.get(url, trust_env=False).status_code
        except httpx.ConnectError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def test_a_wrong_setting_stops_the_start() -> None:
    """The message names the variable, and the status is not 0."""
    ended = run("serve", JOB_TIMEOUT="soon")
    assert ended.returncode == 2
    assert "JOB_TIMEOUT" in ended.stderr


def test_the_version_is_told() -> None:
    """`--version` says what is installed."""
    assert run("--version").stdout == f"github-worker {__version__}\n"


def test_a_command_is_required() -> None:
    """Without one the usage is shown."""
    ended = run()
    assert ended.returncode == 2
    assert "serve" in ended.stderr


@pytest.mark.parametrize("arguments", WAYS)
def test_an_extra_that_is_missing_is_named(tmp_path: Path, arguments: list[str]) -> None:
    """With the client's packages alone, a sentence says what to install."""
    for package in (github_worker, msgspec):
        folder = Path(str(package.__file__)).parent
        (tmp_path / folder.name).symlink_to(folder)
    command = [sys.executable, "-S", "-m", "github_worker", *arguments]  # -S: without what is installed
    ended = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("github-worker: this needs the package ")
    assert ended.stderr.endswith("pip install 'github-worker[server]'\n")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", WAYS)
def test_a_port_that_is_taken_stops_the_start(tmp_path: Path, arguments: list[str]) -> None:
    """A second worker on one port ends with a status that is not 0, and says why."""
    with Worker({"TMP_DIR": str(tmp_path)}, tmp_path / "first.log") as first:
        first.wait_until_healthy()
        ended = run(*arguments, HOST="127.0.0.1", PORT=str(first.port), TMP_DIR=str(tmp_path))
    assert ended.returncode == 1
    [line] = ended.stdout.splitlines()
    assert json.loads(line)["message"].startswith(f"PORT {first.port} is taken: another program listens")


@pytest.mark.parametrize("arguments", WAYS)
@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "is no address of this machine"), ("no host", "is no address, and no name")],
)
def test_a_host_that_cannot_be_had_stops_the_start(
    tmp_path: Path, arguments: list[str], host: str, reason: str
) -> None:
    """The one line of the log says what is wrong with it, and what is always there."""
    ended = run(*arguments, HOST=host, PORT="0", TMP_DIR=str(tmp_path))
    assert ended.returncode == 1
    [line] = ended.stdout.splitlines()
    assert json.loads(line)["message"].startswith(f"HOST {host} {reason}")
    assert "127.0.0.1" in json.loads(line)["message"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "PORT 80 is not for this user"), (errno.EMFILE, "HOST h and PORT 80 cannot be")],
)
def test_what_the_kernel_says_of_an_address_is_put_in_words(number: int, words: str) -> None:
    """Each names the variable; these two are hard to come by as root."""
    assert explain("h", 80, OSError(number, os.strerror(number))).startswith(words)


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_a_name_may_lead_to_several_addresses(tmp_path: Path, host: str) -> None:
    """The worker listens at each of them that the machine has."""
    with Worker({"TMP_DIR": str(tmp_path), "HOST": host}, tmp_path / "worker.log") as worker:
        for address in {info[4][0] for info in socket.getaddrinfo(host, worker.port)}:
            assert wait_for_answer(str(address), worker.port) == 200


@pytest.mark.parametrize("arguments", WAYS)
def test_a_scratch_folder_that_cannot_be_written_stops_the_start(arguments: list[str]) -> None:
    """One sentence has the folder, the user and the reason: not even root makes a folder in /proc."""
    ended = run(*arguments, HOST="127.0.0.1", PORT="0", TMP_DIR="/proc")
    assert ended.returncode == 2
    user = f"user {os.geteuid()} cannot make a folder"
    assert ended.stderr.startswith(f"github-worker: TMP_DIR is /proc, where {user}: ")
    assert (ended.stdout, len(ended.stderr.splitlines())) == ("", 1)


@pytest.mark.parametrize("arguments", WAYS)
def test_a_store_that_does_not_exist_stops_the_start(tmp_path: Path, arguments: list[str]) -> None:
    """Before the port is open: nobody's job is begun."""
    ended = run(*arguments, PORT="0", TMP_DIR=str(tmp_path), STORAGE_URL=f"file://{tmp_path}/store")
    assert ended.returncode == 2
    assert "STORAGE_URL names the folder" in ended.stderr
    assert "does not exist" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("store", [{}, {"STORAGE_URL": "file:///tmp"}])
def test_health_warns_of_a_store_that_does_not_last(tmp_path: Path, store: dict[str, str]) -> None:
    """The service itself comes up, says what it is, and warns if sessions are kept in its own folder."""
    env = {"TMP_DIR": str(tmp_path), "BUILD_COMMIT_SHA": "abc", **store}
    with Worker(env, tmp_path / "worker.log") as worker:
        health = worker.wait_until_healthy()
        worker.terminate()
        assert worker.wait() == 0
    assert ("warning" in health) == (not store)
    assert (health["status"], health["service"], health["workerStatus"]) == ("ok", "github-worker", "idle")
    assert (health["version"], health["build"]["commitSha"]) == (__version__, "abc")


@pytest.mark.parametrize(
    ("env", "open_to_all"),
    [
        ({"HOST": EVERYWHERE}, True),
        ({"HOST": "localhost"}, False),
        ({"HOST": "127.0.0.1"}, False),
        ({"HOST": EVERYWHERE, "GITHUB_WORKER_TOKEN": "caller-token-0123456789"}, False),
    ],
)
def test_health_and_the_log_warn_of_a_worker_that_is_open_to_all(
    tmp_path: Path, env: dict[str, str], open_to_all: bool
) -> None:
    """Without a token a worker that others can reach says so, beside what else there is to say."""
    with Worker({"TMP_DIR": str(tmp_path), "LOG_LEVEL": "warning", **env}, tmp_path / "worker.log") as worker:
        warning = worker.wait_until_healthy()["warning"]
        [line] = worker.log_lines()
    assert (line["level"], line["warning"]) == ("warning", warning)
    assert ("GITHUB_WORKER_TOKEN" in warning) == open_to_all
    assert "no session store" in warning


def test_a_link_in_place_of_the_sessions_stops_the_start(tmp_path: Path) -> None:
    """What somebody planted in TMP_DIR is not followed, and the log names the variable."""
    (tmp_path / "github-worker-sessions").symlink_to("/")
    with Worker({"TMP_DIR": str(tmp_path)}, tmp_path / "worker.log") as worker:
        assert worker.wait() == 2
        assert "TMP_DIR has github-worker-sessions" in worker.log_lines()[-1]["message"]


def test_a_broken_installation_ends_the_process(tmp_path: Path) -> None:
    """A worker that could run no job does not stay to take one."""
    (tmp_path / "anthropic.py").write_text("raise ImportError('half installed')")
    with Worker({"TMP_DIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}, tmp_path / "worker.log") as worker:
        assert worker.wait() == 1
        assert "half installed" in worker.log_lines()[-1]["exception"]
