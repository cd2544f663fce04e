"""The index after unpacking: a file is believed unchanged if its content is, and is looked at otherwise."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from github_worker.archive.contents import FolderFiles
from github_worker.git import commits, index_file
from github_worker.git.config import RepositoryConfig
from github_worker.git.native import blob_id
from github_worker.git.repository import Repository
from tests.git.conftest import COMMITTER, Clone
from tests.support.repositories import git

_SECOND = 10**9
_CHECKED_OUT = 1_700_000_000 * _SECOND + 123
_INDEXED = _CHECKED_OUT + 5 * _SECOND


def unpacked(original: Path, to: Path, *, fractions: bool = True) -> Path:
    """Copy a worktree as an archive does: the same times, other inodes."""
    shutil.copytree(original, to)
    if not fractions:
        for path in [*to.rglob("*"), to]:
            seconds = path.stat().st_mtime_ns // _SECOND * _SECOND
            os.utime(path, ns=(seconds, seconds))
    return to


def indexed(folder: Path) -> None:
    """Let git write the index some seconds after the checkout."""
    for path in folder.rglob("*"):
        if ".git" not in path.parts and path.is_file():
            os.utime(path, ns=(_CHECKED_OUT, _CHECKED_OUT))
    git("-C", folder, "update-index", "--refresh", "--force-write-index")
    os.utime(folder / ".git" / "index", ns=(_INDEXED, _INDEXED))


def reopened(folder: Path, like: Repository) -> Repository:
    """Open an unpacked worktree as a job does."""

    class Files(FolderFiles):
        def has(self, path: bytes, status: os.stat_result, oid: bytes) -> bool:
            return blob_id((folder / os.fsdecode(path)).read_bytes()) == oid

    config, url = RepositoryConfig(""), like.remote.url
    repository = Repository.open(folder, config, url, None, COMMITTER, files=Files.none())
    repository.renew_index()
    return repository


def looked_at(repository: Repository) -> set[str]:
    """Return the paths whose index entry does not match the file's inode, so that they are hashed."""
    entries = re.findall(r"^(\S+)\n(?: .*\n){2} .*ino: (\d+)", listed(repository, "--debug"), re.MULTILINE)
    return {path for path, inode in entries if int(inode) != (repository.folder / path).stat().st_ino}


def listed(repository: Repository, *options: str) -> str:
    """Return what `git ls-files` says."""
    return git("-C", repository.folder, "ls-files", *options).decode()


def staged(repository: Repository) -> list[str]:
    """Stage everything, and return the paths that differ from HEAD."""
    commits.stage(repository, [])
    return [change.path for change in commits.summarise(repository).changes]


@pytest.mark.parametrize("version", ["3", "4"])
@pytest.mark.parametrize("fractions", [True, False])
def test_unchanged_files_are_not_hashed_again(
    clone: Clone, tmp_path: Path, version: str, fractions: bool
) -> None:
    """Whatever the index's format, with and without fractions of seconds, only edited files are."""
    original = clone()
    indexed(original.folder)
    (original.folder / "later.txt").write_text("x\n")
    git("-C", original.folder, "add", "--intent-to-add", "later.txt")  # which version 2 cannot say
    git("-C", original.folder, "update-index", "--index-version", version)
    os.utime(original.folder / ".git" / "index", ns=(_INDEXED, _INDEXED))
    (original.folder / "README.md").write_text("# Edited\n")
    copy = reopened(unpacked(original.folder, tmp_path / "copy", fractions=fractions), original)

    assert "src/app.py" not in looked_at(copy)
    assert "README.md" in looked_at(copy)
    assert staged(copy) == ["README.md", "later.txt"]


def test_a_long_path_that_shares_much_with_the_last_one(clone: Clone, tmp_path: Path) -> None:
    """Version 4 says how many bytes of the last path go, in one byte or in more."""
    original = clone()
    folders = ["a" * 200, "b" * 180, "c" * 150]
    for depth in range(1, 4):
        file = original.folder.joinpath(*folders[:depth], "file.txt")
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{depth}\n")
    git("-C", original.folder, "add", "-A")
    git("-C", original.folder, "update-index", "--index-version", "4")
    data, _ = index_file.read(original.folder)
    paths = [entry.path.decode() for entry in index_file.entries(data)]
    assert paths == listed(original).splitlines()


