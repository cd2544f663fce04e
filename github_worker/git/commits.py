"""Commits: what one would change, and making it."""

from __future__ import annotations

import pygit2
from msgspec import Struct
from pygit2.enums import DeltaStatus

from github_worker.changes import Change, ChangeStatus
from github_worker.git.repository import Person, Repository

_PATCH_CHARACTERS = 64 * 1024  # the most that is kept of one file's patch, for whoever describes the commit
# What a commit ends, beside the files that libgit2 knows of (`remove_merge_branch_state` in git's branch.c).
_MERGE_FILES = ("MERGE_RR", "AUTO_MERGE", "SQUASH_MSG")
_ALL_CHARACTERS = 1024 * 1024
_STATUS: dict[DeltaStatus, ChangeStatus] = {
    DeltaStatus.ADDED: "A",
    DeltaStatus.DELETED: "D",
    DeltaStatus.RENAMED: "R",
    DeltaStatus.COPIED: "C",
    DeltaStatus.TYPECHANGE: "T",
}


class Summary(Struct, frozen=True):
    """What the index changes against HEAD: the tree it makes, the files, and their patches by path."""

    tree: str
    changes: tuple[Change, ...]
    patches: tuple[tuple[str, str], ...]

    @property
    def insertions(self) -> int:
        """How many lines are new."""
        return sum(change.insertions for change in self.changes)

    @property
    def deletions(self) -> int:
        """How many lines are gone."""
        return sum(change.deletions for change in self.changes)


def summarise(repository: Repository) -> Summary:
    """Compare the index with HEAD."""
    libgit2 = repository.libgit2
    tree = libgit2.index.write_tree()
    diff = libgit2[tree].peel(pygit2.Tree).diff_to_tree(_head_tree(repository), swap=True)
    diff.find_similar()
    changes: list[Change] = []
    patches: list[tuple[str, str]] = []
    room = _ALL_CHARACTERS
    for patch in filter(None, diff):
        changes.append(_change(patch))
        if room > 0 and not patch.delta.is_binary:
            text = patch.data[:_PATCH_CHARACTERS].decode(errors="replace")
            patches.append((changes[-1].path, text))
            room -= len(text)
    return Summary(str(tree), tuple(changes), tuple(patches))


def create(repository: Repository, tree: str, message: str, author: Person) -> str:
    """Commit a tree on HEAD's branch, concluding a merge that was begun, and return the commit's id."""
    libgit2 = repository.libgit2
    parents = [] if libgit2.head_is_unborn else [libgit2.head.target]
    parents += libgit2.listall_mergeheads()
    oid = libgit2.create_commit(
        "HEAD", author.signature(), repository.committer.signature(), message, tree, parents
    )
    libgit2.state_cleanup()
    for name in _MERGE_FILES:
        (repository.folder / ".git" / name).unlink(missing_ok=True)
    return str(oid)


def _head_tree(repository: Repository) -> pygit2.Tree:
    if repository.head is not None:
        return repository.commit(repository.head).tree
    libgit2 = repository.libgit2
    return libgit2[libgit2.TreeBuilder().write()].peel(pygit2.Tree)


def _change(patch: pygit2.Patch) -> Change:
    delta = patch.delta
    status = _STATUS.get(delta.status, "M")
    _, insertions, deletions = patch.line_stats
    return Change(
        status=status,
        path=delta.new_file.raw_path.decode(errors="replace"),
        old_path=delta.old_file.raw_path.decode(errors="replace") if status in {"R", "C"} else None,
        insertions=insertions,
        deletions=deletions,
        binary=bool(delta.is_binary),
    )
