"""The entry point of the command line. Nothing else reads the environment."""

from __future__ import annotations

import argparse
import gc
import io
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence

from github_worker import __version__
from github_worker.errors import ConfigurationError

_OTLP_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "requests")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `github-worker`; return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="github-worker", description="Does the git work of AI coding sessions."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    _add_serve(commands)
    if given[:1] != ["serve"]:  # which starts a tenth sooner without the others
        from github_worker.cli.commands import add_commands  # noqa: PLC0415

        add_commands(commands, parser)
    options = parser.parse_args(given)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    if options.command == "serve":
        chosen = {"WORKERS": options.workers, "QUEUE": options.queue}
        return serve({name: text for name, text in chosen.items() if text is not None})
    return _execute(options, given)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serving = commands.add_parser(
        "serve",
        help="answer over HTTP; the environment configures it",
        description="answer over HTTP; the environment configures it",
        epilog="example:\n  PORT=5002 STORAGE_URL=s3://my-bucket/sessions github-worker serve --workers 4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serving.add_argument(
        "--workers", metavar="N", help="keep serving, N jobs at once; without it one job, then exit"
    )
    serving.add_argument("--queue", metavar="M", help="how many more callers may wait for their turn (100)")


def _execute(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Execute a command of `arguments`; return the exit status."""
    from github_worker.cli.command import Call, CommandFailed  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of ASCII shows the rest as escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        status: int = options.execute(Call(options, tuple(arguments), os.environ))
    except ModuleNotFoundError as error:
        return tell_extra(options.extra, error)
    except (CommandFailed, ConfigurationError) as error:
        print(f"github-worker: {error}", file=sys.stderr)  # noqa: T201 (this is the command line)
        return error.status if isinstance(error, CommandFailed) else 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read has enough, and Python would flush once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def serve(options: Mapping[str, str]) -> int:
    """Serve one job and end the process, or many until a signal; `options` are variables too."""
    # As a container's first process this one has no default action for signals.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # memory holds tokens
    # What is imported stays: until the worker is ready the collector would only cost a tenth of the start.
    gc.disable()
    try:
        from github_worker import logs, worker  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return tell_extra("server", error)
    from github_worker.jobs import Timeouts  # noqa: PLC0415
    from github_worker.settings import from_env  # noqa: PLC0415

    try:
        settings = from_env({**os.environ, **options})
        if settings.otlp is not None and (missing := find_missing(_OTLP_PACKAGES)):
            return tell_extra("otel", ModuleNotFoundError(name=missing))
        logs.configure(settings.log_level, settings.log_format)
        if settings.workers is not None:
            from github_worker.supervisor import Supervisor  # noqa: PLC0415

            return Supervisor(settings, Timeouts(), lambda: worker.WarmOperations(settings)).run()
        worker.serve(settings, worker.LazyOperations(settings), Timeouts())
    except ConfigurationError as error:
        print(f"github-worker: {error}", file=sys.stderr)  # noqa: T201 (this is the command line)
        return 2
    return 1


def find_missing(packages: Sequence[str]) -> str | None:
    """Return the first of the packages that is not installed, without importing it."""
    import importlib.util  # noqa: PLC0415 (most workers have no collector)

    for name in packages:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return name
    return None


def tell_extra(extra: str, error: ModuleNotFoundError) -> int:
    """Say which extra has the package that is missing; return the exit status."""
    if (error.name or "").startswith("github_worker"):
        raise error
    print(  # noqa: T201 (this is the command line)
        f"github-worker: this needs the package {error.name}, which is not installed: "
        f"pip install 'github-worker[{extra}]'",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
