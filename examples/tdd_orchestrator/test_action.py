"""The GitHub Action: its script as a runner starts it, in a checkout of a pull request's branch."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from examples.lab import Lab
from examples.tdd_orchestrator.test_watched import DOCUMENT, ROOT, project
from tests.support.repositories import git, with_token

SCRIPT = ROOT / "examples" / "tdd_orchestrator" / "action.sh"


@dataclass(frozen=True)
class Runner:
    """A runner that has the branch `feature` checked out."""

    lab: Lab
    folder: Path

    @property
    def checkout(self) -> Path:
        """Where the branch is."""
        return self.folder / "checkout"

    def push(self, path: str, text: str) -> str:
        """Let the pull request change a file; return the commit."""
        self.lab.repository.commit({path: text}, f"Write {path}", branch="feature")
        git("-C", self.checkout, "pull", "--quiet", env=with_token(self.lab.token))
        return git("-C", self.checkout, "rev-parse", "HEAD").decode().strip()

    async def run(self, head: str, before: str = "") -> tuple[int, str, str]:
        """Run the script; return its exit status, its words and the action's output."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        output = self.folder / "output"
        output.write_text("")
        event = {"BEFORE": before, "BASE": "origin/main", "HEAD": head, "BRANCH": "feature"}
        mine = {"DOCUMENTS": "prd/*.md", "GITHUB_TOKEN": self.lab.token, "REPOSITORY_URL": self.lab.repo_url}
        origin = self.lab.forge.origin
        runner = {"RUNNER_TEMP": self.folder, "GITHUB_OUTPUT": output, "GITHUB_SERVER_URL": origin}
        system = {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT, "HOME": self.folder, "PORT": port}
        known = event | mine | runner | system | {"GITHUB_API_URL": origin}
        process = await asyncio.create_subprocess_exec(
            *(SCRIPT, Path(sys.executable).parent),
            cwd=self.checkout,
            env={name: str(value) for name, value in known.items()},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode(), output.read_text()


@pytest.fixture
def runner(lab: Lab, tmp_path: Path) -> Runner:
    """Return a runner on a pull request that has no commit yet."""
    folder = tmp_path / "runner"
    lab.repository.branch("feature")
    git("clone", "--quiet", "--branch=feature", lab.repo_url, folder / "checkout", env=with_token(lab.token))
    project(folder / "checkout")
    return Runner(lab, folder)


async def test_a_document_that_is_pushed_becomes_a_pull_request(runner: Runner) -> None:
    """It is for the branch that the document is on; a document of any name is run, another file not."""
    runner.push("README.md", "# Not a document\n")
    head = runner.push("prd/a $(touch x) name.md", DOCUMENT)
    status, said, output = await runner.run(head)
    assert status == 0, said
    (made,) = runner.lab.pull_requests
    assert made.base == "feature"
    assert output.splitlines() == [
        *("pull-requests<<END", f"https://github.com/octocat/hello-world/pull/{made.number}", "END")
    ]
    assert runner.lab.token not in said


async def test_what_was_run_before_is_not_run_again(runner: Runner) -> None:
    """Of a later push only what that has changed is run; after a forced one, all that the branch has."""
    before = runner.push("prd/feature.md", DOCUMENT)
    head = runner.push("README.md", "# Changed\n")
    assert await runner.run(head, before) == (0, "No document has changed.\n", "")
    (runner.checkout / ".tdd" / "config.toml").unlink()
    status, said, _ = await runner.run(head, before="0" * 40)
    assert status == 1
    assert "config.toml is not there" in said


def test_it_hands_over_what_a_pull_request_says_by_the_environment_alone() -> None:
    """Nothing that somebody may have written is put into the text of a command."""
    steps = yaml.safe_load((SCRIPT.parent / "action.yml").read_text())["runs"]["steps"]
    assert [step["run"] for step in steps if "${{" in step["run"]] == []
    assert os.access(SCRIPT, os.X_OK)