@pytest.mark.parametrize("moment", [_CHECKED_OUT, _CHECKED_OUT + 1])
def test_an_edit_of_the_same_size_and_time_is_found(clone: Clone, tmp_path: Path, moment: int) -> None:
    """The content decides, now and after the index was renewed."""
    original = clone()
    indexed(original.folder)
    readme = original.folder / "README.md"
    readme.write_text(readme.read_text()[:-2] + "X\n")
    os.utime(readme, ns=(moment, moment))
    once = reopened(unpacked(original.folder, tmp_path / "once"), original)
    twice = reopened(unpacked(once.folder, tmp_path / "twice", fractions=False), original)

    assert git("-C", twice.folder, "status", "--porcelain") == b" M README.md\n"
    assert staged(twice) == ["README.md"]


@pytest.mark.parametrize(
    "content", [b"", b"DIRC", b"DIRC\0\0\0\2\0\0\0\x09" + bytes(70), b"no index at all" * 9]
)
def test_what_is_no_index_is_left_alone(clone: Clone, content: bytes) -> None:
    """An index that cannot be read stays as it is, for libgit2 to refuse."""
    index = clone().folder / ".git" / "index"
    index.write_bytes(content)

    index_file.renew(index.parent.parent, lambda *_: True)

    assert index.read_bytes() == content


def test_a_renewed_index_is_sound(clone: Clone, tmp_path: Path) -> None:
    """Git finds the checksum right and every file unchanged."""
    original = clone()
    indexed(original.folder)
    copy = reopened(unpacked(original.folder, tmp_path / "copy"), original)

    git("-C", copy.folder, "fsck", "--no-dangling")
    assert git("-C", copy.folder, "status", "--porcelain") == b""
    assert not looked_at(copy)


def test_an_index_that_leads_outside_is_left_alone(clone: Clone, tmp_path: Path) -> None:
    """Nothing beyond the worktree is even looked at."""
    repository = clone()
    index = repository.folder / ".git/index"
    data = index.read_bytes().replace(b"README.md", b"../../abc")
    index.write_bytes(data)
    index_file.renew(repository.folder, lambda *_: True)
    assert index.read_bytes() == data


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_names_of_any_length_are_read(clone: Clone, tmp_path: Path, version: str) -> None:
    """Where an entry ends depends on its name's length, and in version 4 on the name before it."""
    original = clone()
    lengths = [*range(1, 18), 126, 127, 128, 129, 200]
    for length in lengths:
        (original.folder / ("n" * length)).write_text("x\n")
    deep = original.folder / "d" / ("e" * 200) / ("f" * 200) / ("g" * 200)
    deep.mkdir(parents=True)
    (deep / "h").write_text("x\n")
    (original.folder / "z").write_text("x\n")
    git("-C", original.folder, "add", "--all")
    indexed(original.folder)
    git("-C", original.folder, "update-index", "--index-version", version)
    os.utime(original.folder / ".git" / "index", ns=(_INDEXED, _INDEXED))
    (original.folder / "nnn").write_text("edited\n")
    copy = reopened(unpacked(original.folder, tmp_path / "copy"), original)

    assert looked_at(copy) == {"nnn"}
    assert git("-C", copy.folder, "status", "--porcelain", "--untracked-files=no").split() != []
    assert git("-C", copy.folder, "diff", "--name-only") == b"nnn\n"


def test_a_renewed_index_that_is_a_link_is_replaced(clone: Clone, tmp_path: Path) -> None:
    """What an archive linked it to keeps its content."""
    original = clone()
    indexed(original.folder)
    copy = unpacked(original.folder, tmp_path / "copy")
    other = tmp_path / "other"
    other.hardlink_to(copy / ".git" / "index")
    before = other.read_bytes()

    index_file.renew(copy, lambda *_: False)

    assert other.read_bytes() == before
    assert (copy / ".git" / "index").read_bytes() != before
