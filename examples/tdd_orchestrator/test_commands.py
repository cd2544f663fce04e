"""The command line where nothing is run: what it shows and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = (
    "# Greet\n\nFor visitors.\n\n## First\n\n### By night\n\nSay good night.\n\n## Then\n\n### By day\n"
)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(Path.cwd())}
    line = [sys.executable, "-m", "examples.tdd_orchestrator", *arguments]
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_ingest_shows_the_tasks_by_their_phases(tmp_path: Path) -> None:
    """Nothing is made and nothing is asked for."""
    (tmp_path / "feature.md").write_text(DOCUMENT)
    shown = command(tmp_path, "ingest", "feature.md")
    assert (shown.returncode, shown.stdout) == (
        *(0,),
        "Greet\n\nFor visitors.\n\nPhase 0\n  - By night: Say good night.\n\nPhase 1\n  - By day\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["feature.md"]


def test_init_shows_what_it_wrote(tmp_path: Path) -> None:
    """The settings are there, and the store beside them is no part of the repository."""
    (tmp_path / "go.mod").touch()
    shown = command(tmp_path, "init", "--project", ".")
    assert shown.returncode == 0
    assert (tmp_path / ".tdd" / "config.toml").read_text() in shown.stdout
    assert "*.db*" in (tmp_path / ".tdd" / ".gitignore").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["serve", "--host", "0.0.0.0"], "TDD_API_KEY must be set to listen on 0.0.0.0"),  # noqa: S104
        (["registry", "serve", "--host", "0.0.0.0"], "TDD_API_KEY must be set"),  # noqa: S104
        (["serve"], "GITHUB_TOKEN must be set"),
        (["run-prd", "feature.md", "--repo", "https://x/y/z"], "GITHUB_TOKEN must be set"),
        (["run-prd", "none.md", "--repo", "https://x/y/z"], "none.md: "),
        (["run-prd", "feature.md", "--repo", "https://x/y/z", "--project", "/none"], "init --project"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, arguments: list[str], reason: str) -> None:
    """The exit status is 1, and there is no traceback."""
    (tmp_path / "feature.md").write_text(DOCUMENT)
    command(tmp_path, "init")
    refused = command(tmp_path, *arguments)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert reason in refused.stderr
    assert refused.stderr.count("\n") == 1
