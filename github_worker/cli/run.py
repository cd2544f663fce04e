"""`github-worker run`: runs one job, and shows it."""

from __future__ import annotations

import argparse

from github_worker.cli.command import Call, Subparsers, add_command
from github_worker.cli.options import add_options, list_options, make_example, name_options
from github_worker.contract import REQUESTS, Request

_TOKENS = """
tokens are never given as options, which others could see. They come from the environment:
  GITHUB_TOKEN          for the git server and the forge; or --gh
  ANTHROPIC_API_KEY     for the model that writes names and messages
  GITHUB_WORKER_TOKEN   of the worker at --url
  SIGNING_KEY           an OpenSSH private key of yours, to sign commits; and SIGNING_KEY_PASSPHRASE
or from the files that GITHUB_TOKEN_FILE and so on name."""


def register(commands: Subparsers) -> None:
    """Add the command, and those of the endpoints below it."""
    example = make_example(REQUESTS["init-session"])
    parser = add_command(commands, "run", "run one job, and show it", example=example)
    endpoints = parser.add_subparsers(title="jobs", dest="endpoint", metavar="JOB", required=True)
    for name, kind in REQUESTS.items():
        endpoint = add_command(
            endpoints, name, _summarise(kind), example=make_example(kind) + "\n" + _TOKENS, execute=execute
        )
        add_options(endpoint, kind)
        _add_ways(endpoint)


def execute(call: Call) -> int:
    """Run the job; return the exit status."""
    from github_worker.cli.job import run_job  # noqa: PLC0415 (it needs packages that `--help` does not)

    return run_job(call, REQUESTS[call.options.endpoint])


def _add_ways(parser: argparse.ArgumentParser) -> None:
    ways = parser.add_argument_group("how it is run")
    ways.add_argument(
        "--url",
        help="the worker to ask (GITHUB_WORKER_URL); without one, one is started here for this job",
    )
    ways.add_argument("--gh", action="store_true", help="take the token that `gh auth token` prints")
    ways.add_argument("--json", action="store_true", help="print the events, one JSON object a line")
    ways.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        default=120.0,
        help="how long to look for a worker that is free, at --url (120)",
    )


def _summarise(kind: type[Request]) -> str:
    sentence = name_options((kind.__doc__ or "").partition("\n")[0].rstrip("."), list_options(kind))
    return sentence[:1].lower() + sentence[1:]
