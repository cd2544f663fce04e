"""The worktree against the index: the changes that `git add -A` would stage, and those that it must not.

libgit2 finds other changes than git does: its ignore rules, its conversions, its sparse checkouts and its
trust in a file's time differ. So which files are looked at, and which bytes become a blob, is decided here by
git's rules.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING

import pygit2
from msgspec import Struct
from pygit2.enums import FileMode

from github_worker.errors import FileTooLarge, UnsupportedRepository
from github_worker.git import ignore_files, index_file, native
from github_worker.git.attributes import Attributes, Value
from github_worker.git.conversion import CannotConvert, choose_conversion
from github_worker.git.index_file import Entry
from github_worker.git.native import blob_id, read_file
from github_worker.git.patterns import IgnoreRules, folders_above
from github_worker.git.repository import Repository
from github_worker.lfs.pointer import Pointer, parse_pointer, point_to

if TYPE_CHECKING:
    from github_worker.lfs.files import LargeFiles

MAX_FILE_BYTES = 100 * 1024 * 1024  # GitHub refuses larger ones
_RULE_FILES = (b".gitattributes", b".gitignore")
_OTHER_CASE = "core.ignorecase is set, and a file of the commit has its name in another case"
_NO_WAY_BACK = "Its line ends would not come back as they are, and core.safecrlf is set."
_OUTSIDE = "it lies outside of the sparse checkout"


class Change(Struct, frozen=True):
    """A path whose file differs from the index: its new mode, blob and status, all None if it is gone."""

    path: bytes
    mode: int | None = None
    oid: bytes | None = None
    status: os.stat_result | None = None


def select_all(path: bytes) -> bool:
    """Tell, of any file, that it is one of those to look for."""
    return True


def is_clean(repository: Repository) -> bool:
    """Tell whether nothing is staged, changed or untracked."""
    head = repository.head
    index = repository.libgit2.index
    staged = index.diff_to_tree(repository.commit(head).tree) if head else index
    return not len(staged) and next(Worktree(repository, ()).changes(), None) is None


def refresh(repository: Repository) -> None:
    """Write all files to the disk, and let the index remember what is unchanged: libgit2 looks at both."""
    repository.write_files()
    ignore_files.require_readable(repository.folder)
    worktree = Worktree(repository, ())
    for _ in worktree.tracked_changes():
        pass
    worktree.remember_unchanged()


class Worktree:
    """One look at a worktree; what must be left out is known once all changes were yielded.

    `make_blob` returns the id of a blob, and may store it. Of changes, only those of the files that
    `selects` are looked for. `large` are the files that were read for which a pointer stands in commits.
    """

    def __init__(
        self,
        repository: Repository,
        nested: Iterable[str],
        make_blob: Callable[[bytes], bytes] = blob_id,
        selects: Callable[[bytes], bool] = select_all,
    ) -> None:
        self.left_out: list[tuple[bytes, str]] = []
        self.large: dict[bytes, Pointer] = {}
        self._repository = repository
        self._root = os.fsencode(repository.folder) + b"/"
        self._files = repository.files
        self._make_blob = make_blob
        self._selects = selects
        self._nested = {os.fsencode(folder) for folder in nested}
        self._rules = repository.rules
        self._folders: dict[bytes, bool] = {b"": True}
        self._unchanged: list[tuple[bytes, os.stat_result]] = []
        # Of most entries the path alone is kept: there may be a million.
        self._tracked: set[bytes] = set()
        self._suspects: list[Entry] = []
        self.conflicts: set[bytes] = set()
        self._submodules: set[bytes] = set()
        self._rule_entries: dict[bytes, Entry] = {}
        self._early_rules: set[bytes] = set()
        repository.renew_index()
        self._load()

    def _load(self) -> None:
        """Sort the index's entries: what is unchanged for sure, and what has to be looked at."""
        data, written = index_file.read(self._repository.folder)
        last, selects_all = b"", self._selects is select_all  # a call for each of a million would tell
        for entry in index_file.entries(data):
            self._tracked.add(entry.path)
            if entry.path.endswith(b".gitattributes") and _is_before(last, entry.path):
                self._early_rules.add(entry.path)
            if selects_all or self._selects(entry.path):
                last = entry.path
            if entry.is_conflict:
                self.conflicts.add(entry.path)
                continue
            if entry.mode == FileMode.COMMIT:
                self._submodules.add(entry.path)
            if entry.path.endswith(_RULE_FILES):
                self._rule_entries[entry.path] = entry
            if not self._is_unchanged(entry, written):
                self._suspects.append(entry)

    def _is_unchanged(self, entry: Entry, written: int) -> bool:
        """Tell whether the index alone says that git would leave a path as it is."""
        is_assumed = entry.is_assumed_valid and self._selects is select_all  # git looks at what is named
        if is_assumed or self._is_in_nested(entry.path) or self._is_spooled_unchanged(entry):
            return True
        status = self._status(entry.path)
        if entry.skips_worktree and status is None:
            return not any(map(self._status, folders_above(entry.path)))
        if entry.skips_worktree:
            return not self._rules.sparse.is_on
        if status is None or entry.is_intent or self._mode(status.st_mode, entry) != entry.mode:
            return False
        return entry.has_stats_of(status, written)

    def _is_spooled_unchanged(self, entry: Entry) -> bool:
        """Tell whether a file that is not on the disk is what the index has: no other one may stay away."""
        mode = None if entry.skips_worktree or entry.is_intent else self._files.mode(entry.path)
        if mode is None or self._mode(mode, entry) != entry.mode:
            return False
        return self._files.spool_has(entry.path, entry.id)

    def changes(self) -> Iterator[Change]:
        """Yield every change that `git add -A` would stage."""
        yield from self.tracked_changes()
        for path in filter(self._selects, self.conflicts):
            yield self._change(path, None) or Change(path)
        for path in self._find_untracked(b""):
            if change := self._change(path, None):
                yield change

    def tracked_changes(self) -> Iterator[Change]:
        """Yield the changes of what the index has."""
        for entry in self._suspects:
            if not self._selects(entry.path) or (change := self._change(entry.path, entry)) is None:
                continue
            if entry.skips_worktree and change.oid is None and not self._is_replaced(entry.path):
                continue
            if self._rules.sparse.includes(entry.path) or self._is_replaced(entry.path):
                yield change
            else:
                self.left_out.append((entry.path, _OUTSIDE))

    def _is_replaced(self, path: bytes) -> bool:
        """Tell whether a new file stands in the place of a folder above a path."""
        files = [folder for folder in folders_above(path) if self._status(folder) is not None]
        return any(self._rules.sparse.includes(file) and self._is_new(file) for file in files)

    def find_untracked_at(self, path: bytes, going: Collection[bytes]) -> Iterator[bytes]:
        """Yield the files that stand where a file is to come: above it, in its place, or in a folder there.

        Those that are `going` do not count.
        """
        yield from (file for file in folders_above(path) if file not in going and self._status(file))
        if self._status(path) is not None and path not in going:
            yield path
        elif self._is_folder(path):
            yield from (file for file in self._find_files(path) if file not in going)

    def _find_files(self, folder: bytes) -> Iterator[bytes]:
        for name, is_folder in self._list(folder):
            path = folder + b"/" + name
            yield from self._find_files(path) if is_folder else [path]

    def remember_unchanged(self) -> None:
        """Write the status of the files that were read and found unchanged into the index."""
        index = self._repository.libgit2.index
        for path, status in self._unchanged:
            native.set_status(index, path, status)
        if self._unchanged:
            index.write()

    def ignores(self, path: str) -> bool:
        """Tell whether a path is ignored."""
        return self._ignore_rules.ignores_below(os.fsencode(path), is_folder=True)

    def list_submodules(self) -> list[bytes]:
        """Return the submodules whose repository is in the session."""
        return [*filter(self._selects, sorted(self._nested & self._submodules))]

    def nested_changes(self) -> Iterator[tuple[bytes, str]]:
        """Yield the nested repositories, ignored ones and those in submodules aside, each with a reason."""
        for folder in filter(self._selects, sorted(self._nested - self._submodules)):
            if self._submodules and not self._submodules.isdisjoint(folders_above(folder)):
                continue
            if not self._ignore_rules.ignores_below(folder, is_folder=True):
                yield folder, "it is a repository of its own"

    def _change(self, path: bytes, entry: Entry | None) -> Change | None:
        """Compare one path with its entry, None for a path that has none or a conflict."""
        status = self._status(path)
        if status is None:
            is_empty = entry is not None and entry.mode == FileMode.COMMIT and self._is_folder(path)
            return None if entry is None or is_empty else Change(path)
        mode = self._mode(status.st_mode, entry)
        oid = self._blob(path, status, entry)
        if entry and not entry.is_intent and (mode, oid) == (entry.mode, entry.id):
            self._unchanged.append((path, status))
            return None
        return Change(path, mode, oid, status)

    def _mode(self, mode: int, entry: Entry | None) -> int:
        """Return the mode that git would record (`ce_mode_from_stat` in its read-cache.h)."""
        if stat.S_ISLNK(mode):
            return FileMode.LINK
        if entry and entry.mode == FileMode.LINK and not self._rules.symlinks:
            return FileMode.LINK
        if not self._rules.filemode:
            return entry.mode if entry and stat.S_ISREG(entry.mode) else FileMode.BLOB
        return FileMode.BLOB_EXECUTABLE if mode & stat.S_IXUSR else FileMode.BLOB

    # Content

    def _blob(self, path: bytes, status: os.stat_result, entry: Entry | None) -> bytes:
        """Return the id of the blob that git makes of a file or a link, and store it."""
        if stat.S_ISLNK(status.st_mode):
            return self._make_blob(os.readlink(self._root + path))
        attributes = self._attributes.of(path)
        name = attributes.get(b"filter") if status.st_size else None
        if name == b"lfs" and self._repository.lfs is not None:
            data = self._clean(self._repository.lfs, path, status)
        elif isinstance(name, bytes):
            return self._find_filtered(path, status, name)
        else:
            data = self._read(path, status)
        if attributes or self._rules.may_convert:
            data = self._convert(path, data, attributes, entry)
        return self._make_blob(data)

    def _convert(
        self, path: bytes, data: bytes, attributes: dict[bytes, Value], entry: Entry | None
    ) -> bytes:
        """Convert a file's content to its blob's; raise UnsupportedRepository where git would refuse."""
        rules = self._rules
        change = choose_conversion(attributes, autocrlf=rules.autocrlf, eol=rules.eol)
        if change.is_identity:
            return data
        try:
            in_index = self._read_indexed(entry) if change.needs_index else None
            converted = change.to_git(data, in_index=in_index)
            if rules.refuses_conversion and change.to_worktree(converted) != data:
                raise CannotConvert(_NO_WAY_BACK)
        except CannotConvert as error:
            raise UnsupportedRepository(f"{os.fsdecode(path)} cannot be committed: {error}") from None
        return converted

    def _clean(self, lfs: LargeFiles, path: bytes, status: os.stat_result) -> bytes:
        """Return what git-lfs makes of a file, and remember which content that names."""
        data, pointer = lfs.clean(self._root + path, status.st_size)
        if pointer is not None:
            self.large[path] = pointer
        return data

    def _find_filtered(self, path: bytes, status: os.stat_result, name: bytes) -> bytes:
        """Find the blob of a file that has a filter, which cannot be run here.

        Content that was committed before is the same blob again, under whatever name; so is what
        `git lfs pull` put in the place of a pointer that was committed. Only new content needs the filter.
        """
        if status.st_size <= MAX_FILE_BYTES:
            data = self._read(path, status)
            if self._has(oid := blob_id(data)):
                return oid
            if name == b"lfs" and parse_pointer(data) is not None:
                return self._make_blob(data)
        if name == b"lfs":
            pointer = blob_id(point_to(self._root + path, status.st_size).encode())
            if self._has(pointer):
                return pointer
        why = "and `lfs` was not asked for" if name == b"lfs" else "which is not supported"
        raise UnsupportedRepository(
            f"{os.fsdecode(path)} has the attribute filter={os.fsdecode(name)}, {why}"
        )

    def _read(self, path: bytes, status: os.stat_result) -> bytes:
        if status.st_size > MAX_FILE_BYTES:
            shown = f"{os.fsdecode(path)} has {status.st_size:,} bytes"
            raise FileTooLarge(f"{shown}; the forge takes {MAX_FILE_BYTES:,}")
        return read_file(self._root + path)

    def _has(self, oid: bytes) -> bool:
        return pygit2.Oid(raw=oid) in self._repository.libgit2

    def _read_indexed(self, entry: Entry | None) -> bytes | None:
        """Return the content that the index has of a file, None where it has none."""
        if entry is None or not stat.S_ISREG(entry.mode):
            return None
        blob = self._repository.libgit2.get(pygit2.Oid(raw=entry.id))
        return blob.data if isinstance(blob, pygit2.Blob) else None

    # Rules

    @cached_property
    def _attributes(self) -> Attributes:
        read = partial(self._read_rules, b".gitattributes")
        return Attributes(read, self._rules.attributes, ignore_case=self._rules.ignore_case)

    @cached_property
    def _ignore_rules(self) -> IgnoreRules:
        read = partial(self._read_rules, b".gitignore")
        return IgnoreRules(read, self._rules.exclude, ignore_case=self._rules.ignore_case)

    def _read_rules(self, name: bytes, folder: bytes) -> bytes | None:
        """Read a folder's file of rules, no link to one; the index stands in where it is not checked out.

        It does so too for attributes that were deleted, if git reads them before it drops them: it adds files
        in their order, and a file before `.gitattributes` in the same folder makes it read the rules.
        """
        path = folder + b"/" + name if folder else name
        status = self._status(path)
        if status is not None and stat.S_ISREG(status.st_mode):
            return read_file(self._root + path)
        entry = None if self._is_folder(path) else self._rule_entries.get(path)  # git reads a folder as empty
        if entry is None or not (entry.skips_worktree or self._is_read_early(path)):
            return None
        return self._read_indexed(entry)

    def _is_read_early(self, path: bytes) -> bool:
        """Tell whether attributes that were deleted count: they are dropped later, or not by this commit."""
        return path in self._early_rules or (path.endswith(b".gitattributes") and not self._selects(path))

    # What is on the disk

    def _find_untracked(self, folder: bytes) -> Iterator[bytes]:
        """Yield the files and links below a folder that the index does not have and no rule ignores."""
        for name, is_folder in self._list(folder):
            path = folder + b"/" + name if folder else name
            if self._is_dot_git(name) or path in self._nested or path in self._submodules:
                continue
            if is_folder:
                if not self._ignore_rules.ignores(path, is_folder=True):
                    yield from self._find_untracked(path)
            elif self._selects(path) and self._is_new(path):
                if self._rules.sparse.includes(path):
                    yield path
                else:
                    self.left_out.append((path, _OUTSIDE))

    def _list(self, folder: bytes) -> list[tuple[bytes, bool]]:
        """Return by name what is in a folder, and whether it is one: files on the disk or not, and links."""
        with os.scandir(self._root + folder) as listed:
            known = filter(_is_known, listed)
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in known]
        return sorted([*found, *((name, False) for name in self._files.names(folder))])

    def _is_new(self, path: bytes) -> bool:
        """Tell whether git would add a file: the index does not have it, and no rule ignores it."""
        if path in self._tracked or self._ignore_rules.ignores(path, is_folder=False):
            return False
        if self._rules.ignore_case and path.lower() in self._lower_case:
            self.left_out.append((path, _OTHER_CASE))
            return False
        return True

    @cached_property
    def _lower_case(self) -> set[bytes]:
        return {path.lower() for path in self._tracked}

    def _is_dot_git(self, name: bytes) -> bool:
        return name == b".git" or (self._rules.ignore_case and name.lower() == b".git")

    def _status(self, path: bytes) -> os.stat_result | None:
        """Return the status of a file or link, None where there is none: nothing is beyond a link."""
        parent, _, name = path.rpartition(b"/")
        if name in (b"", b".", b"..") or not self._is_folder(parent):
            return None
        self._files.fetch(path)
        try:
            status = os.lstat(self._root + path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode) else None

    def _is_folder(self, path: bytes) -> bool:
        if path not in self._folders:
            parent, _, name = path.rpartition(b"/")
            inside = name not in (b"", b".", b"..") and self._is_folder(parent)
            self._folders[path] = inside and _is_real_folder(self._root + path)
        return self._folders[path]

    def _is_in_nested(self, path: bytes) -> bool:
        return bool(self._nested) and any(path.startswith(folder + b"/") for folder in self._nested)


def _is_before(path: bytes, rules: bytes) -> bool:
    """Tell whether a path, the one before `rules` in the index, is in the same folder or below it."""
    folder = rules.rpartition(b"/")[0]
    return bool(path) and (not folder or path.startswith(folder + b"/"))


def _is_known(entry: os.DirEntry[bytes]) -> bool:
    """Tell whether git knows of such an entry: a file, a folder or a link."""
    is_plain = entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
    return is_plain or entry.is_symlink()


def _is_real_folder(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
