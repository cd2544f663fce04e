"""A worktree whose files wait in the spool: what git would look at is fetched, and the commit is the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from github_worker.archive.contents import Contents, FolderFiles, Spool, Trust
from github_worker.git import commits
from github_worker.git.checkout import check_out
from github_worker.git.config import RepositoryConfig
from github_worker.git.repository import Repository
from github_worker.git.worktree import is_clean
from tests.git.conftest import COMMITTER, Clone
from tests.support.repositories import git

Edit = Callable[[Path], object]


def spooled(original: Repository, to: Path, *, trust: Trust = Trust.ALL, config: str = "") -> Repository:
    """Let all files of a worktree but the attributes wait in a spool beside it, and open it as a job does."""
    folder = original.folder.rename(to)
    spool = Spool(to.with_suffix(".spool"), to.parent)
    for path in folder.rglob("*"):
        is_plain = path.is_file() and not path.is_symlink() and path.name != ".gitattributes"
        if is_plain and ".git" not in path.relative_to(folder).parts:
            status = path.stat()
            name = os.fsencode(path.relative_to(to.parent))
            spool.add(name, status.st_mode & 0o777, status.st_mtime_ns, [memoryview(path.read_bytes())])
            path.unlink()
    files = FolderFiles(Contents(), spool, os.fsencode(to.name), os.fsencode(to), trust)
    url = original.remote.url
    return Repository.open(to, RepositoryConfig(config), url, None, COMMITTER, files=files)


def on_disk(repository: Repository) -> set[str]:
    """Return the worktree's files that are on the disk."""
    paths = (
        path.relative_to(repository.folder) for path in repository.folder.rglob("*") if not path.is_dir()
    )
    return {str(path) for path in paths if path.parts[0] != ".git"}


def staged(repository: Repository) -> list[str]:
    """Stage everything, and return the paths that differ from HEAD."""
    commits.stage(repository, [])
    return [change.path for change in commits.summarise(repository).changes]


