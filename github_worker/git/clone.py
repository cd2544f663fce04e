"""Cloning: which branch, then the fetch, then the files."""

from __future__ import annotations

from msgspec import Struct

from github_worker.git.remote import RemoteHeads
from github_worker.git.repository import Repository

_UNBORN = "main"  # what an empty repository is given when it names nothing itself


class Choice(Struct, frozen=True):
    """The branch to clone; `at` is None in an empty repository, `missing` was asked for in vain.

    `default` is the remote's own, if it has one.
    """

    branch: str
    at: str | None
    missing: str | None = None
    default: str | None = None


def choose(heads: RemoteHeads, asked: str | None) -> Choice:
    """Choose the branch asked for, or else the remote's default."""
    if asked and asked in heads.branches:
        return Choice(asked, heads.branches[asked], default=heads.default)
    if not heads.branches:
        return Choice(asked or heads.default or _UNBORN, None, default=heads.default)
    default = heads.default or _UNBORN
    if default not in heads.branches:
        default = min(heads.branches)
    return Choice(default, heads.branches[default], missing=asked, default=heads.default)


def fetch(repository: Repository, choice: Choice, *, depth: int | None, all_branches: bool) -> None:
    """Fetch the chosen branch, or all of them, and put HEAD on it; the files come with `check_out`."""
    if choice.at is not None or all_branches:
        repository.remote.fetch(None if all_branches else choice.branch, depth=depth or 0)
    (repository.folder / ".git/FETCH_HEAD").unlink(missing_ok=True)  # a clone of git's has none
    why = f"clone: from {repository.remote.url}"
    repository.start(choice.branch, None)
    if at := repository.tracked(choice.branch):
        repository.point(choice.branch, at, why)
    if choice.default and repository.tracked(choice.default):
        repository.default_to(choice.default, why)
