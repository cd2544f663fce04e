"""A repository's submodules: what its index and its `.gitmodules` say, and which of them may be had.

Whoever wrote them is a stranger. A name becomes a folder in `.git/modules`, a path one in the worktree, a URL
is asked: what git refuses of the three is left out here, and so is what is only safe on some file systems.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pygit2
from msgspec import Struct
from pygit2.enums import FileMode

from github_worker.contract import RepositoryUrl
from github_worker.errors import GitHubWorkerError
from github_worker.git import index_file
from github_worker.git.config import RepositoryConfig
from github_worker.git.index_file import Entry
from github_worker.git.native import explain_damage
from github_worker.git.patterns import folders_above
from github_worker.git.repository import Repository

_LARGEST = 1024 * 1024  # bytes of a .gitmodules
_LONGEST = 512  # characters of a name, and of a path
_MOST_SEGMENTS = 32
# What check_submodule_name of git's submodule-config.c forbids, and what no folder beside a `.git` is named
_SEGMENT = re.compile(r"(?i)(?!\.{1,2}\Z)(?!(?:\.git|git~1)[. ]*(?::|\Z))[^/\\\x00-\x1f\x7f]{1,255}")
_UPDATES = {"checkout", "rebase", "merge"}


class Submodule(Struct, frozen=True):
    """A submodule: `text` is its URL as git would write it, `commit` the one that is recorded."""

    name: str
    path: str
    text: str
    url: RepositoryUrl
    commit: str


class Unusable(GitHubWorkerError):
    """A submodule cannot be had, or not be looked at; the message says why, after its path."""


@contextmanager
def damage_explained() -> Iterator[None]:
    """Turn what libgit2 raises at a submodule into Unusable."""
    try:
        yield
    except pygit2.GitError as error:
        raise Unusable(str(explain_damage(error))) from error


def list_recorded(repository: Repository, commit: str | None) -> dict[str, str]:
    """Return the commits that a commit records of the submodules that the index has, by path."""
    tree = repository.tree(commit)
    found = {path: tree[path] for path in list_gitlinks(repository) if path in tree}
    return {path: str(entry.id) for path, entry in found.items() if entry.filemode == FileMode.COMMIT}


def stage_gitlink(repository: Repository, path: str, commit: str) -> None:
    """Let the index record a commit of a submodule."""
    index = repository.libgit2.index
    index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=commit), FileMode.COMMIT))
    index.write()


def list_gitlinks(repository: Repository) -> dict[str, str]:
    """Return the commits that the index records of submodules, by path."""
    entries = filter(_is_gitlink, index_file.entries(index_file.read(repository.folder)[0]))
    return {os.fsdecode(entry.path): entry.id.hex() for entry in entries}


def _is_gitlink(entry: Entry) -> bool:
    return entry.mode == FileMode.COMMIT and not (entry.is_conflict or entry.skips_worktree)


def read_gitmodules(repository: Repository) -> RepositoryConfig:
    """Read the worktree's `.gitmodules`; one that is a link, or has over a megabyte, says nothing."""
    repository.files.fetch(b".gitmodules")
    file = repository.folder / ".gitmodules"
    if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST:
        return RepositoryConfig("")
    return RepositoryConfig(file.read_bytes().decode(errors="surrogateescape"))


class Modules:
    """What a `.gitmodules` says of the submodules of a repository at `parent`, its URL."""

    def __init__(self, config: RepositoryConfig, parent: str, allows: Callable[[str], bool]) -> None:
        self._config = config
        self._parent = parent
        self._allows = allows
        keys = (key.removeprefix("submodule.").rpartition(".") for key in config.keys("submodule."))
        self._names = {config.get(f"submodule.{name}.path"): name for name, _, word in keys if word == "path"}

    def find(self, path: str, commit: str) -> Submodule:
        """Return the submodule at `path`; raise Unusable."""
        name = self._names.get(path)
        if name is None:
            raise Unusable(".gitmodules does not name it")
        self._check_name(name)
        if not _is_plain(path):
            raise Unusable("its path is not safe on every system")
        text = resolve_url(self._parent, self._config.get(f"submodule.{name}.url") or "")
        url = self._parse(text)
        is_http = text.lower().startswith("http")
        return Submodule(name, path, text if is_http else str(url), url, commit)

    def check_update(self, submodule: Submodule) -> None:
        """Raise Unusable for a submodule that git would not update, or whose update is a command."""
        update = self._config.get(f"submodule.{submodule.name}.update") or "checkout"
        if update not in _UPDATES:
            words = "none" if update == "none" else "not one that a repository may ask for"
            raise Unusable(f"its update in .gitmodules is {words}")

    def _check_name(self, name: str) -> None:
        if not _is_plain(name):
            raise Unusable("its name is not safe")
        others = [other.lower() for other in self._names.values() if other != name]
        if any(_is_same_or_below(name.lower(), other) for other in others):
            raise Unusable("its name lies in another submodule's, or differs from it in case alone")

    def _parse(self, text: str) -> RepositoryUrl:
        try:
            url = RepositoryUrl.parse(text)
        except ValueError:
            raise Unusable(f"its URL{_name_host(text)} is not https://host/owner/repo") from None
        if not self._allows(url.origin):
            raise Unusable(f"it is on {url.origin}, which is not allowed")
        return url


def resolve_url(parent: str, url: str) -> str:
    """Resolve a URL that begins with `./` or `../` as git does (relative_url in its remote.c)."""
    if not url.startswith(("./", "../")):
        return url
    base = parent.removesuffix("/")
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            base = base.rpartition("/")[0]
        url = url.partition("/")[2]
    return f"{base}/{url}".removesuffix("/")


def find_collisions(repository: Repository, paths: Iterable[str]) -> dict[str, str]:
    """Return by their paths the submodules that something is spelled like but for its case, and what.

    Where the case of names does not count, the submodule's files would be written there.
    """
    folders = {part.lower(): (part, path) for path in paths for part in _list_parts(os.fsencode(path))}
    found = {}
    for entry in index_file.entries(index_file.read(repository.folder)[0]) if folders else ():
        for part in _list_parts(entry.path):
            mine, path = folders.get(part.lower(), (part, ""))
            if mine != part:
                found[path] = os.fsdecode(part)
    return found


def _list_parts(path: bytes) -> Iterator[bytes]:
    """Yield a path and the folders above it."""
    yield path
    yield from folders_above(path)


def parse_gitdir(content: bytes) -> str | None:
    """Return where the `.git` of a submodule's worktree leads to, None where git would not know."""
    found = re.fullmatch(rb"gitdir: ([^\0\n]+)\n*", content)
    return os.fsdecode(found[1]) if found else None


def _is_plain(text: str) -> bool:
    segments = text.split("/")
    is_short = len(text) <= _LONGEST and len(segments) <= _MOST_SEGMENTS
    is_text = text.isprintable() and not text.startswith("-")
    return is_short and is_text and all(map(_SEGMENT.fullmatch, segments))


def _is_same_or_below(name: str, other: str) -> bool:
    return name == other or name.startswith(other + "/")


def _name_host(text: str) -> str:
    """Return ` on HOST` for a URL that has one; all else of it may be a secret."""
    try:
        host = urlsplit(text).hostname
    except ValueError:
        return ""
    scp = re.match(r"(?:[^/@:]*@)?([A-Za-z0-9.-]+):(?!/)", text)
    host = host or (scp[1] if scp else None)
    return f" on {host}" if host and host.isprintable() else ""
