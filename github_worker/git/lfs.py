"""The large files of commits: their pointers found, their contents in the worktree and on the server.

All of it is for a repository that has `lfs`; for every other one there is nothing to do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from io import FileIO

import pygit2
from pygit2.enums import ObjectType

from github_worker.git import native
from github_worker.git.attributes import Attributes
from github_worker.git.commits import list_unpushed
from github_worker.git.repository import Repository
from github_worker.lfs.pointer import LONGEST, Pointer, parse_pointer

_ATTRIBUTES = b".gitattributes"
_CONFIG = ".lfsconfig"
Files = dict[bytes, Pointer]


def find_large(repository: Repository, tree: pygit2.Tree, paths: Collection[bytes] | None = None) -> Files:
    """Return the files of a tree, all or those at the `paths`, that are pointers by its attributes."""
    lfs = repository.lfs
    if lfs is None:
        return {}
    attributes = _read_attributes(repository, tree)
    found = {}
    for path, blob in _list_all(tree) if paths is None else _list_some(tree, paths):
        if attributes.of(path).get(b"filter") == b"lfs" and (pointer := _read_pointer(repository, blob)):
            if pointer.is_extended:
                lfs.warn_of_extension(os.fsdecode(path))
            elif pointer.size:
                found[path] = pointer
    return found


def fetch_large(repository: Repository, tree: pygit2.Tree, files: Files) -> None:
    """Fetch the contents of files of a tree, so that nothing has to be fetched to write them."""
    if files and repository.lfs is not None:
        if _CONFIG in tree:
            repository.lfs.warn_of_config()
        named = {os.fsdecode(path): pointer for path, pointer in files.items()}
        repository.lfs.fetch(named, repository.branch)


def keep_pointers(repository: Repository, files: Files) -> Files:
    """Return those of the files that are still their pointers in the worktree."""
    root = os.fsencode(repository.folder) + b"/"
    for path in files:
        repository.files.fetch(path)
    return {path: pointer for path, pointer in files.items() if _is_pointer(root + path, pointer)}


def write_large(repository: Repository, files: Files) -> bool:
    """Write contents in the place of pointers, where the files are still those; tell whether any were."""
    lfs, root, written = repository.lfs, os.fsencode(repository.folder) + b"/", False
    if lfs is None or not files:
        return False
    index = repository.libgit2.index
    for path, pointer in keep_pointers(repository, files).items():
        if lfs.has(pointer):
            lfs.write(pointer, root + path)
            if os.fsdecode(path) in index:
                native.set_status(index, path, os.lstat(root + path))
            written = True
    if written:
        index.write()
    return written


def push_large(repository: Repository, branch: str) -> None:
    """Send what the server lacks of what the branch's new commits name; raise FileLocked, or what fails."""
    lfs = repository.lfs
    pointers: set[Pointer] = set()
    paths: set[str] = set()
    for revision in list_unpushed(repository):
        paths.update(path for path, _ in (*revision.brought, *revision.replaced))
        found = (_read_pointer(repository, pygit2.Oid(hex=blob)) for _, blob in revision.brought if blob)
        pointers.update(pointer for pointer in found if pointer and pointer.size)
    if lfs is not None and paths:
        lfs.push(pointers, paths, branch)


def open_large(repository: Repository, blob: str) -> FileIO | None:
    """Open the content that a blob stands for, None where it stands for none or the session lacks it."""
    pointer = _read_pointer(repository, pygit2.Oid(hex=blob))
    if pointer is None or repository.lfs is None or not repository.lfs.has(pointer):
        return None
    return repository.lfs.open(pointer)


def _list_all(tree: pygit2.Tree) -> Iterator[tuple[bytes, pygit2.Oid]]:
    index = pygit2.Index()
    index.read_tree(tree)
    return ((os.fsencode(entry.path), entry.id) for entry in index if stat.S_ISREG(entry.mode))


def _list_some(tree: pygit2.Tree, paths: Collection[bytes]) -> Iterator[tuple[bytes, pygit2.Oid]]:
    for path in paths:
        name = os.fsdecode(path)
        if name in tree and stat.S_ISREG(tree[name].filemode):
            yield path, tree[name].id


def _read_pointer(repository: Repository, oid: pygit2.Oid) -> Pointer | None:
    """Read the pointer that a blob is, None for any other."""
    try:
        kind, size = repository.libgit2.odb.read_header(oid)
    except KeyError:
        return None
    if kind != ObjectType.BLOB or size >= LONGEST:
        return None
    return parse_pointer(repository.libgit2[oid].peel(pygit2.Blob).data)


def _read_attributes(repository: Repository, tree: pygit2.Tree) -> Attributes:
    def read(folder: bytes) -> bytes | None:
        found = next(_list_some(tree, [folder + b"/" + _ATTRIBUTES if folder else _ATTRIBUTES]), None)
        return repository.libgit2[found[1]].peel(pygit2.Blob).data if found else None

    rules = repository.rules
    return Attributes(
        read, rules.attributes, ignore_case=rules.ignore_case, from_index=True, names=frozenset({b"filter"})
    )


def _is_pointer(file: bytes, pointer: Pointer) -> bool:
    """Tell whether a file is still the pointer that a checkout has written."""
    try:
        status = os.lstat(file)
    except OSError:
        return False
    is_small = stat.S_ISREG(status.st_mode) and status.st_size < LONGEST
    return is_small and parse_pointer(native.read_file(file)) == pointer
