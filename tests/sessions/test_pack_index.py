"""Packs of the session's repository: what git wrote is taken, what leads libgit2 astray is not."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

import pytest

from github_worker.archive.adoption import adopt
from github_worker.archive.limits import Limits
from github_worker.errors import SessionCorrupt
from tests.sessions.archives import REPOSITORY, archive, unpacked
from tests.support.repositories import git

PACKS = f"{REPOSITORY}/.git/objects/pack"
CORRUPT = "a pack that git cannot read: 'pack-1.idx'"
ONE, TWO = b"\x11" * 20, b"\xee" * 20
DELTA = bytes([5, 5, 0x90, 5])  # a copy of its base


def unpack(folder: Path, pack: bytes | None, index: bytes) -> None:
    """Unpack a session with a pack and its index."""
    members = [(f"{PACKS}/pack-1.idx", index)]
    if pack is not None:
        members.append((f"{PACKS}/pack-1.pack", pack))
    unpacked(folder, archive(*members))


def pack_of(*objects: bytes) -> tuple[bytes, list[int]]:
    """Return a pack, and where each object is in it."""
    pack, offsets = b"PACK" + struct.pack(">II", 2, len(objects)), []
    for each in objects:
        offsets.append(len(pack))
        pack += each
    return pack + hashlib.sha1(pack).digest(), offsets  # noqa: S324 (git's own)


def index_of(pack: bytes, offsets: dict[bytes, int], large: tuple[int, ...] = ()) -> bytes:
    """Return an index of the second version."""
    oids = sorted(offsets)
    fanout = [bisect_left(oids, bytes([byte + 1])) for byte in range(255)] + [len(oids)]
    table = struct.pack(f">{len(oids)}I", *(offsets[oid] for oid in oids))
    index = b"\xfftOc" + struct.pack(">257I", 2, *fanout) + b"".join(oids) + bytes(4 * len(oids)) + table
    index += struct.pack(f">{len(large)}Q", *large) + pack[-20:]
    return index + hashlib.sha1(index).digest()  # noqa: S324


def blob(data: bytes) -> bytes:
    """Return a blob as packs have it."""
    return bytes([0x30 | len(data)]) + zlib.compress(data)


def delta_of(oid: bytes) -> bytes:
    """Return a delta of an object that is named."""
    return bytes([0x70 | len(DELTA)]) + oid + zlib.compress(DELTA)


def delta_back(distance: int) -> bytes:
    """Return a delta of what is so many bytes before it."""
    assert distance < 128
    return bytes([0x60 | len(DELTA), distance]) + zlib.compress(DELTA)


def repository(folder: Path) -> Path:
    """Make a repository with a history that is worth deltas, and return it."""
    git("init", "--quiet", folder)
    lines = [f"line {number}" for number in range(200)]
    for commit in range(40):
        lines[commit] = f"changed {commit}"
        (folder / "file").write_text("\n".join(lines))
        (folder / f"noise-{commit}").write_bytes(os.urandom(300))
        git("-C", folder, "add", "-A")
        git("-C", folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", str(commit))
    return folder


@pytest.mark.parametrize("by_distance", [True, False])
@pytest.mark.parametrize("version", ["1", "2", "2,0x40"])
def test_what_git_packed_is_taken(by_distance: bool, version: str, tmp_path: Path) -> None:
    """Whatever the version of its index, and whichever way its deltas say what they are of."""
    made = repository(tmp_path / "made")
    how = ["--quiet", f"--index-version={version}", *(["--delta-base-offset"] if by_distance else [])]
    git("-C", made, "pack-objects", "--all", *how, made / "out")
    [pack], [index] = made.glob("out-*.pack"), made.glob("out-*.idx")
    assert b"chain length" in git("-C", made, "verify-pack", "--verbose", index)
    unpack(tmp_path / "session", pack.read_bytes(), index.read_bytes())


def test_an_index_without_its_pack_is_nobodys(tmp_path: Path) -> None:
    """Neither git nor libgit2 opens one."""
    unpack(tmp_path / "session", None, b"garbage")


def test_a_delta_of_what_is_not_in_the_pack_is_a_matter_of_libgit2(tmp_path: Path) -> None:
    """It says so and goes no further."""
    pack, [at] = pack_of(delta_of(TWO))
    unpack(tmp_path / "session", pack, index_of(pack, {ONE: at}))


def test_a_repository_that_lies_deeper_is_looked_at_when_it_is_adopted(tmp_path: Path) -> None:
    """Until then it is in the quarantine, where libgit2 sees nothing of it."""
    pack, _ = pack_of(blob(b"hello"))
    deeper = PACKS.replace(REPOSITORY, f"{REPOSITORY}/web")
    members = [(f"{deeper}/pack-1.idx", index_of(pack, {ONE: 1000})), (f"{deeper}/pack-1.pack", pack)]
    session = unpacked(tmp_path, archive(*members))
    with pytest.raises(SessionCorrupt, match=CORRUPT):
        adopt(session.folders, session.inventory, f"{REPOSITORY}/web".encode(), Limits())


def test_an_index_that_is_cut_anywhere_is_corrupt(tmp_path: Path) -> None:
    """Whatever is left of it."""
    pack, [at] = pack_of(blob(b"hello"))
    index = index_of(pack, {ONE: at})
    unpack(tmp_path / "whole", pack, index)
    for length in [*range(0, 1064, 40), *range(1064, len(index))]:
        with pytest.raises(SessionCorrupt, match=CORRUPT):
            unpack(tmp_path / str(length), pack, index[:length])


def test_a_pack_that_is_cut_before_its_objects_end_is_corrupt(tmp_path: Path) -> None:
    """Its index leads beyond it."""
    pack, offsets = pack_of(blob(b"hello"), blob(b"world"))
    index = index_of(pack, dict(zip((ONE, TWO), offsets, strict=True)))
    unpack(tmp_path / "whole", pack, index)
    for length in range(offsets[1] + 20):
        with pytest.raises(SessionCorrupt, match=CORRUPT):
            unpack(tmp_path / str(length), pack[:length], index)


Made = tuple[bytes, bytes]


def leading(offset: int) -> Callable[[], Made]:
    """Return a maker of a pack whose index leads elsewhere, from its end on if the offset is negative."""

    def make() -> Made:
        pack, _ = pack_of(blob(b"hello"))
        return pack, index_of(pack, {ONE: offset if offset >= 0 else len(pack) + offset})

    return make


def large(number: int, *places: int) -> Callable[[], Made]:
    """Return a maker of a pack with an object whose place is said in the table of large ones."""

    def make() -> Made:
        pack, [at] = pack_of(blob(b"hello"))
        return pack, index_of(pack, {ONE: 2**31 + number}, tuple(place or at for place in places))

    return make


def itself() -> Made:
    """Make an object that is a delta of itself."""
    pack, [at] = pack_of(delta_of(ONE))
    return pack, index_of(pack, {ONE: at})


def circle() -> Made:
    """Make two objects, each a delta of the other."""
    pack, offsets = pack_of(delta_of(TWO), delta_of(ONE))
    return pack, index_of(pack, dict(zip((ONE, TWO), offsets, strict=True)))


def hidden_circle() -> Made:
    """Make a delta of what lies within a blob, where it reads as a delta of that delta."""
    hidden = delta_of(ONE)
    outer = bytes([0xB0 | len(hidden) & 15, len(hidden) >> 4]) + zlib.compress(hidden, 0)
    distance = len(outer) - outer.index(hidden)
    pack, offsets = pack_of(outer, delta_back(distance))
    return pack, index_of(pack, {TWO: offsets[0], ONE: offsets[1]})


def long_chain(length: int) -> Callable[[], Made]:
    """Return a maker of so many deltas, each of the one before."""

    def make() -> Made:
        base, step = blob(b"hello"), len(delta_back(1))
        pack, offsets = pack_of(base, delta_back(len(base)), *[delta_back(step)] * (length - 1))
        oids = [(2**100 - number).to_bytes(20, "big") for number in range(length + 1)]  # the last one first
        return pack, index_of(pack, dict(zip(oids, offsets, strict=True)))

    return make


def before_the_first() -> Made:
    """Make a delta of what is before the first object."""
    pack, [at] = pack_of(delta_back(5))
    return pack, index_of(pack, {ONE: at})


def falling() -> Made:
    """Make an index whose counts fall."""
    pack, [at] = pack_of(blob(b"hello"))
    index = bytearray(index_of(pack, {ONE: at}))
    index[8 + 4 * 200 : 12 + 4 * 200] = struct.pack(">I", 0)
    return pack, bytes(index)


ASTRAY = {
    "beyond the pack": leading(2**25),
    "at its end": leading(-1),
    "in its checksum": leading(-20),
    "in its header": leading(11),
    "at its start": leading(0),
    "a large place that is not said": large(1, 0),
    "a large place beyond the pack": large(0, 2**40),
    "a delta of itself": itself,
    "two deltas in a circle": circle,
    "a circle that is hidden": hidden_circle,
    "a delta of what is before the first object": before_the_first,
    "a chain of deltas without a likely end": long_chain(10_001),
    "an index whose counts fall": falling,
}


@pytest.mark.parametrize("make", ASTRAY.values(), ids=ASTRAY)
def test_what_would_lead_libgit2_astray_is_corrupt(make: Callable[[], Made], tmp_path: Path) -> None:
    """It would read what is not its own, or read for ever."""
    with pytest.raises(SessionCorrupt, match=CORRUPT):
        unpack(tmp_path / "session", *make())


@pytest.mark.parametrize("make", [leading(12), large(0, 0), long_chain(4095)], ids=["near", "large", "long"])
def test_what_leads_there_is_taken(make: Callable[[], Made], tmp_path: Path) -> None:
    """The same with nothing wrong."""
    unpack(tmp_path / "session", *make())
