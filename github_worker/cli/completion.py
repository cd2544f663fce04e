"""`github-worker completion`: prints what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
import sys

from github_worker.cli.command import DONE, Call, Subparsers, add_command

_SHELLS = ("bash", "zsh", "fish")


def register(commands: Subparsers, root: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "completion",
        "print what a shell needs to complete commands and options",
        example='eval "$(github-worker completion bash)"      # in ~/.bashrc',
        execute=execute,
    )
    parser.add_argument("shell", choices=_SHELLS, help="the shell that is to complete")
    parser.set_defaults(root=root)


def execute(call: Call) -> int:
    """Print the script."""
    import shtab  # noqa: PLC0415 (an extra)

    sys.stdout.write(shtab.complete(call.options.root, shell=call.options.shell) + "\n")
    return DONE
