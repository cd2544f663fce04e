"""The commands, in the order of `--help`.

Each is a module with a function `register`, which adds the command's parser and what it executes. What a
command needs beside the contract it imports when it is executed: `--help` is quick, and needs no extra.
"""

from __future__ import annotations

import argparse
from types import ModuleType

from github_worker.cli import check, completion, run, sessions
from github_worker.cli.command import Subparsers

COMMANDS: tuple[ModuleType, ...] = (run, sessions, check)


def add_commands(commands: Subparsers, root: argparse.ArgumentParser) -> None:
    """Add every command to `root`, the parser of `github-worker`."""
    for command in COMMANDS:
        command.register(commands)
    completion.register(commands, root)
