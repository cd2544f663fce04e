"""Files of rules that are links: git does not read what they lead to, so libgit2 must not see them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_HIDDEN = ".git/github-worker-hidden-"


@contextmanager
def hidden(folder: Path, links: Iterable[str]) -> Iterator[set[str]]:
    """Take those of `links` that are there out of a worktree for the block, and yield which."""
    found = sorted(link for link in links if (folder / link).is_symlink())
    places = [(folder / link, folder / f"{_HIDDEN}{number}") for number, link in enumerate(found)]
    for place, aside in places:
        os.rename(place, aside)
    try:
        yield set(found)
    finally:
        for place, aside in places:
            os.rename(aside, place)
