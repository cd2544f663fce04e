"""Where a member of the archive lies: in `tree`, which libgit2 may see, or `aside`, which it never does.

Paths are bytes without a leading `./`. An allow-list: of a repository, only the plain files that git needs
to read and write commits are in the tree. Its config, hooks, links, alternates, nested repositories and all
that is not known are kept aside, and go back into the archive as they came.
"""

from __future__ import annotations

import re
from enum import Enum, auto


class Kind(Enum):
    """What a path is; devices and pipes are never made on disk and have no place."""

    FILE = auto()
    FOLDER = auto()
    LINK = auto()


WORKSPACE = b"workspace"
METADATA = b"workspace/.session-metadata.json"
REPOSITORIES = b"workspace/workspace"

# `.git` in the spellings that git protects (`git~1`, `.GIT`, `.git. `, `.git::$INDEX_ALLOCATION`)
_DOT_GIT = re.compile(rb"(?i)(?:^|/)(?:\.git|git~1)[. ]*(?::[^/]*)?(?=/|\Z)")
_REPOSITORY = re.compile(rb"workspace/workspace/[^/]+/\.git(?:/(.*))?", re.DOTALL)
# What the worker itself opens must not be a link.
_OPENED = re.compile(rb"workspace(?:/\.session-metadata\.json|/workspace(?:/[^/]+)?)?")
_FOLDERS = re.compile(rb"(?:refs|logs)(?:/.+)?|info|objects(?:/(?:[0-9a-f]{2}|pack))?", re.DOTALL)
_FILES = re.compile(
    rb"HEAD|ORIG_HEAD|FETCH_HEAD|MERGE_HEAD|MERGE_MSG|MERGE_MODE|MERGE_RR|AUTO_MERGE|SQUASH_MSG"
    rb"|CHERRY_PICK_HEAD|REVERT_HEAD"
    rb"|packed-refs|shallow|index|info/(?:exclude|attributes)"
    rb"|(?:refs|logs)/.+(?<!\.lock)"
    rb"|objects/(?:[0-9a-f]{2}/[0-9a-f]{38}|pack/pack-[^/]+\.(?:pack|idx))",
    re.DOTALL,
)


def in_tree(path: bytes, kind: Kind) -> bool:
    """Tell whether libgit2 may see a path of this kind."""
    if b"git" not in path.lower() or not (dot_gits := _DOT_GIT.findall(path)):
        return kind is not Kind.LINK or not _OPENED.fullmatch(path)
    match = _REPOSITORY.fullmatch(path)
    if match is None or len(dot_gits) > 1:
        return False
    inside: bytes | None = match[1]
    if kind is Kind.FOLDER:
        return inside is None or _FOLDERS.fullmatch(inside) is not None
    return kind is Kind.FILE and inside is not None and _FILES.fullmatch(inside) is not None


def is_in_worktree(path: bytes) -> bool:
    """Tell whether a file of the tree may be a file of a repository's worktree."""
    return path.startswith(REPOSITORIES + b"/") and b"/.git/" not in path


def misnamed(path: bytes) -> bytes | None:
    """Return the part of a path that git takes for a `.git` though it is spelled otherwise."""
    dot_git = _DOT_GIT.search(path) if b"git" in path.lower() else None
    return None if dot_git is None or dot_git[0].lstrip(b"/") == b".git" else path[: dot_git.end()]


def repository_aside(path: bytes, kind: Kind) -> bytes | None:
    """Return the folder whose `.git` is not in the tree, if `path` is that `.git` or lies in it.

    Such a folder is a nested repository, or the session's own one when its `.git` is a file or a link.
    """
    dot_git = _DOT_GIT.search(path) if b".git" in path else None
    if dot_git is None or dot_git[0].lstrip(b"/") != b".git":
        return None
    if in_tree(path[: dot_git.end()], kind if dot_git.end() == len(path) else Kind.FOLDER):
        return None
    return path[: dot_git.start()]
