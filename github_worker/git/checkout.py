"""Checking out: index and files are brought to a commit, with the bytes and modes that git would write.

libgit2 moves the files and sees to it that no work is lost. What it writes are the blobs as they are: how
text is converted, and which files a sparse checkout leaves out, is decided here by git's rules.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Container, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import pygit2
from pygit2.enums import CheckoutStrategy, FileMode

from github_worker.errors import MergeConflict
from github_worker.git import ignore_files, index_file, native
from github_worker.git.attributes import Attributes
from github_worker.git.conversion import CannotConvert, choose_conversion
from github_worker.git.index_file import Entry
from github_worker.git.lfs import Files, fetch_large, find_large, keep_pointers, write_large
from github_worker.git.patterns import folders_above
from github_worker.git.repository import Repository
from github_worker.git.worktree import refresh

# libgit2 takes other files for ignored than git does, so none of them is overwritten.
_SAFE = CheckoutStrategy.SAFE | CheckoutStrategy.DONT_OVERWRITE_IGNORED
_UNTOUCHED = _SAFE | CheckoutStrategy.ALLOW_CONFLICTS


def write_worktree(repository: Repository, oid: str) -> list[tuple[str, str]]:
    """Write the files of a commit into an empty worktree; return those written unconverted, each with why."""
    tree = repository.tree(oid)
    large = find_large(repository, tree)
    fetch_large(repository, tree, large)
    native.check_out(repository.libgit2, tree, _SAFE | CheckoutStrategy.RECREATE_MISSING)
    unconverted = _Files(repository).finish(None)
    _write_large(repository, large)
    return unconverted


def check_out(repository: Repository, oid: str) -> None:
    """Bring index and files to a commit; raise MergeConflict, with nothing touched, if work were lost."""
    check_out_tree(repository, repository.tree(oid))


def check_out_tree(repository: Repository, tree: pygit2.Tree, only: Container[bytes] | None = None) -> None:
    """Bring index and files to a tree as `check_out` does to a commit.

    With `only`, these paths alone, which hold nothing that would be lost but may be missing.
    """
    refresh(repository)
    changed = _diff_files(repository.tree(repository.head), tree)
    strategy = _SAFE
    if only is not None:
        changed = {path: file for path, file in changed.items() if path in only}
        strategy |= CheckoutStrategy.RECREATE_MISSING
    gitlinks = _find_gitlinks(repository, changed, tree)
    outside = _find_outside(repository, changed)
    apart = outside.keys() | gitlinks.keys()
    for path, file in changed.items():
        if path.rpartition(b"/")[2] == os.fsencode(ignore_files.NAME) and stat.S_ISREG(file.mode):
            ignore_files.check(os.fsdecode(path), repository.libgit2[file.id].peel(pygit2.Blob).data)
    is_part = bool(apart) or only is not None
    inside = [path for path in changed if path not in apart] if is_part else None
    large = find_large(repository, tree, changed.keys() - apart)
    fetch_large(repository, tree, large)
    try:
        if inside is None or inside:
            native.check_out(repository.libgit2, tree, strategy, inside)
    except pygit2.GitError as error:
        if not re.search("prevents? checkout", str(error)):
            raise
        raise MergeConflict(f"Uncommitted changes are in the way: {error}") from error
    _index_outside(repository.libgit2.index, outside.values())
    _index_gitlinks(repository, gitlinks)
    _Files(repository).finish(changed)
    _write_large(repository, large)


def fast_forward(repository: Repository, branch: str, to: str) -> None:
    """Move a branch that HEAD is on, its index and its files forward; raise MergeConflict."""
    check_out(repository, to)
    repository.set_branch(branch, to, "pull: Fast-forward")


def fill_worktree(repository: Repository) -> bool:
    """Write contents in the place of the pointers in the worktree, as `git lfs pull` does.

    Tells whether there were any; without git-lfs there are none.
    """
    if repository.lfs is None or repository.head is None:
        return False
    tree = repository.tree(repository.head)
    found = find_large(repository, tree)
    inside = {path: found[path] for path in _drop_below_links(repository.folder, found)}
    large = keep_pointers(repository, inside)
    fetch_large(repository, tree, large)
    return write_large(repository, large)


def reset_index(repository: Repository, before: str | None, tip: str) -> None:
    """Let the index be that of HEAD's commit `tip`, so that files which differ from it show as changes.

    Files that are still as in `before` become what they are in `tip`; all others stay as they are.
    """
    tree = repository.tree(tip)
    skipped = {entry.path for entry in _entries(repository) if entry.skips_worktree}
    if before is not None:
        changed = _diff_files(repository.tree(before), tree)
        kept = skipped | {part for entry in _list_gitlinks(repository) for part in _list_parts(entry.path)}
        if paths := [path for path in _drop_below_links(repository.folder, changed) if path not in kept]:
            refresh(repository)
            repository.set_branch(repository.branch, before, "checkout: moving")
            native.check_out(repository.libgit2, tree, _UNTOUCHED, paths)
            repository.set_branch(repository.branch, tip, "checkout: moved")
            _Files(repository).finish(paths)
            _write_large(repository, find_large(repository, tree, paths))
    index = repository.libgit2.index
    index.read_tree(tree)
    for path in skipped:
        if os.fsdecode(path) in index:
            native.skip_worktree(index, path)
    index.write()


def _write_large(repository: Repository, files: Files) -> bool:
    paths = _drop_below_links(repository.folder, files)
    return write_large(repository, {path: files[path] for path in paths})


def _diff_files(old: pygit2.Tree, new: pygit2.Tree) -> dict[bytes, pygit2.DiffFile]:
    """Return the files in which two trees differ, each as it is in the new one."""
    diff = old.diff_to_tree(new)
    return {delta.new_file.raw_path: delta.new_file for delta in diff.deltas}


def _drop_below_links(folder: Path, paths: Iterable[bytes]) -> list[bytes]:
    """Return those of the paths that have no link above them, through which a checkout would write."""
    links: dict[bytes, bool] = {b"": False}

    def is_below_link(path: bytes) -> bool:
        parent = path.rpartition(b"/")[0]
        if parent not in links:
            links[parent] = is_below_link(parent) or os.path.islink(os.fsencode(folder) + b"/" + parent)
        return links[parent]

    return [path for path in paths if not is_below_link(path)]


def _find_outside(
    repository: Repository, changed: dict[bytes, pygit2.DiffFile]
) -> dict[bytes, pygit2.DiffFile]:
    """Return those of the files that a sparse checkout leaves out."""
    skips = {entry.path: entry.skips_worktree for entry in _entries(repository)}
    sparse = repository.rules.sparse
    if not (sparse.is_on or any(skips.values())):
        return {}
    return {path: file for path, file in changed.items() if skips.get(path, not sparse.includes(path))}


def _find_gitlinks(
    repository: Repository, changed: dict[bytes, pygit2.DiffFile], tree: pygit2.Tree
) -> dict[bytes, pygit2.DiffFile]:
    """Return the submodules of the index that move in a tree, or go: libgit2 would remove their files.

    Raises MergeConflict where one was moved otherwise, or has files where others would be.
    """
    found, head = {}, repository.tree(repository.head)
    for entry in _list_gitlinks(repository):
        path, name = entry.path, os.fsdecode(entry.path)
        if any(_is_other(tree, os.fsdecode(part)) for part in _list_parts(path) if part in changed):
            if _has_files(repository.folder / name):
                raise MergeConflict(f"The submodule {name} has files where others would be")
        elif path in changed:
            if entry.id.hex() not in {_find_id(head, name), _find_id(tree, name)}:
                raise MergeConflict(f"The submodule {name} is staged at another commit")
            found[path] = changed[path]
    return found


def _list_gitlinks(repository: Repository) -> Iterator[Entry]:
    return (entry for entry in _entries(repository) if entry.mode == FileMode.COMMIT)


def _list_parts(path: bytes) -> tuple[bytes, ...]:
    """Return a path and the folders above it."""
    return (path, *folders_above(path))


def _is_other(tree: pygit2.Tree, path: str) -> bool:
    return path in tree and tree[path].filemode != FileMode.COMMIT


def _find_id(tree: pygit2.Tree, path: str) -> str | None:
    return str(tree[path].id) if path in tree else None


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and any(folder.iterdir())


def _index_gitlinks(repository: Repository, files: dict[bytes, pygit2.DiffFile]) -> None:
    """Let the index record submodules as they are now; what is in their folders stays, as with git."""
    index = repository.libgit2.index
    for path, file in files.items():
        name, folder = os.fsdecode(path), repository.folder / os.fsdecode(path)
        if file.mode == FileMode.COMMIT:
            index.add(pygit2.IndexEntry(name, file.id, FileMode.COMMIT))
        else:
            index.remove(name)
            if folder.is_dir() and not _has_files(folder):
                folder.rmdir()
    if files:
        index.write()


def _index_outside(index: pygit2.Index, files: Collection[pygit2.DiffFile]) -> None:
    """Let the index have files that are not in the worktree, or have them no more."""
    for file in files:
        path = os.fsdecode(file.raw_path)
        if file.mode != FileMode.UNREADABLE:
            index.add(pygit2.IndexEntry(path, file.id, FileMode(file.mode)))
            native.skip_worktree(index, file.raw_path)
        elif path in index:
            index.remove(path)
    if files:
        index.write()


def _entries(repository: Repository) -> Iterator[Entry]:
    data, _ = index_file.read(repository.folder)
    return index_file.entries(data)


class _Files:
    """The files that libgit2 wrote: their modes and their text as git would have written them."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._rules = repository.rules
        self._root = os.fsencode(repository.folder) + b"/"
        self._entries = {entry.path: entry for entry in _entries(repository)}
        self._unconverted: list[tuple[str, str]] = []

    def finish(self, paths: Iterable[bytes] | None) -> list[tuple[str, str]]:
        """Mend modes and text of the `paths`, of all files if None; return what could not be converted."""
        index = self._repository.libgit2.index
        is_changed = False
        for path in _drop_below_links(self._repository.folder, self._entries if paths is None else paths):
            entry = self._entries.get(path)
            if entry is not None and not entry.skips_worktree and self._finish(entry):
                native.set_status(index, path, os.lstat(self._root + path))
                is_changed = True
        if is_changed:
            index.write()
        return self._unconverted

    def _finish(self, entry: Entry) -> bool:
        """Mend one file, and tell whether it had to be."""
        try:
            status = os.lstat(self._root + entry.path)
        except OSError:
            return False
        if not (stat.S_ISREG(status.st_mode) and stat.S_ISREG(entry.mode)):
            return False
        # A tree may say any mode (100600, 100664): git knows two.
        mode = (0o777 if entry.mode & stat.S_IXUSR else 0o666) & ~self._umask
        if stat.S_IMODE(status.st_mode) != mode:
            os.chmod(self._root + entry.path, mode)
        return self._convert(entry) or stat.S_IMODE(status.st_mode) != mode

    def _convert(self, entry: Entry) -> bool:
        if not self._may_convert:
            return False
        attributes = self._attributes.of(entry.path)
        change = choose_conversion(attributes, autocrlf=self._rules.autocrlf, eol=self._rules.eol)
        if change.keeps_blobs:
            return False
        data = self._blob(entry)
        try:
            converted = change.to_worktree(data)
        except CannotConvert as error:
            self._unconverted.append((os.fsdecode(entry.path), str(error)))
            return False
        return converted != data and self._replace(entry.path, data, converted)

    def _replace(self, path: bytes, data: bytes, converted: bytes) -> bool:
        """Write the converted content, unless the file was there before, as git writes it."""
        if native.read_file(self._root + path) != data:
            return False
        native.overwrite_file(self._root + path, converted)
        return True

    @cached_property
    def _may_convert(self) -> bool:
        names = (path.rpartition(b"/")[2] for path in self._entries)
        return bool(self._rules.attributes) or self._rules.may_convert or b".gitattributes" in names

    @cached_property
    def _attributes(self) -> Attributes:
        return Attributes(
            self._attribute_file,
            self._rules.attributes,
            ignore_case=self._rules.ignore_case,
            from_index=True,
        )

    def _attribute_file(self, folder: bytes) -> bytes | None:
        """Return the file of attributes that the index has: git believes it before the one on the disk."""
        entry = self._entries.get(folder + b"/.gitattributes" if folder else b".gitattributes")
        return self._blob(entry) if entry is not None and stat.S_ISREG(entry.mode) else None

    def _blob(self, entry: Entry) -> bytes:
        blob = self._repository.libgit2[pygit2.Oid(raw=entry.id)]
        return blob.peel(pygit2.Blob).data

    @cached_property
    def _umask(self) -> int:
        """The process's mask, learned from a file, since asking for it would change it for every thread."""
        probe = self._root + b".git/umask"
        file = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o777)
        try:
            return 0o777 & ~stat.S_IMODE(os.fstat(file).st_mode)
        finally:
            os.close(file)
            os.unlink(probe)
