"""Our reader and writer of tar against the standard library's and GNU's."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from github_worker.archive import tar
from github_worker.archive.limits import Limits, Tally
from github_worker.archive.tar import Member, Owner, encode
from github_worker.archive.unpack import TarReader
from github_worker.errors import SessionCorrupt, SessionTooLarge
from tests.sessions.archives import archive, listing, packed, split, unpacked

KINDS = [tar.FILE, tar.HARD_LINK, tar.LINK, tar.CHARACTER, tar.DEVICE, tar.FOLDER, tar.PIPE]
# No names that one reader strips and another does not.
segment = st.binary(min_size=1, max_size=120).filter(
    lambda name: not {0, 47} & {*name} and name not in (b".", b"..")
)
path = st.lists(segment, min_size=1, max_size=6).map(b"/".join)
number = st.integers(0, 2**32 - 1)
owner_name = st.text("abc-ü", max_size=40)


@st.composite
def members(draw: st.DrawFn) -> Member:
    """Draw any member that a writer could write."""
    kind = draw(st.sampled_from(KINDS))
    content = draw(st.integers(0, 1500)) if kind == tar.FILE else 0
    owner = Owner(draw(number), draw(number), draw(owner_name).encode(), draw(owner_name).encode())
    return Member(
        path=draw(path),
        kind=kind,
        size=content,
        mode=draw(st.integers(0, 0o7777)),
        mtime=draw(st.integers(-(2**33), 2**33)) * 10**9 + draw(st.sampled_from((0, 1, 500_000_000))),
        owner=owner,
        link=draw(path) if kind in (tar.LINK, tar.HARD_LINK) else b"",
        device=(draw(st.integers(0, 2**21 - 1)), draw(st.integers(0, 255)))
        if kind in (tar.CHARACTER, tar.DEVICE)
        else (0, 0),
    )


def read(data: bytes) -> list[tuple[Member, bytes]]:
    """Read with our reader."""
    reader = TarReader(split(data, 700), Tally(Limits()))
    return [(member, b"".join(reader.content(member))) for member in reader]


def content(member: Member) -> bytes:
    """Return bytes of the member's size."""
    return b"c" * member.size


def written(drawn: list[Member]) -> bytes:
    """Write with our writer."""
    blocks = [
        encode(member, subsecond=True) + content(member) + bytes(-member.size % tar.BLOCK) for member in drawn
    ]
    return b"".join(blocks) + tar.END


def as_tarinfo(member: Member) -> tarfile.TarInfo:
    """Return the standard library's header of the same."""
    info = tarfile.TarInfo(member.path.decode("utf-8", "surrogateescape"))
    info.type, info.size, info.mode = member.kind, member.size, member.mode
    info.uid, info.gid = member.owner[:2]
    info.uname, info.gname = member.owner.uname.decode(), member.owner.gname.decode()
    info.linkname = member.link.decode("utf-8", "surrogateescape")
    info.devmajor, info.devminor = member.device
    info.mtime = member.mtime // 10**9
    return info


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def from_tarinfo(info: tarfile.TarInfo) -> dict[str, Any]:
    """Return what both agree on."""
    return {
        "path": _bytes(info.name),
        "kind": info.type,
        "size": info.size,
        "mode": info.mode,
        "mtime": float(info.mtime),
        "owner": (info.uid, info.gid, _bytes(info.uname), _bytes(info.gname)),
        "link": _bytes(info.linkname),
        "device": (info.devmajor, info.devminor),
    }


def ours(member: Member) -> dict[str, Any]:
    """Return the same of our member."""
    return {
        "path": member.path.rstrip(b"/"),
        "kind": member.kind,
        "size": member.size,
        "mode": member.mode,
        "mtime": member.mtime / 10**9,
        "owner": tuple(member.owner),
        "link": member.link,
        "device": member.device,
    }


