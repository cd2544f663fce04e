"""What libgit2 may see of a session, and what it never does."""

from __future__ import annotations

import pytest

from github_worker.archive.quarantine import Kind, find_quarantined_repository, in_tree

GIT = b"workspace/workspace/app/.git"

SEEN = [
    (b"workspace/.session-metadata.json", Kind.FILE),
    (b"workspace/workspace/app/src/main.py", Kind.FILE),
    (b"workspace/workspace/app/link", Kind.LINK),
    (b"workspace/workspace/app/.gitignore", Kind.FILE),
    (b"workspace/workspace/app/.github/workflows", Kind.FOLDER),
    (b"workspace/workspace/app/digit/legit.git", Kind.FOLDER),
    (b".claude/settings.json", Kind.FILE),
    (GIT, Kind.FOLDER),
    *(
        (GIT + b"/" + name, Kind.FILE)
        for name in (
            b"HEAD",
            b"ORIG_HEAD",
            b"MERGE_MSG",
            b"index",
            b"packed-refs",
            b"shallow",
            b"refs/heads/feature/x",
            b"refs/remotes/origin/\xff",
            b"logs/HEAD",
            b"info/exclude",
            b"objects/ab/" + b"c" * 38,
            b"objects/pack/pack-" + b"a" * 40 + b".pack",
            b"objects/pack/pack-" + b"a" * 40 + b".idx",
        )
    ),
    *((GIT + b"/" + name, Kind.FOLDER) for name in (b"refs/heads", b"logs", b"info", b"objects/pack")),
]

UNSEEN = [
    *(
        (GIT + b"/" + name, Kind.FILE)
        for name in (
            b"config",
            b"CONFIG",
            b"config.worktree",
            b"commondir",
            b"gitdir",
            b"hooks/pre-commit",
            b"objects/info/alternates",
            b"objects/info/commit-graph",
            b"objects/pack/multi-pack-index",
            b"objects/pack/pack-1.keep",
            b"objects/pack/pack-1.promisor",
            b"objects/ab/" + b"c" * 37,
            b"objects/ab/tmp_obj_x",
            b"modules/x/HEAD",
            b"worktrees/x/gitdir",
            b"HEAD.lock",
            b"HEAD\n",
            b"refs/heads/x.lock",
            b"refs/.git/config",
            b"unheard-of",
        )
    ),
    *((GIT + b"/" + name, Kind.FOLDER) for name in (b"hooks", b"objects/info", b"config", b"HEAD")),
    *((GIT + name, Kind.LINK) for name in (b"", b"/HEAD", b"/objects", b"/refs/heads/x")),
    (GIT, Kind.FILE),
    (b"workspace", Kind.LINK),
    (b"workspace/workspace", Kind.LINK),
    (b"workspace/workspace/app", Kind.LINK),
    (b"workspace/.session-metadata.json", Kind.LINK),
    (b"workspace/workspace/.git/HEAD", Kind.FILE),
    (b"workspace/workspace/.git/.git/HEAD", Kind.FILE),
    (b"workspace/.git", Kind.FOLDER),
    (b".git/HEAD", Kind.FILE),
    (b"workspace/workspace/app/vendor/.git/HEAD", Kind.FILE),
    (b"workspace/workspace/app/.GIT/HEAD", Kind.FILE),
    (b"workspace/workspace/app/git~1/config", Kind.FILE),
    (b"workspace/workspace/app/.git./config", Kind.FILE),
    (b"workspace/workspace/app/.git::$INDEX_ALLOCATION/config", Kind.FILE),
]


@pytest.mark.parametrize(("path", "kind"), SEEN)
def test_what_git_needs_is_in_the_tree(path: bytes, kind: Kind) -> None:
    """The files of the worktree, and the plain files that commits are made of, are seen."""
    assert in_tree(path, kind)


@pytest.mark.parametrize(("path", "kind"), UNSEEN)
def test_what_could_turn_git_is_quarantined(path: bytes, kind: Kind) -> None:
    """Config, hooks, links, other repositories and whatever is not known are not seen."""
    assert not in_tree(path, kind)


@pytest.mark.parametrize(
    ("path", "kind", "folder"),
    [
        (b"workspace/workspace/app/vendor/.git/HEAD", Kind.FILE, b"workspace/workspace/app/vendor"),
        (b"workspace/workspace/app/vendor/.git", Kind.FILE, b"workspace/workspace/app/vendor"),
        (GIT, Kind.FILE, b"workspace/workspace/app"),
        (GIT, Kind.LINK, b"workspace/workspace/app"),
        (b".git/HEAD", Kind.FILE, b""),
        (GIT, Kind.FOLDER, None),
        (GIT + b"/config", Kind.FILE, None),
        (GIT + b"/modules/x/.git", Kind.FILE, None),
        (b"workspace/workspace/app/.GIT", Kind.FOLDER, None),
        (b"workspace/workspace/app/x.git/HEAD", Kind.FILE, None),
    ],
)
def test_a_repository_that_is_not_seen_is_named(path: bytes, kind: Kind, folder: bytes | None) -> None:
    """The folder of a nested repository is known, and the session's own if its `.git` is no folder."""
    assert find_quarantined_repository(path, kind) == folder
