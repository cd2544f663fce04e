"""What is named: the changes of a commit, the commits of a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from github_worker.changes import Change

_LARGE_FILES = 5
_LARGE_LINES = 100

_LOCK_FILE = re.compile(
    r"(?:^|/)(?:[^/]*[.-]lock(?:\.(?:json|yaml|hcl))?|npm-shrinkwrap\.json|bun\.lockb|go\.sum"
    r"|packages\.lock\.json|Package\.resolved|gradle\.lockfile)$",
    re.IGNORECASE,
)
_GENERATED = re.compile(
    r"(?:^|/)(?:dist|node_modules|vendor|third_party|__snapshots__|__pycache__|\.next|\.nuxt)/"
    r"|\.min\.(?:js|css|mjs)$|\.(?:map|snap|svg|ipynb)$|\.bundle\.js$"
    r"|\.pb\.(?:go|cc|h)$|_pb2(?:_grpc)?\.pyi?$|\.g\.dart$|\.generated\.\w+$|\.designer\.cs$",
    re.IGNORECASE,
)


class CommitContext(Struct, frozen=True):
    """What a commit's message is made from.

    `patches` are paths with their unified diffs. They are taken one by one in the event loop's thread, no
    more of them than the prompt has room for; what taking them raises comes through. `recent_subjects` are
    those of the branch's last commits, newest first.
    """

    changes: tuple[Change, ...]
    patches: Iterable[tuple[str, str]]
    recent_subjects: tuple[str, ...]


class PullRequestContext(Struct, frozen=True):
    """What a pull request's title and body are made from; `messages` are its commits', oldest first."""

    messages: tuple[str, ...]
    changes: tuple[Change, ...]
    patches: Iterable[tuple[str, str]]
    recent_titles: tuple[str, ...] = ()


def is_large(changes: tuple[Change, ...]) -> bool:
    """Tell whether a change needs more than a subject to be described."""
    return len(changes) > _LARGE_FILES or sum(change.lines for change in changes) > _LARGE_LINES


def is_generated(path: str) -> bool:
    """Tell whether a program wrote the file, so that its diff says nothing that another file's does not."""
    return bool(_LOCK_FILE.search(path) or _GENERATED.search(path))


def printable(path: str) -> str:
    """Return the path as one line: with escapes where it holds a newline or other controls."""
    return path if path.isprintable() else ascii(path)
