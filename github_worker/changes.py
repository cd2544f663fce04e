"""What a commit changes, file by file: the words that git and naming share."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

ChangeStatus = Literal["A", "M", "D", "R", "C", "T"]  # git-diff(1), --name-status


class Change(Struct, frozen=True, kw_only=True):
    """One file of a commit; `old_path` is where it was renamed or copied from, the rest counts lines."""

    status: ChangeStatus
    path: str
    old_path: str | None = None
    insertions: int = 0
    deletions: int = 0
    binary: bool = False

    @property
    def lines(self) -> int:
        """How many lines were added or removed."""
        return self.insertions + self.deletions
