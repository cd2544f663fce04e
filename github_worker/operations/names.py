"""Names of branches and session paths: pure."""

from __future__ import annotations

import re
from collections.abc import Container
from itertools import count

from github_worker.contract import RepositoryUrl

_SUFFIX_LENGTH = 8


def session_suffix(session_id: str) -> str:
    """Return the last eight characters of a session's id, as a branch name may end."""
    return re.sub(r"[^A-Za-z0-9]+", "-", session_id[-_SUFFIX_LENGTH:]).strip("-")


def branch_name(prefix: str, slug: str, session_id: str) -> str:
    """Return `webedt/add-dark-mode-abc12345`."""
    return f"{prefix}{slug}-{session_suffix(session_id)}"


def is_branch_of(name: str, prefix: str, session_id: str) -> bool:
    """Tell whether a branch was named for this session."""
    return (
        re.fullmatch(rf"{re.escape(prefix)}.+-{re.escape(session_suffix(session_id))}(-[0-9]+)?", name)
        is not None
    )


def is_numbered(name: str, wanted: str) -> bool:
    """Tell whether `name` is the one that is wanted, or what `free` made of it."""
    return re.fullmatch(rf"{re.escape(wanted)}(-[0-9]+)?", name) is not None


def free(name: str, taken: Container[str]) -> str:
    """Return `name`, or the first of `name-2`, `name-3`, … that is not taken.

    Where one of its folders is a branch, git could not have it: then it has no folders.
    """
    if any(name[: slash.start()] in taken for slash in re.finditer("/", name)):
        name = name.replace("/", "-")
    if name not in taken:
        return name
    return next(other for number in count(2) if (other := f"{name}-{number}") not in taken)


def session_path(url: RepositoryUrl, branch: str) -> str:
    """Return `owner__repo__webedt-add-dark-mode-abc12345`."""
    return f"{url.owner}__{url.name}__{branch.replace('/', '-')}"
