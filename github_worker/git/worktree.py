"""The worktree against the index: what `git add -A` would stage, and what it must not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import pygit2
from msgspec import Struct
from pygit2.enums import DeltaStatus, DiffOption, FileMode

from github_worker.errors import FileTooLarge, UnsupportedRepository
from github_worker.git.repository import Repository

MAX_FILE_BYTES = 100 * 1024 * 1024  # GitHub refuses larger ones
_FLAGS = (
    DiffOption.INCLUDE_UNTRACKED
    | DiffOption.RECURSE_UNTRACKED_DIRS
    | DiffOption.INCLUDE_TYPECHANGE
    | DiffOption.IGNORE_SUBMODULES
    | DiffOption.SKIP_BINARY_CHECK
)
# Attributes that make git convert a file in ways that libgit2 does not: it would commit the wrong bytes.
_CONVERSIONS = ("filter", "working-tree-encoding")


class Staged(Struct, frozen=True):
    """What staging did: `paths` that changed, and `left_out`, each with why."""

    paths: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def stage(repository: Repository, nested: Iterable[str]) -> Staged:
    """Stage every change but those in `nested` repositories (folders, relative to the worktree).

    Raises FileTooLarge and UnsupportedRepository, before the index is touched.
    """
    libgit2 = repository.libgit2
    index = libgit2.index
    submodules = {entry.path for entry in index if entry.mode == FileMode.COMMIT}
    within = _within(submodules | set(nested))
    changes = [delta for delta in _deltas(libgit2) if not within(delta.path)]
    kept, left_out = _split(changes)
    for change in kept:
        _check(repository, change)
    for change in kept:
        _apply(index, change)
    index.write()
    nested_out = [(path, "it is a repository of its own") for path in sorted(set(nested) - submodules)]
    return Staged(tuple(change.path for change in kept), (*left_out, *nested_out))


class _Change(Struct, frozen=True):
    path: str
    gone: bool


def _deltas(libgit2: pygit2.Repository) -> Iterator[_Change]:
    root = libgit2.workdir
    for delta in libgit2.index.diff_to_workdir(_FLAGS).deltas:
        path = os.fsdecode(delta.new_file.raw_path)
        if delta.status == DeltaStatus.UNREADABLE:
            raise UnsupportedRepository(f"{path} cannot be read")
        yield _Change(path.rstrip("/"), not os.path.lexists(os.path.join(root, path)))


def _within(folders: Iterable[str]) -> Callable[[str], bool]:
    prefixes = tuple(f"{folder}/" for folder in folders)
    return lambda path: f"{path}/".startswith(prefixes)


def _split(changes: Iterable[_Change]) -> tuple[list[_Change], list[tuple[str, str]]]:
    kept: list[_Change] = []
    left_out: list[tuple[str, str]] = []
    for change in changes:
        # libgit2 takes no such name, on any system: another one's git would write into .git through it.
        if any(part.lower().rstrip(" .") in {".git", "git~1"} for part in change.path.split("/")):
            left_out.append((change.path, "git takes no such name"))
        else:
            kept.append(change)
    return kept, left_out


def _check(repository: Repository, change: _Change) -> None:
    if change.gone:
        return
    size = os.lstat(repository.folder / change.path).st_size
    if size > MAX_FILE_BYTES:
        raise FileTooLarge(f"{change.path} has {size:,} bytes; the forge takes {MAX_FILE_BYTES:,}")
    for attribute in _CONVERSIONS:
        if value := repository.libgit2.get_attr(os.fsencode(change.path), attribute):
            raise UnsupportedRepository(
                f"{change.path} has the attribute {attribute}={value}, which is not supported"
            )


def _apply(index: pygit2.Index, change: _Change) -> None:
    if change.path in index.conflicts if index.conflicts else False:
        del index.conflicts[change.path]
    if change.gone:
        index.remove(change.path)
    else:
        index.add(change.path)


def is_clean(repository: Repository) -> bool:
    """Tell whether nothing is staged, changed or untracked."""
    index = repository.libgit2.index
    head = repository.head
    staged = index.diff_to_tree(repository.commit(head).tree) if head else index
    return not len(staged) and next(_deltas(repository.libgit2), None) is None
