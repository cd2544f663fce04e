"""Archives of anything, unpacked to a disk: a session, or an error of two kinds; the world outside stays."""

from __future__ import annotations

import gzip
import operator
import os
import re
import tarfile
import tempfile
import zlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from github_worker.archive.limits import Limits
from github_worker.errors import SessionCorrupt, SessionTooLarge
from tests.sessions.archives import REPOSITORY, archive, listing, member, packed, split, unpacked

CANARY = b"canary-0123456789"
LIMITS = Limits(max_bytes=2**20, max_files=40, max_depth=12)
KINDS = (
    tarfile.REGTYPE,
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
)
SEGMENTS = ["workspace", "app", ".git", "HEAD", "config", "refs", "objects", "a", "b", "\udcff"]
RECORDS = [
    "path",
    "size",
    "mtime",
    "linkpath",
    "uid",
    "gid",
    "uname",
    "gname",
    "comment",
    "SCHILY.xattr.user.x",
    "GNU.sparse.major",
]
ODD_SEGMENTS = ["..", ".", "", ".GIT", "git~1", "\n", "n" * 256, "\0", ".session-metadata.json"]

usual = st.sampled_from(SEGMENTS)
segment = usual | usual | st.sampled_from(ODD_SEGMENTS) | st.text(max_size=20)
path = st.lists(segment, min_size=1, max_size=6).map("/".join)
target = path | st.sampled_from(["../outside", "../../outside/canary", "/", "/etc/passwd", ""])
seconds = st.integers(0, 2**31)


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """Draw a header and its content, under names that a stranger would choose."""
    kind = draw(st.sampled_from(KINDS))
    content = draw(st.binary(max_size=600)) if kind == tarfile.REGTYPE else b""
    header = member(
        draw(path),
        kind,
        size=len(content),
        mode=draw(st.integers(0, 0o7777)),
        mtime=draw(seconds | seconds | st.integers(-(2**60), 2**60) | st.floats(-1e18, 1e18)),
        uid=draw(st.integers(0, 2**40)),
        gname=draw(st.text(max_size=40)),
        linkname=draw(target) if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "",
        pax_headers=draw(
            st.dictionaries(st.sampled_from(RECORDS), st.text() | st.integers().map(str), max_size=3)
        ),
    )
    blocks = header.tobuf(
        draw(st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))), errors="surrogateescape"
    )
    return blocks + content + bytes(-len(content) % tarfile.BLOCKSIZE)


@st.composite
def written_over(draw: st.DrawFn, sound: bytes) -> bytes:
    """Draw the same bytes with a few of them changed, lost or inserted."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 20))] = draw(st.binary(max_size=20))
    return bytes(data)


tars = st.lists(members(), max_size=8).map(lambda blocks: b"".join(blocks) + bytes(1024))
archives = st.one_of(
    tars.map(gzip.compress),
    tars.flatmap(written_over).map(gzip.compress),
    tars.map(gzip.compress).flatmap(written_over),
    st.binary(max_size=600),
    st.binary(max_size=1200).map(gzip.compress),
)
headers = st.builds(
    b"%b %b\0".__mod__,
    st.tuples(
        st.sampled_from([b"blob", b"tree", b"commit", b"tag", b"blub"]), st.integers(0, 99).map(b"%d".__mod__)
    ),
)
objects = st.builds(operator.add, headers, st.binary(max_size=30)).map(zlib.compress)


def round_trip(folder: Path, archive: bytes) -> bytes | None:
    """Unpack and pack again; return None if the archive is refused."""
    try:
        session = unpacked(folder, archive, LIMITS)
    except (SessionCorrupt, SessionTooLarge):
        return None
    return packed(session)


def state(folder: Path) -> list[tuple[object, ...]]:
    """Return all that could have been changed in a folder."""
    stats = [(path, path.lstat()) for path in sorted([folder, *folder.rglob("*")])]
    return [(path, each.st_mode, each.st_mtime_ns, each.st_nlink, each.st_size) for path, each in stats]


@given(archives)
def test_any_archive_is_a_session_or_refused(archive: bytes) -> None:
    """Nothing else is raised, nothing is touched outside, and what is packed again is whole."""
    with tempfile.TemporaryDirectory() as scratch:
        outside = Path(scratch) / "outside"
        outside.mkdir()
        (outside / "canary").write_bytes(CANARY)
        before = state(outside)
        again = round_trip(Path(scratch) / "session", archive)
        assert state(outside) == before
        assert set(os.listdir(scratch)) <= {"outside", "session"}
        if again is not None:
            assert CANARY not in gzip.decompress(again)
            twice = round_trip(Path(scratch) / "again", again)
            assert twice is not None
            assert listing(twice) == listing(again)


def is_sound(data: bytes) -> bool:
    """Tell by other means than the service's whether bytes are a loose object that git can read."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data)
    except zlib.error:
        return False
    header = re.match(rb"(?:blob|tree|commit|tag) (0|[1-9][0-9]*)\0", content)
    if header is None or not inflater.eof or inflater.unused_data:
        return False
    return len(content) - header.end() == int(header[1])


@st.composite
def cut_or_written_over(draw: st.DrawFn) -> bytes:
    """Draw a loose object, most often a damaged one."""
    data = draw(objects)
    how = draw(st.sampled_from(["as it is", "cut", "written over", "with its size"]))
    if how == "cut":
        return data[: draw(st.integers(0, len(data)))]
    if how == "written over":
        return draw(written_over(data))
    if how == "with its size":
        content = draw(st.binary(max_size=99))
        return zlib.compress(b"blob %d\0" % len(content) + content, draw(st.integers(0, 9)))
    return data


@given(data=cut_or_written_over(), size=st.integers(1, 700))
def test_any_object_is_sound_or_refused(data: bytes, size: int) -> None:
    """In whatever pieces it comes."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = archive((f"{REPOSITORY}/.git/objects/ab/{'c' * 38}", data))
        try:
            unpacked(Path(scratch) / "session", split(whole, size))
        except SessionCorrupt:
            assert not is_sound(data)
        else:
            assert is_sound(data)
