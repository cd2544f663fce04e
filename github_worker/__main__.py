"""The command line. Nothing else reads the environment."""

from __future__ import annotations

import argparse
import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence

from github_worker import __version__
from github_worker.errors import ConfigurationError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `github-worker`; return the exit status."""
    parser = argparse.ArgumentParser(prog="github-worker", description="A single-job git worker.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="answer one job over HTTP, then exit; the environment configures it")
    parser.parse_args(arguments)
    return serve()


def serve() -> int:
    """Serve one job and end the process; return only if it could not start."""
    # As a container's first process this one has no default action for signals.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # memory holds tokens
    # What is imported stays: until the worker is ready the collector would only cost a tenth of the start.
    gc.disable()
    from github_worker import logs, worker  # noqa: PLC0415
    from github_worker.jobs import Timeouts  # noqa: PLC0415
    from github_worker.settings import from_env  # noqa: PLC0415

    try:
        settings = from_env(os.environ)
        logs.configure(settings.log_level, settings.log_format)
        worker.serve(settings, worker.LazyOperations(settings), Timeouts())
    except ConfigurationError as error:
        print(f"github-worker: {error}", file=sys.stderr)  # noqa: T201 (this is the command line)
        return 2
    return 1


if __name__ == "__main__":
    sys.exit(main())
