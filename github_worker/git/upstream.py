"""The branch's own commits: those that the remote's branch never had, by git's rules for a rebase."""

from __future__ import annotations

from collections.abc import Iterator

import pygit2
from pygit2.enums import SortMode

from github_worker.git.repository import Repository

_SPACES = b" \t\r\n"
_NO_COMMIT = "0" * 40

Patch = tuple[object, ...]


def missing(repository: Repository, branch: str, onto: str) -> list[pygit2.Commit]:
    """Return the branch's commits to put on top of `onto`, oldest first.

    Merges are left out, what they merged is not; so is what `onto` has as a commit of its own that changes
    the same, and what the remote's branch had once and dropped.
    """
    tip = repository.tip(branch)
    if tip is None:
        return []
    since = _fork_point(repository, branch, tip, onto) or onto
    commits = list(_walk(repository, tip, since))
    applied = _applied(repository, commits, _walk(repository, since, tip))
    return [commit for commit in commits if commit.id not in applied]


def parent_tree(repository: Repository, commit: pygit2.Commit) -> pygit2.Tree:
    """Return the tree that a commit changed, an empty one for the first."""
    if commit.parents:
        return commit.parents[0].tree
    libgit2 = repository.libgit2
    return libgit2[libgit2.TreeBuilder().write()].peel(pygit2.Tree)


def _walk(repository: Repository, tip: str, hidden: str) -> Iterator[pygit2.Commit]:
    walker = repository.libgit2.walk(tip, SortMode.TOPOLOGICAL | SortMode.REVERSE)
    walker.hide(hidden)
    return (commit for commit in walker if len(commit.parent_ids) < 2)


def _fork_point(repository: Repository, branch: str, tip: str, onto: str) -> str | None:
    """Return where the branch left the remote's one, if that has dropped the commit since.

    The reference log knows what the remote's branch was at; its last entry is the fetch of `onto`.
    """
    seen = [oid for oid in _history(repository, branch, onto) if oid in repository.libgit2]
    if not seen:
        return None
    base = repository.libgit2.merge_base_many([tip, *seen])
    point = None if base is None else str(base)
    return point if point in seen and not repository.is_ancestor(point, onto) else None


def _history(repository: Repository, branch: str, onto: str) -> list[str]:
    """Return what the remote's branch was at before `onto` was fetched."""
    reference = repository.libgit2.references.get(f"refs/remotes/origin/{branch}")
    log = list(reference.log()) if reference else []
    if not log:
        return []
    fetched = str(log[0].oid_new) == onto
    oids = [str(entry.oid_new) for entry in log[fetched:]] + [str(log[-1].oid_old)]
    return [oid for oid in dict.fromkeys(oids) if oid != _NO_COMMIT]


def _applied(
    repository: Repository, commits: list[pygit2.Commit], others: Iterator[pygit2.Commit]
) -> set[pygit2.Oid]:
    """Return the commits whose change is that of one of the others, apart from spaces and line numbers."""
    diffs = [(commit.id, _diff(repository, commit)) for commit in commits]
    waiting = [(oid, diff, _names(diff)) for oid, diff in diffs if len(diff)]
    sizes = {len(diff) for _, diff, _ in waiting}
    found: set[pygit2.Oid] = set()
    for other in others if waiting else ():
        diff = _diff(repository, other)
        if len(diff) in sizes and (alike := [one for one in waiting if one[2] == _names(diff)]):
            patches = _patches(diff)
            found |= {oid for oid, one, _ in alike if _patches(one) == patches}
    return found


def _diff(repository: Repository, commit: pygit2.Commit) -> pygit2.Diff:
    return parent_tree(repository, commit).diff_to_tree(commit.tree)


def _names(diff: pygit2.Diff) -> list[Patch]:
    return [
        (_squeezed(delta.new_file.raw_path), int(delta.old_file.mode), int(delta.new_file.mode))
        for delta in diff.deltas
    ]


def _patches(diff: pygit2.Diff) -> list[Patch]:
    """Return what identifies a change, as patch-ids.c and `diff_get_patch_id` do: lines without spaces."""
    return [_identity(patch) for patch in diff if patch is not None]


def _identity(patch: pygit2.Patch) -> Patch:
    delta = patch.delta
    if delta.is_binary:
        return delta.old_file.id, delta.new_file.id
    lines = (line for hunk in patch.hunks for line in hunk.lines if line.origin in " +-")
    return (_squeezed(b"".join(line.origin.encode() + line.raw_content for line in lines)),)


def _squeezed(text: bytes) -> bytes:
    return text.translate(None, _SPACES)
