"""Loose objects of the session's repository: what git can read is unpacked, nothing else; git judges."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from github_worker.archive.limits import Limits
from github_worker.errors import SessionCorrupt, SessionTooLarge
from tests.sessions.archives import REPOSITORY, archive, listing, member, packed, split, unpacked
from tests.support.repositories import git

NAME = "12/3456789012345678901234567890123456789a"
OBJECT = f"{REPOSITORY}/.git/objects/{NAME}"
CORRUPT = "an object that git cannot read"


def zipped(data: bytes, level: int = 6) -> bytes:
    """Return what stands in the file of a loose object."""
    return zlib.compress(data, level)


def packlike(data: bytes) -> bytes:
    """Return a blob in the form that git wrote for a while, and libgit2 still reads."""
    return bytes([0x30 | len(data)]) + zlib.compress(data)


def with_dictionary(data: bytes) -> bytes:
    """Return a stream that asks for a dictionary."""
    compressor = zlib.compressobj(zdict=b"blob")
    return compressor.compress(data) + compressor.flush()


SOUND = zipped(b"blob 5\0hello")
BROKEN = {
    "empty": b"",
    "one byte": SOUND[:1],
    "cut": SOUND[:-1],
    "a wrong checksum": SOUND[:-1] + bytes([SOUND[-1] ^ 1]),
    "more after its end": SOUND + b"\n",
    "twice": SOUND * 2,
    "not compressed": b"blob 5\0hello",
    "as gzip has it": zlib.compressobj(wbits=31).compress(b"") + b"garbage",
    "as packs have it": packlike(b"hello"),
    "with a dictionary": with_dictionary(b"blob 5\0hello"),
    "too short for its header": zipped(b"blob 6\0hello"),
    "too long for its header": zipped(b"blob 4\0hello"),
    "a huge size": zipped(b"blob 9999999999999999999999\0hello"),
    "a size below nothing": zipped(b"blob -5\0hello"),
    "a size with a sign": zipped(b"blob +5\0hello"),
    "a size with a zero before it": zipped(b"blob 05\0hello"),
    "no size": zipped(b"blob \0hello"),
    "no header": zipped(b""),
    "a header without an end": zipped(b"blob 5" + b"0" * 10_000),
    "an unknown type": zipped(b"blub 5\0hello"),
    "a delta": zipped(b"ref-delta 5\0hello"),
}


def repository(folder: Path) -> Path:
    """Make a repository with objects of every type and of many sizes, all of them loose."""
    git("init", "--quiet", folder)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-C", folder)
    for level in range(-1, 10):
        (folder / "empty").touch()
        (folder / f"text-{level}").write_text(f"line of {level}\n" * 10 ** (level % 5))
        (folder / f"noise-{level}").write_bytes(os.urandom(700 ** (1 + level % 2)))
        git(*identity, "-c", f"core.looseCompression={level}", "add", "-A")
        git(*identity, "-c", f"core.looseCompression={level}", "commit", "--quiet", "-m", f"With {level}")
    git(*identity, "tag", "-a", "-m", "A tag", "v1")
    return folder


def files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def git_reads(folder: Path, content: bytes) -> bool:
    """Tell whether git finds nothing wrong with an object whose name is right."""
    git("init", "--quiet", folder)
    name = hashlib.sha1(inflated(content)).hexdigest()  # noqa: S324 (git's own)
    file = folder / ".git" / "objects" / name[:2] / name[2:]
    file.parent.mkdir()
    file.write_bytes(content)
    judge = subprocess.run(["git", "-C", folder, "fsck", "--strict"], check=False, capture_output=True)
    return judge.returncode == 0


def inflated(content: bytes) -> bytes:
    """Return what a stream holds, as far as it is one."""
    try:
        return zlib.decompressobj().decompress(content)
    except zlib.error:
        return b""


def test_every_object_that_git_wrote_is_taken(tmp_path: Path) -> None:
    """Whatever its type, its size, how it was compressed and in what pieces it comes."""
    made = repository(tmp_path / "made")
    found = {
        f"{REPOSITORY}/{file.relative_to(made)}": file.read_bytes() for file in files(made / ".git/objects")
    }
    data = archive(*found.items())
    assert len(found) > 40
    for number, size in enumerate((1000, 10**6)):
        session = unpacked(tmp_path / str(number), split(data, size))
        assert {name: each[6] for name, each in listing(packed(session)).items() if each[6]} == found


def test_an_object_that_is_cut_anywhere_is_corrupt(tmp_path: Path) -> None:
    """Not even its first byte is left where libgit2 could look at it."""
    for length in range(len(SOUND)):
        with pytest.raises(SessionCorrupt, match=CORRUPT):
            unpacked(tmp_path / str(length), archive((OBJECT, SOUND[:length])))


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_git_cannot_read_is_corrupt(content: bytes, tmp_path: Path) -> None:
    """And the message says which object it is."""
    with pytest.raises(SessionCorrupt, match=f"{CORRUPT}: '{OBJECT}'"):
        unpacked(tmp_path / "session", archive((OBJECT, content)))
    assert not git_reads(tmp_path / "judge", content)


def test_what_git_can_read_is_taken(tmp_path: Path) -> None:
    """The judge is one that can say yes."""
    unpacked(tmp_path / "session", archive((OBJECT, SOUND)))
    assert git_reads(tmp_path / "judge", SOUND)


def test_an_object_of_a_nested_repository_is_nobodys(tmp_path: Path) -> None:
    """Nothing opens it, so it comes back as it was."""
    nested = (f"{REPOSITORY}/vendor/.git/objects/{NAME}", SOUND[:5])
    session = unpacked(tmp_path / "session", archive(nested))
    assert listing(packed(session))[nested[0]][6] == nested[1]


def test_an_object_that_is_a_hard_link_is_looked_at(tmp_path: Path) -> None:
    """By whatever name its content came."""
    link = member(OBJECT, tarfile.LNKTYPE, linkname="file")
    unpacked(tmp_path / "sound", archive(("file", SOUND), link))
    with pytest.raises(SessionCorrupt, match=CORRUPT):
        unpacked(tmp_path / "session", archive(("file", SOUND[:5]), link))


@pytest.mark.parametrize("name", [OBJECT, f"{REPOSITORY}/.git/objects/pack/pack-1.idx"])
@pytest.mark.parametrize("order", [1, -1])
def test_an_object_has_no_name_elsewhere(name: str, order: int, tmp_path: Path) -> None:
    """Who appends to a log, which it was linked to, does not change it."""
    first, second = [name, f"{REPOSITORY}/.git/logs/HEAD"][::order]
    data = archive((first, SOUND), member(second, tarfile.LNKTYPE, linkname=first))
    folders, _ = unpacked(tmp_path / "session", data)
    with (folders.tree / REPOSITORY / ".git/logs/HEAD").open("ab") as log:
        log.write(b"more")
    assert (folders.tree / name).read_bytes() == SOUND


def test_an_object_that_inflates_without_end_is_stopped(tmp_path: Path) -> None:
    """What it inflates to counts, by itself and in proportion, though it is never written."""
    zeros = zipped(b"blob 30000000\0" + bytes(30_000_000))
    for number, limits in enumerate((Limits(max_bytes=2**24), Limits(ratio_free_bytes=2**20))):
        with pytest.raises(SessionTooLarge, match="inflate"):
            unpacked(tmp_path / str(number), archive((OBJECT, zeros)), limits)
    unpacked(tmp_path / "enough", archive((OBJECT, zeros)))


def test_objects_that_inflate_count_together(tmp_path: Path) -> None:
    """Each of them may be small."""
    members = [
        (f"{OBJECT[:-2]}{number}", zipped(b"blob 900000\0" + bytes(900_000))) for number in range(10, 14)
    ]
    unpacked(tmp_path / "some", archive(*members[:2]), Limits(max_bytes=2_000_000))
    with pytest.raises(SessionTooLarge, match="inflate"):
        unpacked(tmp_path / "all", archive(*members), Limits(max_bytes=2_000_000))
