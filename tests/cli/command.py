"""The command as a process of its own, with a terminal or without."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

COMMAND = (sys.executable, "-m", "github_worker")


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [*COMMAND, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def start(*arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start the command."""
    command = [*COMMAND, *arguments]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_in_terminal(*arguments: str, **env: str) -> tuple[int, str]:
    """Run the command in a terminal of its own; return its exit status and all that the terminal was sent."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 90, 0, 0))
    settings = {"TERM": "xterm-256color", **env}
    command = [*COMMAND, *arguments]
    with subprocess.Popen(command, env=settings, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        sent = b""
        with suppress(OSError):  # the end of a terminal, on Linux
            while piece := os.read(master, 65536):
                sent += piece
    os.close(master)
    return process.returncode, sent.decode()


def hide_package(name: str, folder: Path) -> dict[str, str]:
    """Return an environment in which a package is not installed."""
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules[{name!r}] = None\n")
    return {"PYTHONPATH": str(folder)}
