"""Archives that a stranger wrote: none writes, reads or links anything outside of its folders."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from github_worker.errors import JobError, SessionCorrupt, SessionTooLarge
from tests.sessions.archives import REPOSITORY, archive, listing, member, packed, unpacked

pytestmark = pytest.mark.usefixtures("either_way")

GIT = f"{REPOSITORY}/.git"
Members = list[tarfile.TarInfo | tuple[str, bytes]]


def link(name: str, target: str) -> tarfile.TarInfo:
    """Return a symbolic link."""
    return member(name, tarfile.SYMTYPE, linkname=target)


def hard(name: str, target: str) -> tarfile.TarInfo:
    """Return a hard link."""
    return member(name, tarfile.LNKTYPE, linkname=target)


REFUSED: dict[str, Callable[[str], Members]] = {
    "an absolute name": lambda out: [(f"{out}/evil", b"x")],
    "a name with dots": lambda out: [("../../outside/evil", b"x")],
    "dots further on": lambda out: [("a/b/../../../../outside/evil", b"x")],
    "only dots": lambda out: [member("..", tarfile.DIRTYPE)],
    "dots after a link": lambda out: [link("a", out), ("a/../evil", b"x")],
    "a file through a link": lambda out: [link("a", out), ("a/evil", b"x")],
    "a file through a link, the link last": lambda out: [("a/evil", b"x"), link("a", out)],
    "a link through a link": lambda out: [link("a", out), link("a/evil", "x")],
    "a hard link to the outside": lambda out: [hard("a", f"{out}/canary")],
    "a hard link with dots": lambda out: [hard("a", "../../outside/canary")],
    "a hard link through a link": lambda out: [link("a", out), hard("b", "a/canary")],
    "a hard link to a folder": lambda out: [member("a", tarfile.DIRTYPE), hard("b", "a")],
    "a hard link to nothing": lambda out: [hard("b", "a"), ("a", b"")],
    "a hard link to itself": lambda out: [("a", b""), hard("a", "a")],
    "a hard link to the root": lambda out: [hard("a", ".")],
    "a device through a link": lambda out: [link("a", out), member("a/b", tarfile.FIFOTYPE)],
    "a file where a folder is": lambda out: [("a/b", b""), ("a", b"")],
    "a folder where a file is": lambda out: [("a", b""), ("a/b", b"")],
    "a pipe where a file is": lambda out: [("a", b""), member("a", tarfile.FIFOTYPE)],
    "a pipe where a folder is": lambda out: [member("a", tarfile.FIFOTYPE), ("a/b", b"")],
    "a pipe where git's folder is": lambda out: [member(".git", tarfile.FIFOTYPE), (".git/b", b"")],
    "a pipe where a link is below": lambda out: [
        member("workspace", tarfile.FIFOTYPE),
        link("workspace/workspace", out),
    ],
    "a file for the workspace": lambda out: [("workspace", b"")],
    "a file for the repositories": lambda out: [("workspace/workspace", b"")],
    "a folder for the metadata": lambda out: [("workspace/.session-metadata.json/a", b"")],
    "a link to nowhere": lambda out: [link("a", "")],
    "a file without a name": lambda out: [(".", b"")],
    "a repository that is a file and a folder": lambda out: [(GIT, b"gitdir: /"), (f"{GIT}/HEAD", b"")],
    "a nested repository in a link": lambda out: [link("v", out), ("v/.git/HEAD", b"")],
    "a nested repository in a link, the link last": lambda out: [("v/.git/HEAD", b""), link("v", out)],
    "a nested repository in a file": lambda out: [("v/w/.git/HEAD", b""), ("v", b"")],
    "a workspace that is a link and a folder": lambda out: [link("workspace", out), ("workspace/a", b"")],
    "a repository that is a link and a folder": lambda out: [link(GIT, out), (f"{GIT}/HEAD", b"")],
}

HARMLESS: dict[str, Callable[[str], Members]] = {
    "a folder mode through a link": lambda out: [link("a", out), member("a/", tarfile.DIRTYPE, mode=0)],
    "a folder over a link": lambda out: [link("a", out), member("a", tarfile.DIRTYPE), ("a/evil", b"x")],
    "a link and a file of one name": lambda out: [link("a", f"{out}/canary"), ("a", b"evil")],
    "a file and a link of one name": lambda out: [("a", b"evil"), link("a", f"{out}/canary")],
    "a hard link to a link": lambda out: [link("a", f"{out}/canary"), hard("b", "a")],
    "a hard link to a link, then a file": lambda out: [
        link("a", f"{out}/canary"),
        hard("b", "a"),
        ("b", b"evil"),
    ],
    "a time of a link": lambda out: [member("a", tarfile.SYMTYPE, linkname=out, mtime=1, mode=0)],
    "a mode of a link": lambda out: [member("a", tarfile.SYMTYPE, linkname=out, mode=0)],
    "a link for the metadata": lambda out: [link("workspace/.session-metadata.json", f"{out}/canary")],
    "a link for the repository": lambda out: [link(REPOSITORY, out)],
    "a link for git": lambda out: [link(GIT, out)],
    "git's config through a link": lambda out: [link(f"{GIT}/config", f"{out}/canary")],
    "objects elsewhere": lambda out: [link(f"{GIT}/objects", out)],
    "a hard link across": lambda out: [(f"{GIT}/config", b"evil"), hard(f"{GIT}/HEAD", f"{GIT}/config")],
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder beside the session's that nothing may touch."""
    folder = tmp_path / "outside"
    folder.mkdir(mode=0o751)
    (folder / "canary").write_text("alive")
    (folder / "canary").chmod(0o640)
    for path in (folder / "canary", folder):
        os.utime(path, ns=(1234567890, 1234567890))
    return folder


