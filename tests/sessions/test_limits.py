"""Bombs are stopped before they go off."""

from __future__ import annotations

import gzip
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isal import isal_zlib

from github_worker.errors import SessionTooLarge
from github_worker.sessions import tar
from github_worker.sessions.inventory import Folders
from github_worker.sessions.limits import Limits, Tally
from github_worker.sessions.tar import Member, Owner
from github_worker.sessions.tar_encoding import encode
from github_worker.sessions.unpack import unpack
from tests.sessions.archives import archive, member, names, packed, split, unpacked

MIB = 2**20
OWNER = Owner(0, 0, b"", b"")


def bomb(name: bytes, size: int) -> Iterator[bytes]:
    """Yield the archive of one file of zeros, made as it is read."""
    deflate = isal_zlib.compressobj(3, wbits=31)
    yield deflate.compress(encode(Member(name, tar.FILE, size, 0o644, 0, OWNER)))
    for _ in range(size // MIB):
        yield deflate.compress(bytes(MIB))
    yield deflate.flush()


def used(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def test_a_file_that_is_too_large_is_not_begun(tmp_path: Path) -> None:
    """The header's size is enough to refuse it."""
    with pytest.raises(SessionTooLarge, match="larger than"):
        unpacked(tmp_path / "session", bomb(b"zeros", 9 * 1024 * MIB))
    assert not list((tmp_path / "session" / "tree").iterdir())


def test_a_bomb_is_stopped_by_its_ratio(tmp_path: Path) -> None:
    """Past what is free, an archive that unpacks to far more than it is stops."""
    limits = Limits(ratio_free_bytes=4 * MIB)
    with pytest.raises(SessionTooLarge, match="200 times"):
        unpacked(tmp_path / "session", bomb(b"zeros", 512 * MIB), limits)
    assert used(tmp_path / "session") < 32 * MIB


def test_a_repetitive_log_is_no_bomb(tmp_path: Path) -> None:
    """Text that repeats itself as logs do stays below the ratio."""
    lines = b"".join(
        b"2026-01-31T09:00:%02d.%03dZ INFO worker ready\n" % (n // 1000 % 60, n % 1000)
        for n in range(150_000)
    )
    data = archive(("log", lines))
    unpacked(tmp_path / "session", data, Limits(ratio_free_bytes=MIB))
    assert len(lines) > 5 * MIB


def test_many_members_are_stopped(tmp_path: Path) -> None:
    """Members count, whatever they are."""
    members = [member(f"p{number}", tarfile.FIFOTYPE) for number in range(6)]
    with pytest.raises(SessionTooLarge, match="more than 5 files"):
        unpacked(tmp_path / "session", archive(*members), Limits(max_files=5))


def test_all_bytes_count(tmp_path: Path) -> None:
    """The sum of the files is limited, not only each."""
    data = archive(*((f"f{number}", bytes(400_000)) for number in range(3)))
    with pytest.raises(SessionTooLarge, match="larger than"):
        unpacked(tmp_path / "session", data, Limits(max_bytes=MIB))


def test_copies_of_hard_links_count(tmp_path: Path) -> None:
    """A file cannot be multiplied by linking to it across the two folders."""
    config = "workspace/workspace/app/.git/config"
    links = [member(f"l{number}", tarfile.LNKTYPE, linkname=config) for number in range(5)]
    with pytest.raises(SessionTooLarge, match="larger than"):
        unpacked(tmp_path / "session", archive((config, bytes(400_000)), *links), Limits(max_bytes=2 * MIB))


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": tarfile.SYMTYPE, "linkname": "t" * 50},
        {"kind": tarfile.DIRTYPE},
        {"kind": tarfile.FIFOTYPE},
        {"kind": tarfile.REGTYPE, "mode": 0},
    ],
    ids=["links", "folders", "pipes", "odd modes"],
)
def test_what_is_held_in_memory_is_limited(fields: dict[str, Any], tmp_path: Path) -> None:
    """A session of nothing but oddities cannot use the memory up."""
    members = [member(f"{number}", **fields) for number in range(300)]
    with pytest.raises(SessionTooLarge, match="memory"):
        unpacked(tmp_path / "session", archive(*members), Limits(max_kept_bytes=50_000))


def test_nested_repositories_are_limited(tmp_path: Path) -> None:
    """Even a path that names many is held once."""
    members = [(f"{number}/.git", b"") for number in range(300)]
    with pytest.raises(SessionTooLarge, match="memory"):
        unpacked(tmp_path / "session", archive(*members), Limits(max_kept_bytes=50_000))


def test_memory_does_not_grow_with_ordinary_files(tmp_path: Path) -> None:
    """Five thousand files take no more memory than a few chunks."""
    data = gzip.decompress(archive(*((f"f{number % 20}/{number}", b"x" * 100) for number in range(5000))))
    chunks = list(split(gzip.compress(data, 1)))
    folders = Folders.make(tmp_path)
    tracemalloc.start()
    try:
        unpack(chunks, folders, Limits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * MIB


def test_progress_can_be_read_meanwhile(tmp_path: Path) -> None:
    """The counts say how much has come and how much it became."""
    data = archive(("a", bytes(100_000)), ("b", b""))
    folders, tally = Folders.make(tmp_path), Tally(Limits())
    unpack(split(data), folders, Limits(), tally)
    assert (tally.received, tally.files) == (len(data), 2)
    assert tally.unpacked >= 100_000


def test_an_empty_archive_is_an_empty_session(tmp_path: Path) -> None:
    """No member at all is no error, and comes back as that."""
    session = unpacked(tmp_path / "session", archive())
    assert names(packed(session)) == []
