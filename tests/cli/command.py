"""The command as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "github_worker")


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [*COMMAND, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def hide_package(name: str, folder: Path) -> dict[str, str]:
    """Return an environment in which a package is not installed."""
    missing = f"raise ModuleNotFoundError('No module named {name}', name='{name}')"
    (folder / f"{name}.py").write_text(missing)
    return {"PYTHONPATH": str(folder)}