def edit_in_place(folder: Path) -> None:
    """Change a file's content, and neither its size nor its time."""
    file = folder / "README.md"
    status = file.stat()
    file.write_text("# Dem0\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_is_unchanged_stays_in_the_spool(clone: Clone, tmp_path: Path) -> None:
    """Nothing to commit, and nothing was written."""
    repository = spooled(clone(), tmp_path / "app")
    assert is_clean(repository)
    assert staged(repository) == []
    assert on_disk(repository) == set()


@pytest.mark.parametrize(
    ("edit", "fetched"),
    [
        (edit_in_place, {"README.md"}),
        (lambda folder: (folder / "README.md").chmod(0o755), {"README.md"}),
        (lambda folder: (folder / "new.txt").write_text("new\n"), {"new.txt"}),
        (lambda folder: (folder / "src" / "new.txt").write_text("new\n"), {"src/new.txt"}),
    ],
    ids=["content", "mode", "a new file", "a new file in a folder"],
)
def test_what_changed_is_fetched_and_staged(
    edit: Edit, fetched: set[str], clone: Clone, tmp_path: Path
) -> None:
    """An edit is seen whatever its size and time, and nothing else is written."""
    original = clone()
    edit(original.folder)
    repository = spooled(original, tmp_path / "app")
    assert not is_clean(repository)
    assert staged(repository) == sorted(fetched)
    assert on_disk(repository) == fetched


def test_a_file_that_is_gone_is_staged_as_gone(clone: Clone, tmp_path: Path) -> None:
    """That a file is not on the disk means nothing; that the spool has none either does."""
    original = clone()
    (original.folder / "README.md").unlink()
    repository = spooled(original, tmp_path / "app")
    assert staged(repository) == ["README.md"]
    assert on_disk(repository) == set()


def test_ignored_files_are_never_fetched(clone: Clone, tmp_path: Path) -> None:
    """A folder of dependencies stays in the spool; the rules are fetched, since a job reads them."""
    original = clone()
    (original.folder / ".gitignore").write_text("node_modules/\n*.log\n")
    (original.folder / "node_modules" / "a").mkdir(parents=True)
    (original.folder / "node_modules" / "a" / "index.js").write_text("x\n")
    (original.folder / "debug.log").write_text("x\n")
    repository = spooled(original, tmp_path / "app")
    assert staged(repository) == [".gitignore"]
    assert on_disk(repository) == {".gitignore"}


@pytest.mark.parametrize(
    ("mark", "fetched"),
    [
        (["add", "--intent-to-add", "later.txt"], {"later.txt"}),
        (["update-index", "--skip-worktree", "README.md"], {"README.md", "later.txt"}),
        (["update-index", "--assume-unchanged", "README.md"], {"later.txt"}),
    ],
    ids=["intent to add", "skip worktree", "assume unchanged"],
)
def test_an_entry_that_is_marked_is_treated_as_git_does(
    mark: list[str], fetched: set[str], clone: Clone, tmp_path: Path
) -> None:
    """Its mark counts more than its content, which is looked at on the disk if at all."""
    original = clone()
    (original.folder / "later.txt").write_text("x\n")
    git("-C", original.folder, *mark)
    repository = spooled(original, tmp_path / "app")
    assert staged(repository) == ["later.txt"]
    assert on_disk(repository) == fetched


def test_a_conflict_is_fetched(clone: Clone, tmp_path: Path) -> None:
    """Each side of it has an entry, and none says that the file is unchanged."""
    original = clone()
    blob = git("-C", original.folder, "rev-parse", "HEAD:README.md").decode().strip()
    sides = "".join(f"100644 {blob} {stage}\tREADME.md\n" for stage in (1, 2, 3))
    lines = f"0 {'0' * 40}\tREADME.md\n{sides}"
    git("-C", original.folder, "update-index", "--index-info", stdin=lines.encode())
    (original.folder / "README.md").write_text("# Solved\n")
    repository = spooled(original, tmp_path / "app")
    assert staged(repository) == ["README.md"]
    assert on_disk(repository) == {"README.md"}


def test_where_git_may_convert_all_is_fetched(clone: Clone, tmp_path: Path) -> None:
    """Nothing is believed, and nothing has changed all the same."""
    repository = spooled(clone(), tmp_path / "app", trust=Trust.NONE)
    assert staged(repository) == []
    assert on_disk(repository) == {"README.md", "src/app.py"}


def test_where_git_may_convert_line_ends_text_without_them_stays(clone: Clone, tmp_path: Path) -> None:
    """A file with a carriage return is converted; the others are what they are."""
    original = clone()
    (original.folder / "README.md").write_bytes(b"# Demo\r\n")
    repository = spooled(original, tmp_path / "app", trust=Trust.PLAIN, config="[core]\n\tautocrlf = input\n")
    assert staged(repository) == []
    assert on_disk(repository) == {"README.md"}


def test_a_checkout_has_all_files_on_the_disk(clone: Clone, tmp_path: Path) -> None:
    """libgit2 would take a file that is not there for a deletion."""
    original = clone()
    first = original.head
    (original.folder / "README.md").write_text("# Changed\n")
    git("-C", original.folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "Change")
    repository = spooled(original, tmp_path / "app")
    assert first is not None
    check_out(repository, first)
    assert on_disk(repository) == {"README.md", "src/app.py"}
    assert (repository.folder / "README.md").read_text() == "# Demo\n"
    git("-C", repository.folder, "diff", "--quiet", first)


def test_the_index_is_not_touched_before_it_is_needed(clone: Clone, tmp_path: Path) -> None:
    """A job that looks at no file saves the index byte for byte."""
    original = clone()
    before = (original.folder / ".git" / "index").read_bytes()
    repository = spooled(original, tmp_path / "app")
    assert repository.branch == "main"
    assert (repository.folder / ".git" / "index").read_bytes() == before
