"""The worktree against the index: what `git add -A` would stage, and what it must not."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Iterable, Iterator
from functools import cache

import pygit2
from msgspec import Struct
from pygit2.enums import DeltaStatus, DiffOption, FileMode

from github_worker.errors import FileTooLarge, UnsupportedRepository
from github_worker.git.repository import Repository
from github_worker.git.rules import hidden

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
    """What staging did: `left_out` are paths that changed and are not staged, each with why."""

    left_out: tuple[tuple[str, str], ...]


def stage(repository: Repository, nested: Iterable[str]) -> Staged:
    """Stage every change but those in `nested` repositories (folders, relative to the worktree).

    Raises FileTooLarge and UnsupportedRepository, before the index is touched.
    """
    index = repository.libgit2.index
    submodules = {entry.path for entry in index if entry.mode == FileMode.COMMIT}
    within = _within(submodules | set(nested))
    with hidden(repository.folder, repository.rule_links) as links:
        changes = [change for change in _deltas(repository.libgit2, links) if not within(change.path)]
        for change in changes:
            _check(repository, change)
        wanted = {path: path in index or not _is_ignored(repository, path) for path in (*links, *nested)}
        refused = _apply_all(index, changes)
    refused += _apply_all(index, [_Change(link, gone=False) for link in sorted(links) if wanted[link]])
    index.write()
    aside = [(folder, _why(folder in submodules)) for folder in sorted(nested) if wanted[folder]]
    return Staged((*refused, *aside))


def _is_ignored(repository: Repository, path: str) -> bool:
    return repository.libgit2.path_is_ignored(path)


def _why(submodule: bool) -> str:
    return "it is a submodule" if submodule else "it is a repository of its own"


class _Change(Struct, frozen=True):
    path: str
    gone: bool


def _deltas(libgit2: pygit2.Repository, without: Container[str]) -> Iterator[_Change]:
    exists = _looker(libgit2.workdir)
    for delta in libgit2.index.diff_to_workdir(_FLAGS).deltas:
        path = os.fsdecode(delta.new_file.raw_path).rstrip("/")
        if delta.status == DeltaStatus.UNREADABLE:
            raise UnsupportedRepository(f"{path} cannot be read")
        if path not in without:
            yield _Change(path, not exists(path))


def _looker(root: str) -> Callable[[str], bool]:
    """Return what tells whether a file is there: none is beyond a link, whose target libgit2 would add."""

    @cache
    def is_folder(path: str) -> bool:
        return not path or (is_inside(path) and stat.S_ISDIR(_mode(root + path)))

    def is_inside(path: str) -> bool:
        parent, _, name = path.rpartition("/")
        return name not in {"", ".", ".."} and is_folder(parent)

    return lambda path: is_inside(path) and _mode(root + path) != 0 and not is_folder(path)


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0


def _within(folders: Iterable[str]) -> Callable[[str], bool]:
    prefixes = tuple(f"{folder}/" for folder in folders)
    return lambda path: f"{path}/".startswith(prefixes)


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


def _apply_all(index: pygit2.Index, changes: Iterable[_Change]) -> list[tuple[str, str]]:
    refused = []
    for change in sorted(changes, key=lambda change: not change.gone):  # a file may stand where a folder was
        try:
            _apply(index, change)
        except pygit2.GitError as error:
            # A name, on any system, through which another one's git would write into its .git.
            if "invalid path" not in str(error):
                raise
            refused.append((change.path, "git takes no such name"))
    return refused


def _apply(index: pygit2.Index, change: _Change) -> None:
    if change.path in index.conflicts if index.conflicts else False:
        del index.conflicts[change.path]
    if not change.gone:
        index.add(change.path)
    elif change.path in index:
        index.remove(change.path)


def is_clean(repository: Repository) -> bool:
    """Tell whether nothing is staged, changed or untracked."""
    libgit2, head = repository.libgit2, repository.head
    index = libgit2.index
    staged = index.diff_to_tree(repository.commit(head).tree) if head else index
    with hidden(repository.folder, repository.rule_links) as links:
        changed = next(_deltas(libgit2, links), None)
    return not len(staged) and changed is None and all(_is_staged(repository, link) for link in links)


def _is_staged(repository: Repository, link: str) -> bool:
    index, target = repository.libgit2.index, os.readlink(repository.folder / link)
    return link in index and index[link].id == pygit2.hash(os.fsencode(target))
