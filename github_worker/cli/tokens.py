"""The tokens of a job: from the environment, from files, or from GitHub's own command line."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from github_worker.cli.command import CommandFailed
from github_worker.cli.options import takes
from github_worker.cli.text import clean
from github_worker.contract import RepositoryUrl, Request
from github_worker.redaction import Secret
from github_worker.settings import read_secret

_GH_PATIENCE = 30.0  # seconds


def find_worker_token(env: Mapping[str, str]) -> Secret | None:
    """Return the token that a worker wants of its callers; of two, the first."""
    given = read_secret(env, "GITHUB_WORKER_TOKEN")
    return Secret(given.reveal().partition(",")[0].strip()) if given else None


def find_credentials(
    kind: type[Request], env: Mapping[str, str], fields: Mapping[str, Any], *, gh: bool, is_local: bool
) -> dict[str, Secret]:
    """Return the secret fields of a request that there are; raise CommandFailed where it lacks a token.

    A worker elsewhere, or a GitHub App in a local one's settings, may have a token of its own.
    """
    token = _ask_gh(fields) if gh else read_secret(env, "GITHUB_TOKEN")
    may_lack_token = not is_local or "GITHUB_APP_ID" in env
    if token is None and kind.needs_token and not may_lack_token:
        raise CommandFailed(
            f"{kind.operation} needs a token: set GITHUB_TOKEN, or GITHUB_TOKEN_FILE, or say --gh"
        )
    key = read_secret(env, "ANTHROPIC_API_KEY") if takes(kind, "claude_credentials") else None
    given = {"access_token": token, "claude_credentials": key, **_find_signing_key(kind, env)}
    return {name: secret for name, secret in given.items() if secret}


def _find_signing_key(kind: type[Request], env: Mapping[str, str]) -> dict[str, Secret | None]:
    """Return a key of the caller's own; the worker's is called otherwise, and goes to no other worker."""
    names = {"signing_key": "SIGNING_KEY", "signing_key_passphrase": "SIGNING_KEY_PASSPHRASE"}
    if not takes(kind, "signing_key"):
        return {}
    return {name: read_secret(env, variable) for name, variable in names.items()}


def _ask_gh(fields: Mapping[str, Any]) -> Secret:
    """Ask `gh` for the token of the repository's host."""
    host = _find_host(fields.get("repo_url"))
    command = ["gh", "auth", "token", *(["--hostname", host] if host else [])]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_GH_PATIENCE, check=False)
    except FileNotFoundError:
        raise CommandFailed("--gh needs GitHub's command line, gh, which is not installed") from None
    except subprocess.TimeoutExpired:
        raise CommandFailed("gh auth token does not answer") from None
    if ended.returncode or not ended.stdout.strip():
        raise CommandFailed(f"gh auth token failed: {clean(ended.stderr) or 'it printed nothing'}")
    return Secret(ended.stdout.strip())


def _find_host(url: str | None) -> str | None:
    try:
        return urlsplit(RepositoryUrl.parse(url).origin).netloc if url else None
    except ValueError:  # the request's own check says so
        return None
