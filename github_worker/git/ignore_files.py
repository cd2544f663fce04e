"""Files of ignore rules that libgit2 1.9.7 reads for ever, found before it looks at a worktree.

Its parser does not get past a line that begins with a vertical tab or a form feed, after spaces, `!` or `/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from github_worker.errors import UnsupportedRepository
from github_worker.git.native import read_file

NAME = ".gitignore"
_ENDLESS = re.compile(rb"(?m)^(?:\xef\xbb\xbf)?[ \t\r!/]*[\x0b\x0c]")


def require_readable(worktree: Path) -> None:
    """Raise UnsupportedRepository if a worktree has a file of ignore rules that would be read for ever."""
    for file in _list_files(worktree):
        if file.is_file():
            check(str(file.relative_to(worktree)), read_file(Path(os.path.realpath(file))))


def check(name: str, rules: bytes) -> None:
    """Raise UnsupportedRepository for rules that would be read for ever."""
    if _ENDLESS.search(rules):
        raise UnsupportedRepository(
            f"{name} has a line that begins with a vertical tab or a form feed, which is not supported"
        )


def _list_files(worktree: Path) -> Iterator[Path]:
    yield worktree / ".git" / "info" / "exclude"
    for parent, folders, names in os.walk(worktree):
        if ".git" in folders:
            folders.remove(".git")
        if NAME in names:
            yield Path(parent, NAME)
