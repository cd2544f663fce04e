"""A command: how it is added to the parser, what it is handed, and how it fails."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct

from github_worker.errors import GitHubWorkerError

DONE, FAILED, WRONG_USE, NOBODY, INTERRUPTED = 0, 1, 2, 3, 130
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Call(Struct, frozen=True):
    """A command as it was given: its options, its words after `github-worker`, and the environment."""

    options: argparse.Namespace
    arguments: tuple[str, ...]
    env: Mapping[str, str]


class CommandFailed(GitHubWorkerError):
    """A command cannot be done; the message is for a person, `status` what the process exits with."""

    def __init__(self, message: str, status: int = WRONG_USE) -> None:
        super().__init__(message)
        self.status = status


def add_command(
    commands: Subparsers,
    name: str,
    sentence: str,
    *,
    example: str,
    execute: Callable[[Call], int] | None = None,
    extra: str = "cli",
) -> argparse.ArgumentParser:
    """Add a command and return its parser; `extra` is what to install where a package is missing.

    One without `execute` has commands of its own, as `run` has.
    """
    parser = commands.add_parser(
        name,
        help=escape(sentence),
        description=escape(sentence),
        epilog=escape(f"example:\n  {example}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if execute is not None:
        parser.set_defaults(execute=execute, extra=extra)
    return parser


def escape(text: str) -> str:
    """Return a text as argparse shows it as it is."""
    return text.replace("%", "%%")
