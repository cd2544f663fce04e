"""Reads the repository in each folder that is named on a line, as a job would, and says so on a line.

Any exception is an answer too. It is a process of its own, which says nothing if libgit2 kills or keeps it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pygit2

from github_worker.archive.contents import FolderFiles
from github_worker.contract import RepositoryUrl
from github_worker.git.config import RepositoryConfig
from github_worker.git.native import isolate
from github_worker.git.repository import Person, Repository

_URL = RepositoryUrl.parse("https://github.com/octo/demo")


def _read(folder: Path) -> None:
    config, committer = RepositoryConfig(""), Person("a", "a@b")
    repository = Repository.open(folder, config, _URL, None, committer, files=FolderFiles.none())
    with suppress(Exception):
        repository.renew_index()
    for step in _steps(repository):
        with suppress(Exception):
            step()


def _steps(repository: Repository) -> Iterator[Callable[[], object]]:
    libgit2 = repository.libgit2
    yield lambda: repository.branch
    yield lambda: repository.branches
    yield lambda: repository.is_merging
    yield lambda: repository.recent_subjects(20)
    yield lambda: libgit2.diff("HEAD").patch
    yield lambda: libgit2.diff("HEAD~1", "HEAD").patch
    yield libgit2.status
    yield libgit2.index.add_all
    yield libgit2.index.write_tree
    yield lambda: [reference.peel() for reference in libgit2.references.iterator()]
    yield lambda: list(libgit2.lookup_reference("HEAD").log())
    for oid in _oids(libgit2):
        yield lambda oid=oid: libgit2.odb.read_header(oid)  # type: ignore[misc]  # bound at once
        yield lambda oid=oid: libgit2.odb.read(oid)  # type: ignore[misc]


def _oids(libgit2: pygit2.Repository) -> list[pygit2.Oid]:
    with suppress(Exception):
        return list(libgit2.odb)
    return []


if __name__ == "__main__":
    isolate(5)
    for line in sys.stdin:
        with suppress(Exception):
            _read(Path(line.rstrip("\n")))
        print("read", flush=True)  # noqa: T201 (for the test)
