"""The files and folders that a commit is of, named as they are: `git --literal-pathspecs`."""

from __future__ import annotations

import os
from collections.abc import Iterable

from github_worker.git.patterns import folders_above


class Pathspec:
    """Selects what it names, and what is below."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(map(os.fsencode, names))

    def selects(self, path: bytes) -> bool:
        """Tell whether a file is one of those that are named, or below one."""
        return path in self._names or any(folder in self._names for folder in folders_above(path))

    def list_missing(self, paths: Iterable[bytes]) -> list[str]:
        """Return the names that select none of the paths."""
        missing = set(self._names)
        for path in paths:
            missing -= {path, *folders_above(path)}
        return sorted(map(os.fsdecode, missing))
