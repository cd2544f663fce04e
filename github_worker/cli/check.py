"""`github-worker check`: says of each part of the configuration whether it works."""

from __future__ import annotations

from github_worker.cli.command import Call, Subparsers, add_command

_TOKENS = """
GITHUB_TOKEN, if it is set, is tried on GitHub's API and on the repository; a worker is sent one with each
request, and needs none. A probe is saved in the session store, and deleted."""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "check",
        "say what of the configuration works, and what does not",
        example=f"STORAGE_URL=s3://my-bucket/sessions github-worker check\n{_TOKENS}",
        execute=execute,
        extra="server",
    )
    parser.add_argument("--repo-url", metavar="URL", help="a repository to ask for its branches")


def execute(call: Call) -> int:
    """Check everything; return the exit status."""
    from github_worker.cli.findings import check_all  # noqa: PLC0415 (it needs the server's packages)

    return check_all(call)
