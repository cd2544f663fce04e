"""What of a session is on the disk, and what a disk cannot say."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct, field

from github_worker.contents import Contents
from github_worker.sessions.tar import Member, Owner


class Folders(Struct, frozen=True):
    """Where a session is unpacked: libgit2 may see `tree`, and never sees `aside`."""

    tree: Path
    aside: Path

    @classmethod
    def make(cls, parent: Path) -> Folders:
        """Make both, empty and private, in `parent`."""
        folders = cls(parent / "tree", parent / "aside")
        for folder in (folders.tree, folders.aside):
            folder.mkdir(mode=0o700)
        return folders


class Kept(Struct, frozen=True):
    """How a member's header differs from what the disk says while its mode there is still `disk_mode`."""

    mode: int
    disk_mode: int
    owner: Owner
    records: dict[bytes, bytes]


def _this_process() -> Owner:
    return Owner(os.getuid(), os.getgid(), b"", b"")


class Inventory(Struct):
    """What must go back into the archive and is not on the disk; paths are bytes, as in the archive.

    `prefix` is `./` if names began so; `subsecond` says whether modification times had fractions;
    `repositories_aside` are the folders whose `.git` libgit2 does not see: nested repositories, and the
    session's own if its `.git` is a file or a link. `misnamed` are paths that git takes for a `.git` on some
    system and never adds, such as `.GIT`. `contents` says what the files had in them when they were unpacked.
    """

    owner: Owner = field(default_factory=_this_process)
    prefix: bytes = b""
    subsecond: bool = False
    kept: dict[bytes, Kept] = field(default_factory=dict)
    specials: dict[bytes, Member] = field(default_factory=dict)
    repositories_aside: set[bytes] = field(default_factory=set)
    misnamed: set[bytes] = field(default_factory=set)
    contents: Contents = field(default_factory=Contents)
