"""What every command has: an example, a place in the completion, and no part in `serve`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from github_worker.__main__ import main
from tests.cli.command import hide_package, run, start
from tests.support.worker import Worker

SHELLS = ("bash", "zsh", "fish")


@pytest.mark.parametrize("name", ["serve", "run", "sessions", "check", "completion"])
def test_the_help_of_each_command_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It can be copied: the command itself stands in it."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"github-worker {name}" in capsys.readouterr().out.partition("example:\n")[2]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_the_commands(shell: str) -> None:
    """The script names them, and the shell itself finds no fault with it, where it is installed."""
    ended = run("completion", shell)
    assert ended.returncode == 0
    assert "completion" in ended.stdout
    if found := shutil.which(shell):
        subprocess.run([found, "-n"], input=ended.stdout, text=True, check=True)


def test_bash_completes_a_command(tmp_path: Path) -> None:
    """Its beginning is enough."""
    (tmp_path / "script").write_text(run("completion", "bash").stdout)
    asked = "COMP_WORDS=(github-worker compl); COMP_CWORD=1; COMP_LINE='github-worker compl'; COMP_POINT=19"
    call = "$(complete -p github-worker | sed 's/.*-F \\([^ ]*\\) .*/\\1/')"
    program = f"source ./script; {asked}; {call} github-worker compl github-worker; echo ${{COMPREPLY[*]}}"
    answer = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["completion"]


def test_serve_imports_no_other_command(tmp_path: Path) -> None:
    """The port is open as soon as before there were any."""
    env = {"TMP_DIR": str(tmp_path), "PYTHONPROFILEIMPORTTIME": "1"}
    with Worker(env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        log = worker.log.read_text()
    assert "github_worker.settings" in log
    assert "github_worker.cli" not in log


def test_a_reader_may_have_enough() -> None:
    """A pipe that is closed at its other end is no traceback."""
    with start("check", JOB_TIMEOUT="soon") as ended:
        assert ended.stdout is not None
        ended.stdout.close()
        assert ended.stderr is not None
        assert ended.stderr.read() == ""
    assert ended.returncode == 1


def test_an_extra_that_is_missing_is_named(tmp_path: Path) -> None:
    """A sentence says what to install, where a traceback would say what was not found."""
    ended = run("completion", "bash", **hide_package("shtab", tmp_path))
    assert ended.returncode == 2
    assert "pip install 'github-worker[cli]'" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
