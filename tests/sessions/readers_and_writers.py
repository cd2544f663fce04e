"""The programs that callers make and read session archives with."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.sessions.trees import Room

HERE = Path(__file__).parent
NODE_TAR_RECORDED = HERE / "recorded" / "node-tar.tar.gz"
V7, USTAR, ANY = Room(name=99, link=99), Room(name=99, prefix=155, link=99), Room()
UTF8 = Room(utf8=True)  # node.js has no other names


class Writer(NamedTuple):
    """A program, in one format, that makes an archive of what is in a folder."""

    room: Room
    write: Callable[[Path, Path], None]


def run(*command: str | Path, locale: str = "C") -> None:
    """Run a program, which must have nothing to say."""
    done = subprocess.run(command, check=False, capture_output=True, env={"LC_ALL": locale})
    assert (done.returncode, done.stderr) == (0, b"")


def node_tar() -> Path:
    """Return where node-tar is: npm has it within itself."""
    if shutil.which("node") and (npm := shutil.which("npm")):
        package = Path(npm).resolve().parents[1]
        for path in (package / "node_modules" / "tar", package.parent / "tar"):
            if path.is_dir():
                return path
    pytest.skip("needs node-tar, which comes with npm: apt-get install npm")


def bsdtar() -> str:
    """Return the name of the program."""
    if not shutil.which("bsdtar"):
        pytest.skip("needs bsdtar: apt-get install libarchive-tools")
    return "bsdtar"


def write_by_gnu_tar(format: str, source: Path, archive: Path) -> None:
    """Make an archive in one of GNU tar's formats."""
    run("tar", "--sort=name", f"--format={format}", "-czf", archive, "-C", source, *os.listdir(source))


def write_by_bsdtar(format: str, locale: str, source: Path, archive: Path) -> None:
    """Make an archive in one of bsdtar's formats."""
    command: list[str | Path] = [
        bsdtar(),
        f"--format={format}",
        "-czf",
        archive,
        "-C",
        source,
        *os.listdir(source),
    ]
    # It has something to say of each name that is not text in its locale, and then writes its bytes.
    subprocess.run(command, check=True, capture_output=True, env={"LC_ALL": locale})


def write_by_python(format: int, source: Path, archive: Path) -> None:
    """Make an archive in one of tarfile's formats."""
    with tarfile.open(archive, "w:gz", format=format, compresslevel=1) as tar:
        for name in sorted(os.listdir(source)):
            tar.add(source / name, name)


def write_by_node_tar(source: Path, archive: Path) -> None:
    """Make an archive as node-tar does unless it is told otherwise."""
    run("node", HERE / "node_tar.cjs", node_tar(), "create", source, archive)


def take_what_node_tar_wrote(_: Path, archive: Path) -> None:
    """Take the archive that `record_node_tar` made of the same folder."""
    shutil.copyfile(NODE_TAR_RECORDED, archive)


WRITERS = {
    "gnu tar, gnu": Writer(ANY, partial(write_by_gnu_tar, "gnu")),
    "gnu tar, oldgnu": Writer(ANY, partial(write_by_gnu_tar, "oldgnu")),
    "gnu tar, posix": Writer(ANY, partial(write_by_gnu_tar, "posix")),
    "gnu tar, ustar": Writer(USTAR, partial(write_by_gnu_tar, "ustar")),
    "gnu tar, v7": Writer(V7, partial(write_by_gnu_tar, "v7")),
    "bsdtar, gnutar": Writer(ANY, partial(write_by_bsdtar, "gnutar", "C")),
    "bsdtar, pax": Writer(ANY, partial(write_by_bsdtar, "pax", "C")),
    "bsdtar, restricted pax": Writer(ANY, partial(write_by_bsdtar, "paxr", "C.UTF-8")),
    "bsdtar, ustar": Writer(USTAR, partial(write_by_bsdtar, "ustar", "C")),
    "bsdtar, v7": Writer(V7, partial(write_by_bsdtar, "v7tar", "C")),
    "python, gnu": Writer(ANY, partial(write_by_python, tarfile.GNU_FORMAT)),
    "python, pax": Writer(ANY, partial(write_by_python, tarfile.PAX_FORMAT)),
    "python, ustar": Writer(USTAR, partial(write_by_python, tarfile.USTAR_FORMAT)),
    "node-tar": Writer(UTF8, write_by_node_tar),
    "node-tar, recorded": Writer(UTF8, take_what_node_tar_wrote),
}


def read_by_gnu_tar(archive: Path, to: Path) -> None:
    """Unpack with GNU tar."""
    run("tar", "-xzf", archive, "-C", to)


def read_by_bsdtar(locale: str, archive: Path, to: Path) -> None:
    """Unpack with bsdtar."""
    run(bsdtar(), "-xzf", archive, "-C", to, locale=locale)


def read_by_python(archive: Path, to: Path) -> None:
    """Unpack with tarfile."""
    with tarfile.open(archive) as tar:
        # As they are, links too; Python 3.11.2, which Debian 12 has, takes no `filter`.
        tar.extraction_filter = lambda member, _: member
        tar.extractall(to)  # noqa: S202


def read_by_node_tar(archive: Path, to: Path) -> None:
    """Unpack with node-tar."""
    run("node", HERE / "node_tar.cjs", node_tar(), "extract", to, archive)


READERS: dict[str, Callable[[Path, Path], None]] = {
    "gnu tar": read_by_gnu_tar,
    "bsdtar": partial(read_by_bsdtar, "C"),
    "bsdtar, utf-8": partial(read_by_bsdtar, "C.UTF-8"),
    "python": read_by_python,
}
