"""Edits that sizes and times do not tell, and files that are meant not to be there."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fidelity.arena import WORKTREE, Arena
from tests.fidelity.judge import agree


async def test_an_edit_of_the_same_size_and_time(arena: Arena) -> None:
    """It is committed; the content decides."""
    arena.start({"version.py": "1.2.3\n", "d/other": "a\n"})
    arena.overwrite_unseen("version.py", "1.2.4\n")
    verdict = await agree(arena)
    assert verdict.result.files_changed == 1


async def test_every_file_has_one_time(arena: Arena) -> None:
    """An archive of `tar --mtime`, as reproducible builds make it, hides no edit, in a second job either."""
    arena.start({"version.py": "1.2.3\n", "d/other": "a\n", "empty": ""})
    options = ("--format=gnu", "--mtime=@1700000000")
    for content in ("1.2.4\n", "1.2.5\n"):
        arena.write({"version.py": content})
        verdict = await agree(arena, arena.pack(*options))
        assert verdict.result.files_changed == 1
        arena.lay_out()


async def test_a_copy_that_keeps_the_time(arena: Arena) -> None:
    """`cp -p` over a file of the same size is an edit, and so is a file moved over it."""
    arena.start({"a": "1\n", "b": "2\n", "c": "3\n"})
    for name in "abc":
        os.utime(arena.folder / name, (1_700_000_000, 1_700_000_000))
    arena.git("update-index", "--refresh")
    shutil.copy2(arena.folder / "a", arena.folder / "b")
    (arena.folder / "a").rename(arena.folder / "c")
    await agree(arena)


async def test_hard_links(arena: Arena) -> None:
    """A file that the archive has as a hard link of an edited one is edited too."""
    arena.start({"a": "1\n", "b": "2\n", "c": "3\n"})
    (arena.folder / "b").unlink()
    os.link(arena.folder / "a", arena.folder / "b")
    arena.overwrite_unseen("a", "9\n")
    await agree(arena)


@pytest.mark.parametrize("format", ["gnu", "posix"])
async def test_an_archive_that_was_appended_to(arena: Arena, format: str) -> None:
    """Of two members of one name the later counts."""
    arena.start({"a": "1\n", "d/b": "2\n", "gone/f": "3\n"})
    tar = arena.root / "appended.tar"
    base = ["tar", f"--format={format}", "-f", str(tar), "--mtime=@1700000000"]
    run([*base, "-c", "workspace"], arena.session_tree)
    arena.write({"a": "9\n", "d/b": "8\n", "gone/f": "7\n"})
    run([*base, "-r", f"{WORKTREE}/a", f"{WORKTREE}/d"], arena.session_tree)
    await agree(arena, gzip.compress(tar.read_bytes()))


def run(command: list[str], folder: Path) -> None:
    """Run a command in a folder."""
    subprocess.run(command, cwd=folder, check=True)


async def test_a_mode_that_changes_unseen(arena: Arena) -> None:
    """An executable bit that came with the old time is committed."""
    arena.start({"a": "1\n"})
    (arena.folder / "a").chmod(0o755)
    await agree(arena, arena.pack("--format=gnu", "--mtime=@1700000000"))


SPARSE = {"README.md": "# Demo\n", "d/a": "a\n", "d/sub/b": "b\n", "e/f": "f\n", "e/g/h": "h\n", "i/j": "j\n"}


async def test_a_sparse_checkout(arena: Arena) -> None:
    """Files that are not checked out stay in the commit."""
    arena.start(SPARSE)
    arena.git("sparse-checkout", "set", "d")
    arena.write({"d/new": "new\n", "d/a": None, "README.md": "2\n"})
    await agree(arena)


async def test_a_sparse_checkout_by_patterns(arena: Arena) -> None:
    """Non-cone patterns too."""
    arena.start(SPARSE)
    arena.git("sparse-checkout", "set", "--no-cone", "/*", "!/e/", "e/g/", "!*.md")
    arena.write({"d/new": "new\n", "e/g/h": "2\n"})
    await agree(arena)


async def test_the_bit_without_any_config(arena: Arena) -> None:
    """Entries with the skip-worktree bit stay, whatever the config says."""
    arena.start(SPARSE)
    arena.git("sparse-checkout", "set", "d")
    for name in ("config.worktree", "info/sparse-checkout"):
        (arena.folder / ".git" / name).unlink()
    arena.git("config", "--unset", "extensions.worktreeConfig")
    arena.write({"d/new": "new\n"})
    await agree(arena)


@pytest.mark.parametrize("expected", ["true", "false"])
async def test_files_that_are_there_though_sparse(arena: Arena, expected: str) -> None:
    """Git looks at files that are there in spite of the bit, unless it is told to expect them."""
    arena.start(SPARSE)
    arena.git("sparse-checkout", "set", "d")
    arena.git("config", "sparse.expectFilesOutsideOfPatterns", expected)
    arena.write({"e/f": "there\n", "e/g/h": "h\n", "d/a": "2\n"})
    await agree(arena)


async def test_new_files_where_nothing_is_checked_out(arena: Arena) -> None:
    """Git does what it does with new files outside of the sparse checkout, and so does the service."""
    arena.start(SPARSE)
    arena.git("sparse-checkout", "set", "d")
    arena.write({"e/new": "new\n", "k/new": "new\n", "d/a": "2\n"})
    await agree(arena)


async def test_a_sparse_checkout_in_the_config_itself(arena: Arena) -> None:
    """An older git writes core.sparseCheckout to the config; it counts there too."""
    arena.start(SPARSE)
    arena.git("config", "core.sparseCheckout", "true")
    (arena.folder / ".git/info").mkdir(exist_ok=True)
    (arena.folder / ".git/info/sparse-checkout").write_text("/d/\n")
    arena.git("read-tree", "-m", "-u", "HEAD")
    arena.write({"d/new": "new\n"})
    await agree(arena, allowed="unsupported_repository: Sparse checkouts")


async def test_a_sparse_checkout_that_ended(arena: Arena) -> None:
    """After `git sparse-checkout disable` it is a checkout like any other."""
    arena.start(SPARSE)
    arena.git("sparse-checkout", "set", "d")
    arena.git("sparse-checkout", "disable")
    arena.write({"d/new": "new\n", "e/f": None})
    await agree(arena)


async def test_a_sparse_index(arena: Arena) -> None:
    """It is refused, or it is the commit that git makes."""
    arena.start(SPARSE)
    arena.git("sparse-checkout", "set", "--cone", "--sparse-index", "d")
    arena.write({"d/new": "new\n"})
    await agree(arena, allowed="unsupported_repository: ")


async def test_a_file_takes_the_place_of_a_folder_outside(arena: Arena) -> None:
    """A new file that a sparse checkout holds goes before the files that it leaves out."""
    arena.start({"d/a": "a\n", "e/f": "f\n", "top": "t\n"})
    arena.git("sparse-checkout", "set", "d")
    arena.write({"e": "a file now\n"})
    await agree(arena)