def state(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return all that could have been changed."""
    found = [folder, *sorted(folder.rglob("*"))]
    stats = [(str(path), path.lstat()) for path in found]
    assert (folder / "canary").read_text() == "alive"
    return [(path, status.st_mode, status.st_mtime_ns, status.st_nlink) for path, status in stats]


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_lies_or_leads_outside_is_refused(case: Callable[[str], Members], outside: Path) -> None:
    """The session is corrupt, and the world outside is as it was."""
    before = state(outside)
    with pytest.raises(SessionCorrupt):
        unpacked(outside.parent / "session", archive(*case(str(outside))))
    assert state(outside) == before
    assert {path.name for path in outside.parent.iterdir()} == {"outside", "session"}


@pytest.mark.parametrize("case", HARMLESS.values(), ids=HARMLESS)
def test_what_is_only_odd_touches_nothing_outside(case: Callable[[str], Members], outside: Path) -> None:
    """Links are kept as they are, and neither unpacking nor packing goes through them."""
    before = state(outside)
    session = unpacked(outside.parent / "session", archive(*case(str(outside))))
    after = packed(session)
    assert state(outside) == before
    assert b"alive" not in gzip.decompress(after)
    assert not any((session.folders.tree / "workspace").rglob(".git/config"))


def test_no_link_stands_where_the_worker_opens_files(tmp_path: Path) -> None:
    """A link in place of the workspace, the metadata or the repository is not in the tree."""
    for number, name in enumerate(("workspace", "workspace/workspace", REPOSITORY, GIT, f"{GIT}/HEAD")):
        session = unpacked(tmp_path / str(number), archive(link(name, "/etc")))
        assert not os.path.lexists(session.folders.tree / name)
        assert listing(packed(session))[name][4] == "/etc"


def test_devices_are_never_made(tmp_path: Path) -> None:
    """Devices and pipes go back into the archive and are not on the disk."""
    data = archive(member("pipe", tarfile.FIFOTYPE), ("file", b""))
    session = unpacked(tmp_path / "session", data, on_disk=True)
    assert os.listdir(session.folders.tree) == ["file"]
    assert listing(packed(session))["pipe"][0] == tarfile.FIFOTYPE


def test_a_hard_link_across_the_two_folders_is_a_copy(tmp_path: Path) -> None:
    """Nothing that libgit2 writes can change what is kept from it."""
    members = HARMLESS["a hard link across"]("")
    folders, _ = unpacked(tmp_path / "session", archive(*members))
    (folders.tree / GIT / "HEAD").write_text("changed")
    assert (folders.quarantine / GIT / "config").read_text() == "evil"


def test_a_message_shows_a_name_escaped(tmp_path: Path) -> None:
    """A name cannot write control characters into a log or an event."""
    with pytest.raises(SessionCorrupt) as caught:
        unpacked(tmp_path / "session", archive(("../\x1b[31m\n\udcff", b"")))
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


def raw(kind: bytes = b"0", content: bytes = b"", size: int | None = None, **fields: bytes) -> bytes:
    """Return a member whose fields are written over, with a good checksum."""
    header = bytearray(member("a", size=len(content) if size is None else size).tobuf(tarfile.USTAR_FORMAT))
    header[156:157] = kind
    for field, value in fields.items():
        start = {"length": 124, "mtime": 136, "uid": 108, "device": 329}[field]
        header[start : start + len(value)] = value
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)


def pax(record: bytes, kind: bytes = b"x") -> bytes:
    """Return a pax header of one record."""
    size = len(record) + 2
    while len(b"%d %b\n" % (size, record)) != size:
        size += 1
    return raw(kind, b"%d %b\n" % (size, record))


END = bytes(1024)
BROKEN = {
    "nothing": b"",
    "no header": b"\1" * 512 + END,
    "a wrong checksum": raw()[:-1] + b"\1" + END,
    "no end": raw(),
    "cut content": raw(size=5) + b"abc",
    "more after the end": raw() + END + b"more" + bytes(508),
    "a digit that is not octal": raw(length=b"00000000009\0") + END,
    "a sign": raw(length=b"-0000000001\0") + END,
    "an underscore": raw(length=b"0000000_001\0") + END,
    "a negative size": raw(length=b"\xff" * 12) + END,
    "a time beyond time": raw(mtime=b"\x80" + b"\xff" * 11) + END,
    "a negative owner": raw(uid=b"\xff" * 8) + END,
    "a huge device": raw(b"3", device=b"\x80" + b"\xff" * 7) + END,
    "a sparse file": raw(b"S") + END,
    "a volume label": raw(b"V") + END,
    "a folder with content": raw(b"5", bytes(512)) + END,
    "a pax header of nothing": pax(b"path=b") + END,
    "a pax header without sizes": raw(b"x", b"huh?") + raw() + END,
    "a pax record that is too long": raw(b"x", b"99 a=b\n") + raw() + END,
    "a pax record of length nothing": raw(b"x", b"0 a=b\n") + raw() + END,
    "a pax record without a value": pax(b"path") + raw() + END,
    "a pax size that is none": pax(b"size=none") + raw() + END,
    "a pax time that is none": pax(b"mtime=1e9") + raw() + END,
    "a pax sparse file": pax(b"GNU.sparse.major=1") + raw() + END,
    "a pax path with a null": pax(b"path=a\0b") + raw() + END,
    "a pax path with dots": pax(b"path=../../evil") + raw() + END,
    "a global pax path with dots": pax(b"path=../../evil", b"g") + raw() + END,
    "a pax link with a null": pax(b"linkpath=a\0b") + raw(b"2") + END,
    "a long name that is absolute": raw(b"L", b"/etc/evil") + raw() + END,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_archive_is_corrupt(data: bytes, tmp_path: Path) -> None:
    """Whatever is wrong with it, the answer is a sentence."""
    with pytest.raises(SessionCorrupt, match="session's archive"):
        unpacked(tmp_path / "session", gzip.compress(data) if data else b"")


@pytest.mark.parametrize(
    "name", ["n" * 256, "/".join("d" * 129), "/".join("long" * 50 for _ in range(25)), "p" * 5000]
)
def test_a_name_that_no_disk_takes_is_too_large(name: str, tmp_path: Path) -> None:
    """Names, paths and depth have limits."""
    with pytest.raises(SessionTooLarge):
        unpacked(tmp_path / "session", archive((name, b"")))


def test_an_endless_header_is_too_large(tmp_path: Path) -> None:
    """A header is not read into memory before its size is looked at, nor are many of them."""
    large = b"a=" + b"x" * 600_000
    between = pax(large) + raw(b"g") + pax(large)
    for number, data in enumerate((raw(b"L", size=2**21), pax(large) * 2, pax(large, b"g") * 2, between)):
        with pytest.raises(SessionTooLarge, match="header"):
            unpacked(tmp_path / str(number), gzip.compress(data + raw() + END))


def test_any_bytes_are_an_archive_or_an_error(tmp_path: Path) -> None:
    """Flipping any byte of an archive's headers gives an archive, or a JobError; never another exception."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("ü", size=3, mtime=1.5), io.BytesIO(b"abc"))
        tar.addfile(link("l", "t"))
    sound = buffer.getvalue()
    outcomes = set()
    for at in range(0, 2560, 7):
        broken = bytearray(sound)
        broken[at] ^= 0x41
        try:
            unpacked(tmp_path / str(at), gzip.compress(bytes(broken), 0))
            outcomes.add("read")
        except JobError as error:
            outcomes.add(error.code)
    assert "session_corrupt" in outcomes
