"""The command as a person or a container starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import github_worker
from github_worker import __version__
from tests.support.worker import Worker

EVERYWHERE = "0.0.0.0"  # noqa: S104 (for the length of a test)


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "github_worker", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False)


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


@pytest.mark.parametrize("arguments", [["serve"], ["serve", "--workers", "2"]])
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


def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    """A second worker on one port ends with a status that is not 0, and says why."""
    with Worker({"TMP_DIR": str(tmp_path)}, tmp_path / "first.log") as first:
        first.wait_until_healthy()
        ended = run("serve", HOST="127.0.0.1", PORT=str(first.port), TMP_DIR=str(tmp_path))
    assert ended.returncode not in {0, 2}
    assert "address already in use" in ended.stdout


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
