"""Commits: staging the worktree, comparing it with HEAD, committing it, and listing what is not pushed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

import pygit2
from msgspec import Struct
from pygit2.enums import DeltaStatus, DiffOption, FileMode, RepositoryState, SortMode

from github_worker.contract import Change, ChangeStatus
from github_worker.errors import FileTooLarge, PathNotFound, SessionCorrupt, UnsupportedRepository
from github_worker.git import index_file, native, worktree
from github_worker.git.pathspec import Pathspec
from github_worker.git.repository import Person, Repository
from github_worker.git.worktree import MAX_FILE_BYTES, Worktree, select_all

_PATCH_CHARACTERS = 64 * 1024  # the most that is kept of one file's patch, for whoever describes the commit
# A commit ends these, beside the files that libgit2 knows of (`remove_merge_branch_state` in git's branch.c).
_MERGE_FILES = ("MERGE_RR", "AUTO_MERGE", "SQUASH_MSG")
_ALL_CHARACTERS = 1024 * 1024
_STATUS: dict[DeltaStatus, ChangeStatus] = {
    DeltaStatus.ADDED: "A",
    DeltaStatus.DELETED: "D",
    DeltaStatus.RENAMED: "R",
    DeltaStatus.COPIED: "C",
    DeltaStatus.TYPECHANGE: "T",
}
_REGULAR = {FileMode.BLOB, FileMode.BLOB_EXECUTABLE}
# As git writes the two sides of a conflict, or more signs where an attribute says so.
_MARKERS = (rb"(?m)^<{7,} ", rb"(?m)^={7,}\r?$", rb"(?m)^>{7,} ")
_INVALID_NAME = "git takes no such name"
_SHOWN = 10
_TRACKED = "refs/remotes/origin/"
File = tuple[str, str | None]


class Staged(Struct, frozen=True):
    """The outcome of staging: `left_out` are paths that changed and are not staged, each with why.

    Those of `resolved` had a conflict in the index; those of `submodules` have their repository in the
    session, and whether they changed is still to be found out.
    """

    left_out: tuple[tuple[str, str], ...]
    resolved: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()


class Summary(Struct, frozen=True):
    """The changes of the index against HEAD: the tree it makes, the files, and their patches by path."""

    tree: str
    changes: tuple[Change, ...]
    patches: tuple[tuple[str, str], ...]

    @property
    def insertions(self) -> int:
        """The number of lines that are new."""
        return sum(change.insertions for change in self.changes)

    @property
    def deletions(self) -> int:
        """The number of lines that are gone."""
        return sum(change.deletions for change in self.changes)


class Revision(Struct, frozen=True):
    """A commit's header and message, and path and blob of the files that it brings and of those they replace.

    `commit` is None for the one that is about to be made, a submodule's blob too.
    """

    commit: str | None
    header: bytes
    message: bytes
    brought: tuple[File, ...]
    replaced: tuple[File, ...]


class Draft(Struct, frozen=True):
    """The commit that is about to be made; `tag` is all that a tag on it says."""

    tree: str
    author: Person
    message: str
    tag: str = ""


def stage(
    repository: Repository,
    nested: Iterable[str],
    misnamed: Iterable[str] = (),
    paths: Pathspec | None = None,
) -> Staged:
    """Stage every change but those in `nested` repositories (folders, relative to the worktree).

    `misnamed` are folders and files of names that git does not take, which are kept elsewhere. With `paths`,
    only what they select is staged. Raises FileTooLarge and UnsupportedRepository, the index untouched.
    """
    selects = paths.selects if paths else select_all
    found = Worktree(repository, nested, partial(native.write_blob, repository.libgit2), selects)
    changes = list(found.changes())
    if repository.lfs is not None:
        changed = {change.path for change in changes}
        new = {path: pointer for path, pointer in found.large.items() if path in changed}
        repository.lfs.keep(repository.folder, new)
    left_out = [*found.left_out, *apply_changes(repository.libgit2.index, changes)]
    left_out += [
        (name, _INVALID_NAME)
        for name in filter(selects, map(os.fsencode, misnamed))
        if not found.ignores(os.fsdecode(name))
    ]
    left_out += found.nested_changes()
    return Staged(
        tuple((os.fsdecode(path), why) for path, why in left_out),
        resolved=tuple(sorted(map(os.fsdecode, found.conflicts))),
        submodules=tuple(map(os.fsdecode, found.list_submodules())),
    )


def summarise(repository: Repository, paths: Pathspec | None = None) -> Summary:
    """Compare the index with HEAD, only the files that `paths` select if they are given."""
    libgit2 = repository.libgit2
    tree = _write_tree(repository, paths) if paths else libgit2.index.write_tree()
    head = repository.tree(repository.head)
    diff = libgit2[tree].peel(pygit2.Tree).diff_to_tree(head, swap=True, flags=DiffOption.INCLUDE_TYPECHANGE)
    diff.find_similar()
    changes: list[Change] = []
    patches: list[tuple[str, str]] = []
    moves = _Moves()
    room = _ALL_CHARACTERS
    for patch in filter(None, diff):
        changes.append(to_change(libgit2, patch))
        moves.note(patch.delta, changes[-1])
        if room > 0 and not patch.delta.is_binary:
            text = patch.data[:_PATCH_CHARACTERS].decode(errors="replace")
            patches.append((changes[-1].path, text))
            room -= len(text)
    return Summary(str(tree), tuple(moves.join(changes)), tuple(patches))


def check_paths(repository: Repository, paths: Pathspec) -> None:
    """Raise PathNotFound unless each of the paths selects a file of the index or of HEAD, and what git says.

    During a merge or a pick, git commits no part of it: UnsupportedRepository.
    """
    if repository.libgit2.state() in {RepositoryState.MERGE, RepositoryState.CHERRYPICK}:
        raise UnsupportedRepository(
            "A merge or a cherry-pick is in progress, of which git commits no part: leave `paths` out"
        )
    head = pygit2.Index()
    head.read_tree(repository.tree(repository.head))
    known = (os.fsencode(entry.path) for entry in chain(repository.libgit2.index, head))
    if missing := paths.list_missing(known):
        more = " …" if len(missing) > _SHOWN else ""
        raise PathNotFound(
            f"`paths` names what is no file that git has, or would add: {', '.join(missing[:_SHOWN])}{more}"
        )


def _write_tree(repository: Repository, paths: Pathspec) -> pygit2.Oid:
    """Write the tree that HEAD's is with the files of the index in place of those that the paths select.

    Those that are to stay out of the worktree are HEAD's, whatever is staged of them.
    """
    data, _ = index_file.read(repository.folder)
    skipped = {entry.path for entry in index_file.entries(data) if entry.skips_worktree}

    def is_taken(entry: pygit2.IndexEntry) -> bool:
        path = os.fsencode(entry.path)
        return paths.selects(path) and path not in skipped

    index = pygit2.Index()
    index.read_tree(repository.tree(repository.head))
    for path in [entry.path for entry in index if is_taken(entry)]:
        index.remove(path)
    for entry in filter(is_taken, repository.libgit2.index):
        index.add(entry)
    return index.write_tree(repository.libgit2)


def find_markers(repository: Repository, tree: str, resolved: Iterable[str]) -> list[str]:
    """Return the files of a tree that still have the markers of a conflict, where a merge may have left them.

    These are the `resolved`, which had a conflict in the index, and what a merge made something new of.
    """
    merged = repository.libgit2[tree].peel(pygit2.Tree)
    paths = {path for path in resolved if path in merged and merged[path].filemode in _REGULAR}
    if repository.is_merging and repository.head is not None:
        others = [repository.commit(str(oid)) for oid in repository.libgit2.listall_mergeheads()]
        brought, _ = _list_files(repository, merged, [repository.commit(repository.head), *others])
        paths |= {path for path, blob in brought if blob is not None}
    return sorted(path for path in paths if _has_markers(read_blob(repository, str(merged[path].id))))


def _has_markers(content: memoryview) -> bool:
    return all(re.search(marker, content) for marker in _MARKERS)


def unstage(repository: Repository, paths: Iterable[str]) -> None:
    """Let the index have the files that HEAD has at the paths; the worktree stays as it is."""
    index, tree = repository.libgit2.index, repository.tree(repository.head)
    for path in paths:
        index.remove(path)
        if path in tree and tree[path].filemode != FileMode.TREE:
            index.add(pygit2.IndexEntry(path, tree[path].id, tree[path].filemode))
    index.write()


def create(repository: Repository, tree: str, message: str, author: Person) -> str:
    """Commit a tree on HEAD's branch, concluding a merge that was begun, and return the commit's id."""
    libgit2 = repository.libgit2
    parents = [] if libgit2.head_is_unborn else [libgit2.head.target]
    parents += libgit2.listall_mergeheads()
    oid = write_commit(repository, tree, message, author, parents)
    kind = {0: " (initial)", 1: ""}.get(len(parents), " (merge)")
    subject = message.strip().partition("\n")[0]
    repository.set_branch(repository.branch, oid, f"commit{kind}: {subject}")
    libgit2.state_cleanup()
    for name in _MERGE_FILES:
        (repository.folder / ".git" / name).unlink(missing_ok=True)
    return oid


def write_commit(
    repository: Repository, tree: str, message: str, author: Person, parents: Sequence[pygit2.Oid | str]
) -> str:
    """Make a commit that no branch is at yet, and return its id."""
    signatures = author.signature(), repository.committer.signature()
    content = repository.libgit2.create_commit_string(*signatures, message, tree, list(parents))
    return repository.write_commit(str(content))  # which it is, whatever its type says


def list_unpushed(repository: Repository, draft: Draft | None = None) -> Iterator[Revision]:
    """Yield the commits that a push of HEAD would send, and the draft last.

    With a draft, those that a merge in progress brings are sent too. Raises FileTooLarge for a file that the
    forge does not take.
    """
    libgit2 = repository.libgit2
    heads = [] if libgit2.head_is_unborn else [libgit2.head.target]
    heads += libgit2.listall_mergeheads() if draft is not None else []
    parents = [repository.commit(str(oid)) for oid in heads]
    for commit in walk_unpushed(libgit2, parents):
        header = commit.read_raw().partition(b"\n\n")[0]
        files = _list_files(repository, commit.tree, commit.parents)
        yield Revision(str(commit.id), header, commit.raw_message, *files)
    if draft is not None:
        header = f"author {draft.author.name} <{draft.author.email}>".encode()
        files = _list_files(repository, libgit2[draft.tree].peel(pygit2.Tree), parents)
        yield Revision(None, header, draft.message.encode(), *files)


def read_blob(repository: Repository, blob: str) -> memoryview:
    """Return the content of a blob; raise SessionCorrupt when it is not there."""
    try:
        return memoryview(repository.libgit2[blob].peel(pygit2.Blob))
    except KeyError:
        raise SessionCorrupt(f"The session's repository lacks the object {blob}") from None


def apply_changes(index: pygit2.Index, changes: Iterable[worktree.Change]) -> list[tuple[bytes, str]]:
    """Stage changes; return the paths that no index takes, each with why."""
    refused = []
    # A file may stand where a folder was.
    for change in sorted(changes, key=lambda change: change.oid is not None):
        try:
            _apply(index, change)
        except pygit2.GitError as error:
            # A name, on any system, through which another one's git would write into its .git.
            if "invalid path" not in str(error):
                raise
            refused.append((change.path, _INVALID_NAME))
    index.write()
    return refused


def _apply(index: pygit2.Index, change: worktree.Change) -> None:
    path = os.fsdecode(change.path)
    if index.conflicts is not None:
        for side in (1, 2, 3):
            with suppress(OSError):
                index.remove(path, side)
    if change.oid is not None and change.status is not None:
        index.add(pygit2.IndexEntry(path, pygit2.Oid(raw=change.oid), FileMode(change.mode or 0)))
        native.set_status(index, change.path, change.status)
    elif path in index:
        index.remove(path)


class _Moves:
    """Finds the files that moved as they were, of which libgit2 leaves empty ones and links apart."""

    def __init__(self) -> None:
        self._deleted: dict[tuple[str, int], list[str]] = {}
        self._added: dict[tuple[str, int], list[str]] = {}

    def note(self, delta: pygit2.DiffDelta, change: Change) -> None:
        """Note which content is gone or new, by its blob and kind."""
        file = delta.old_file if change.status == "D" else delta.new_file
        paths = {"D": self._deleted, "A": self._added}.get(change.status, {})
        paths.setdefault((str(file.id), file.mode >> 12), []).append(change.path)

    def join(self, changes: list[Change]) -> Iterator[Change]:
        """Yield the changes, a move as one."""
        moved = {
            new: old
            for content, gone in self._deleted.items()
            for old, new in zip(gone, self._added.get(content, []), strict=False)
        }
        sources = set(moved.values())
        for change in changes:
            if change.status == "A" and change.path in moved:
                yield Change(status="R", path=change.path, old_path=moved[change.path], binary=change.binary)
            elif change.status != "D" or change.path not in sources:
                yield change


def to_change(libgit2: pygit2.Repository, patch: pygit2.Patch) -> Change:
    """Describe the patch of one file."""
    delta = patch.delta
    status = _STATUS.get(delta.status, "M")
    _, insertions, deletions = patch.line_stats
    if status == "T":  # libgit2 compares no two kinds of files
        insertions, deletions = _count_lines(libgit2, delta.new_file), _count_lines(libgit2, delta.old_file)
    return Change(
        status=status,
        path=delta.new_file.raw_path.decode(errors="replace"),
        old_path=delta.old_file.raw_path.decode(errors="replace") if status in {"R", "C"} else None,
        insertions=insertions,
        deletions=deletions,
        binary=bool(delta.is_binary),
    )


def _count_lines(libgit2: pygit2.Repository, file: pygit2.DiffFile) -> int:
    blob = libgit2.get(file.id)
    if not isinstance(blob, pygit2.Blob) or blob.is_binary:
        return 0
    return len(blob.data.splitlines())


def walk_unpushed(libgit2: pygit2.Repository, tips: list[pygit2.Commit]) -> Iterator[pygit2.Commit]:
    """Yield what the tips have and no branch of the remote has, parents first."""
    tracked = {
        reference.target
        for reference in libgit2.references.iterator()
        if reference.name.startswith(_TRACKED) and isinstance(reference.target, pygit2.Oid)
    }
    # Not all that a remote had must still be here: git passes over a ref that leads to nothing.
    pushed = {oid for oid in tracked if isinstance(libgit2.get(oid), pygit2.Commit)}
    walker = libgit2.walk(None, SortMode.TOPOLOGICAL | SortMode.REVERSE)
    for oid in {tip.id for tip in tips} - pushed:
        walker.push(oid)
    for oid in pushed:
        walker.hide(oid)
    yield from walker


def _list_files(
    repository: Repository, tree: pygit2.Tree, parents: list[pygit2.Commit]
) -> tuple[tuple[File, ...], tuple[File, ...]]:
    """Return the files that a tree brings, and those that they replace."""
    before = parents[0].tree if parents else repository.tree(None)
    brought, replaced = [], []
    for delta in tree.diff_to_tree(before, swap=True).deltas:
        old, new = delta.old_file, delta.new_file
        if old.mode != FileMode.UNREADABLE:
            replaced.append((_path(old), _blob(old)))
        if new.mode != FileMode.UNREADABLE and not _is_merged(new, parents[1:]):
            _check_size(repository.libgit2, new)
            brought.append((_path(new), _blob(new)))
    return tuple(brought), tuple(replaced)


def _blob(file: pygit2.DiffFile) -> str | None:
    return None if file.mode == FileMode.COMMIT else str(file.id)


def _path(file: pygit2.DiffFile) -> str:
    return os.fsdecode(file.raw_path)


def _is_merged(file: pygit2.DiffFile, others: list[pygit2.Commit]) -> bool:
    """Tell whether a merge took the file from another parent, which is pushed or screened by itself."""
    path = _path(file)
    return any(path in other.tree and other.tree[path].id == file.id for other in others)


def _check_size(libgit2: pygit2.Repository, file: pygit2.DiffFile) -> None:
    if file.mode == FileMode.COMMIT:
        return
    try:
        _, size = libgit2.odb.read_header(file.id)
    except KeyError:
        raise SessionCorrupt(f"The session's repository lacks the object {file.id}") from None
    if size > MAX_FILE_BYTES:
        raise FileTooLarge(f"{_path(file)} has {size:,} bytes; the forge takes {MAX_FILE_BYTES:,}")