@settings(max_examples=100, deadline=None)
@given(st.lists(members(), max_size=4), st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)))
def test_what_the_standard_library_writes_is_read(drawn: list[Member], format: int) -> None:
    """Our reader and the standard library's see the same in what the latter wrote."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as out:
        for member in drawn:
            out.addfile(as_tarinfo(member), io.BytesIO(content(member)))
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as theirs:
        expected = [from_tarinfo(info) for info in theirs]
    found = read(buffer.getvalue())
    assert [ours(member) for member, _ in found] == expected
    assert [data for _, data in found] == [content(member) for member in drawn]


@settings(max_examples=100, deadline=None)
@given(st.lists(members(), max_size=4))
def test_what_we_write_is_read_by_all(drawn: list[Member]) -> None:
    """The standard library and our reader get back each member that our writer wrote."""
    data = written(drawn)
    with tarfile.open(fileobj=io.BytesIO(data)) as theirs:
        infos = list(theirs)
        assert [from_tarinfo(info) for info in infos] == [ours(member) for member in drawn]
    found = [member for member, _ in read(data)]
    assert [(ours(member), member.mtime) for member in found] == [
        (ours(member), member.mtime) for member in drawn
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(members(), max_size=4))
def test_gnu_tar_lists_what_we_write(drawn: list[Member]) -> None:
    """GNU tar takes each archive of ours, and counts the same members."""
    command = ["tar", "-t", "--quoting-style=c"]
    listed = subprocess.run(
        command, check=False, input=written(drawn), capture_output=True, env={"LC_ALL": "C"}
    )
    assert not listed.returncode, listed.stderr
    assert len(listed.stdout.splitlines()) == len(drawn)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=3000), st.lists(members(), max_size=3), st.integers(0, 3000), st.binary(max_size=40)
)
def test_any_bytes_are_read_or_refused(noise: bytes, drawn: list[Member], at: int, patch: bytes) -> None:
    """Noise, and archives that are written over, are read or are corrupt; nothing else happens."""
    data = bytearray(written(drawn))
    data[at : at + len(patch)] = patch
    for each in (noise, bytes(data)):
        with suppress(SessionCorrupt, SessionTooLarge):
            read(each)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(segment, st.binary(max_size=2000), max_size=5), st.binary(max_size=50))
def test_files_of_any_name_come_back(files: dict[bytes, bytes], suffix: bytes) -> None:
    """Any name that a disk takes, and any content, is the same after a round trip."""
    named = [(os.fsdecode(b"folder/" + name), data + suffix) for name, data in files.items()]
    with tempfile.TemporaryDirectory() as folder:
        after = listing(packed(unpacked(Path(folder) / "session", archive(*named))))
    assert {name: after[name][6] for name, _ in named} == dict(named)


def test_an_old_folder_is_told_by_its_whole_name() -> None:
    """A slash at the end marks a folder of old, but not where a longer name was cut at it."""
    cut = b"d" * 99 + b"/"

    def header(name: bytes) -> bytes:
        return tarfile.TarInfo(name.decode()).tobuf(tarfile.USTAR_FORMAT)

    def long_name(name: bytes) -> bytes:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tar.LONG_NAME, len(name)
        return info.tobuf(tarfile.GNU_FORMAT) + name + bytes(-len(name) % tar.BLOCK)

    data = header(cut) + long_name(cut + b"file") + header(cut) + long_name(cut + b"sub/") + header(cut[:-1])
    assert [(member.path, member.kind) for member, _ in read(data + tar.END)] == [
        (cut, tar.FOLDER),
        (cut + b"file", tar.FILE),
        (cut + b"sub/", tar.FOLDER),
    ]


def test_a_long_file_is_not_cut_at_a_slash() -> None:
    """Readers that look at the header's part of a long name do not take a file for a folder."""
    header = encode(Member(b"d" * 99 + b"/" + b"f" * 120, tar.FILE, 0, 0o644, 0, Owner(0, 0, b"", b"")))
    assert header[-tar.BLOCK :][:100] == b"d" * 99 + b"\0"


def test_an_empty_record_takes_a_default_back() -> None:
    """After a global name, a member whose record of it is empty has the name in its header."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", pax_headers={"path": "every", "linkpath": "where", "uname": "root"}
    ) as out:
        info = tarfile.TarInfo("own")
        info.pax_headers = {"path": "", "uname": ""}
        out.addfile(info)
        out.addfile(tarfile.TarInfo("other"))
    assert [(member.path, member.owner.uname) for member, _ in read(buffer.getvalue())] == [
        (b"own", b""),
        (b"every", b"root"),
    ]


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 2**40])
def test_sizes_over_eight_gigabytes_are_written(size: int) -> None:
    """A size that no octal field holds goes in a pax record."""
    header = encode(Member(b"huge", tar.FILE, size, 0o644, 0, Owner(0, 0, b"", b"")))
    with tarfile.open(fileobj=io.BytesIO(header + tar.END)) as theirs:
        info = theirs.next()
    assert info is not None
    assert info.size == size
