"""Bombs are stopped before they go off."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isal import isal_zlib

from github_worker.archive import tar
from github_worker.archive.limits import Limits, Tally
from github_worker.archive.quarantine import Folders
from github_worker.archive.tar import Member, Owner, encode
from github_worker.archive.unpack import unpack
from github_worker.errors import SessionCorrupt, SessionTooLarge
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
        {"kind": tarfile.REGTYPE, "name": "workspace/workspace/app/.gitattributes"},
    ],
    ids=["links", "folders", "pipes", "odd modes", "files of attributes"],
)
def test_what_is_held_in_memory_is_limited(fields: dict[str, Any], tmp_path: Path) -> None:
    """A session of nothing but oddities cannot use the memory up."""
    members = [member(**{"name": f"{number}"} | fields) for number in range(300)]
    with pytest.raises(SessionTooLarge, match="memory"):
        unpacked(tmp_path / "session", archive(*members), Limits(max_kept_bytes=50_000))


KINDS = [tar.FILE, tar.FOLDER, tar.LINK, tar.PIPE, tar.CHARACTER, tar.DEVICE]
KEYS = [b"uname", b"gname", b"comment", b"SCHILY.xattr.user.x"]
KEPT = [(kind, key) for kind in KINDS for key in KEYS] + [(kind, b"linkpath") for kind in KINDS[2:]]


@pytest.mark.parametrize(("kind", "key"), KEPT)
def test_all_bytes_of_a_header_that_is_kept_count(kind: bytes, key: bytes, tmp_path: Path) -> None:
    """A pax header may be a megabyte long, whatever it says and whatever it is of."""
    odd = with_records(kind, {key: b"x" * 3000})
    data = gzip.compress(encode(Member(b"first", tar.FILE, 0, 0o644, 0, OWNER)) + odd + tar.END)
    with pytest.raises(SessionTooLarge, match="memory"):
        unpacked(tmp_path / "session", data, Limits(max_kept_bytes=3000))
    unpacked(tmp_path / "enough", data)


def test_records_of_nothing_count(tmp_path: Path) -> None:
    """The memory that a record takes is more than its text."""
    data = gzip.compress(with_records(tar.FILE, {b"k%d" % number: b"" for number in range(1000)}) + tar.END)
    with pytest.raises(SessionTooLarge, match="memory"):
        unpacked(tmp_path / "session", data, Limits(max_kept_bytes=100_000))


def with_records(kind: bytes, records: dict[bytes, bytes]) -> bytes:
    """Return a header with the pax header before it."""
    return encode(Member(b"a", kind, 0, 0o644, 0, OWNER, b"target", records=records))


def test_headers_take_no_more_memory_than_they_may(tmp_path: Path) -> None:
    """A process that unpacks nothing but large headers grows by the limit, and not by what they say."""
    command = [sys.executable, "-m", "tests.sessions.large_headers", str(tmp_path)]
    grown = subprocess.run(command, check=True, text=True, capture_output=True, timeout=60).stdout
    assert int(grown) < 1.5 * Limits().max_kept_bytes


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


def test_exactly_as_much_as_is_allowed_is_taken() -> None:
    """A limit is the most that is fine, and one more is too much."""
    tally = Tally(Limits(max_bytes=1000, max_files=2, max_kept_bytes=50))
    tally.add_unpacked(600)
    tally.check_room(400)
    with pytest.raises(SessionTooLarge, match="larger than 1000 bytes"):
        tally.check_room(401)
    tally.add_unpacked(400)
    assert tally.unpacked == 1000
    tally.add_file()
    tally.add_file()
    with pytest.raises(SessionTooLarge, match="more than 2 files"):
        tally.add_file()
    tally.add_kept(25)
    tally.add_kept(25)
    with pytest.raises(SessionTooLarge, match="memory"):
        tally.add_kept(1)


@pytest.mark.parametrize(
    ("received", "unpacked", "fits"),
    [(0, 1000, True), (0, 1001, False), (100, 1000, True), (101, 1010, True), (101, 1011, False)],
)
def test_a_ratio_counts_past_what_is_free(received: int, unpacked: int, fits: bool) -> None:
    """Up to 1000 bytes anything goes, then ten times what was received."""
    tally = Tally(Limits(ratio_free_bytes=1000, max_ratio=10))
    tally.received = received
    tally.add_unpacked(unpacked)
    if fits:
        tally.check_ratio()
    else:
        with pytest.raises(SessionTooLarge, match="10 times"):
            tally.check_ratio()


def test_the_limits_are_those_that_are_documented() -> None:
    """What a worker takes unless it is told otherwise; names and paths are Linux's own limits."""
    limits = Limits()
    assert (limits.max_bytes, limits.max_files) == (8 * 1024 * MIB, 1_000_000)
    assert (limits.max_name, limits.max_path, limits.max_depth) == (255, 4096, 128)
    assert (limits.max_header, limits.max_kept_bytes) == (MIB, 128 * MIB)
    assert (limits.max_ratio, limits.ratio_free_bytes) == (200, 256 * MIB)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("n" * 255, True),
        ("n" * 256, False),
        ("/".join(["dd"] * 127 + ["f"]), True),
        ("/".join(["dd"] * 128 + ["f"]), False),
        ("/".join(["p" * 89] * 11 + ["p" * 10]), True),
        ("/".join(["p" * 89] * 11 + ["p" * 11]), False),
    ],
    ids=["a name", "too long a name", "deep", "too deep", "a path", "too long a path"],
)
def test_names_and_paths_have_their_lengths(tmp_path: Path, name: str, fits: bool) -> None:
    """A limit is the most that is fine: bytes of a name and of a path, and folders above each other."""
    data, limits = archive((name, b"x")), Limits(max_path=1000)
    if fits:
        assert names(packed(unpacked(tmp_path / "session", data, limits)))[-1] == name
    else:
        with pytest.raises(SessionTooLarge, match=r"too (long|deep)"):
            unpacked(tmp_path / "session", data, limits)


@pytest.mark.parametrize(("length", "fits"), [(999, True), (1000, False)])
def test_a_link_has_a_length(tmp_path: Path, length: int, fits: bool) -> None:
    """Its target and the zero after it are a path."""
    data = archive(member("link", tarfile.SYMTYPE, linkname="t" * length))
    if fits:
        assert names(packed(unpacked(tmp_path / "session", data, Limits(max_path=1000)))) == ["link"]
    else:
        with pytest.raises(SessionCorrupt, match="nowhere"):
            unpacked(tmp_path / "session", data, Limits(max_path=1000))


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (999, False)])
def test_a_header_has_a_size(tmp_path: Path, size: int, fits: bool) -> None:
    """A long name comes in a header of its own, with a zero at its end."""
    data = archive(("/".join([*["n" * 89] * 11, "n" * 9]), b""), format=tarfile.GNU_FORMAT)
    limits = Limits(max_header=size)
    if fits:
        assert names(packed(unpacked(tmp_path / "session", data, limits)))
    else:
        with pytest.raises(SessionTooLarge, match="header of 1000 bytes"):
            unpacked(tmp_path / "session", data, limits)
