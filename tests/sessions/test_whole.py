"""A session in one folder: unpacked as it is, packed as it came, whoever made it and whoever changed it."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from github_worker.archive.limits import Limits
from github_worker.archive.quarantine import Inventory
from github_worker.archive.whole import FilesChanged, WholePacker, take_snapshot, unpack_whole
from github_worker.errors import SessionCorrupt, SessionTooLarge
from tests.sessions.archives import REPOSITORY, archive, listing, member, split
from tests.sessions.readers_and_writers import READERS, WRITERS, Writer
from tests.sessions.test_hostile_archives import HARMLESS, REFUSED, Members, outside, state
from tests.sessions.test_round_trip import KEPT
from tests.sessions.trees import entries, grow, seen
from tests.support.memory import MIB, bounded_memory

__all__ = ["outside"]
LIMITS = Limits()


class Whole(NamedTuple):
    """A session in a folder."""

    folder: Path
    inventory: Inventory

    def packer(self, limits: Limits = LIMITS) -> WholePacker:
        """Return what packs it."""
        return WholePacker(self.folder, self.inventory, limits)

    def packed(self) -> bytes:
        """Pack it as it is at one moment."""
        return b"".join(self.packer().pack(as_one=True))


def whole(folder: Path, data: bytes, limits: Limits = LIMITS) -> Whole:
    """Unpack an archive into a new folder."""
    folder.mkdir()
    return Whole(folder, unpack_whole(split(data), folder, limits))


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("members", KEPT.values(), ids=KEPT)
def test_it_comes_back_as_it_was(members: Members, format: int, tmp_path: Path) -> None:
    """Content, kind, mode, time, owner, link and name of each member are what they were."""
    before = archive(*members, format=format)
    after = listing(whole(tmp_path / "session", before).packed())
    came = listing(before)
    assert {name: after.get(name) for name in came} == came
    assert after.keys() - came.keys() <= {str(parent) for name in came for parent in Path(name).parents}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_name_comes_back(writer: str, tmp_path: Path) -> None:
    """Whoever wrote the archive, and whoever reads ours of it: all is as it was, and no one complains."""
    source, before, after = tmp_path / "source", tmp_path / "before.tgz", tmp_path / "after.tgz"
    source.mkdir()
    program: Writer = WRITERS[writer]
    grow(source, filter(program.room.record_clone, entries()))
    program.write(source, before)
    session = whole(tmp_path / "session", before.read_bytes())
    assert seen(session.folder) == seen(source)
    after.write_bytes(session.packed())
    for number, read in enumerate((READERS["gnu tar"], READERS["python"])):
        out = tmp_path / str(number)
        out.mkdir()
        read(after, out)
        assert seen(out) == seen(source)


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_lies_or_leads_outside_is_refused(case: Callable[[str], Members], outside: Path) -> None:
    """The session is corrupt, and the world outside is as it was."""
    before = state(outside)
    with pytest.raises(SessionCorrupt):
        whole(outside.parent / "session", archive(*case(str(outside))))
    assert state(outside) == before
    assert {path.name for path in outside.parent.iterdir()} == {"outside", "session"}


@pytest.mark.parametrize("case", HARMLESS.values(), ids=HARMLESS)
def test_what_is_only_odd_touches_nothing_outside(case: Callable[[str], Members], outside: Path) -> None:
    """Links are kept as they are, and neither unpacking nor packing goes through them."""
    before = state(outside)
    data = archive(*case(str(outside)))
    session = whole(outside.parent / "session", data)
    after = session.packed()
    assert state(outside) == before
    assert listing(after).keys() >= listing(data).keys()
    assert not any(content == b"alive" for *_, content, _ in listing(after).values())


def test_git_finds_all_of_its_repository(tmp_path: Path) -> None:
    """Configuration, hooks and nested repositories are in their places, with their modes."""
    session = whole(tmp_path / "session", archive(*KEPT["hooks and config"], *KEPT["nested repositories"]))
    repository = session.folder / REPOSITORY
    assert (repository / ".git/config").is_file()
    assert os.access(repository / ".git/hooks/pre-commit", os.X_OK)
    assert (repository / "vendor/.git/config").is_file()


def test_devices_and_set_user_bits_stay_in_the_archive(tmp_path: Path) -> None:
    """What could give a stranger rights is not on the disk, and goes back."""
    data = archive(member("pipe", tarfile.FIFOTYPE), member("a", mode=0o4755))
    session = whole(tmp_path / "session", data)
    assert os.listdir(session.folder) == ["a"]
    assert (session.folder / "a").stat().st_mode & 0o7777 == 0o755
    assert listing(session.packed()) == listing(data)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": lambda at: (at / "new").touch(),
    "a new empty folder": lambda at: (at / "d/new").mkdir(),
    "an edit": lambda at: (at / "a").write_text("longer than before"),
    "an edit of the same size": lambda at: (at / "a").write_text("B"),
    "an edit that puts the time back": lambda at: _edit_secretly(at / "a"),
    "a mode": lambda at: (at / "a").chmod(0o600),
    "a time": lambda at: os.utime(at / "a", (1, 1)),
    "a removal": lambda at: (at / "d/b").unlink(),
    "another name": lambda at: (at / "a").rename(at / "d/a"),
    "a link's target": lambda at: _lead_elsewhere(at / "l"),
    "another file of this name": lambda at: _replace(at / "a"),
    "a hard link": lambda at: os.link(at / "a", at / "d/c"),
}


def _edit_secretly(file: Path) -> None:
    status = file.stat()
    file.write_text("B")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _lead_elsewhere(link: Path) -> None:
    link.unlink()
    link.symlink_to("elsewhere")


def _replace(file: Path) -> None:
    status = file.stat()
    new = file.with_name("other")
    new.write_text("B")
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.rename(file)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_seen_at_once(change: Callable[[Path], object], tmp_path: Path) -> None:
    """Right after the look, and though no file is read."""
    data = archive(("a", b"A"), ("d/b", b""), member("l", tarfile.SYMTYPE, linkname="a"))
    session = whole(tmp_path / "session", data)
    before = take_snapshot(session.folder, LIMITS)
    change(session.folder)
    assert take_snapshot(session.folder, LIMITS).digest != before.digest


def test_reading_is_no_change(tmp_path: Path) -> None:
    """Who reads and lists, and packs, changes nothing."""
    session = whole(tmp_path / "session", archive(("a", b"A"), ("d/b", b"")))
    before = take_snapshot(session.folder, LIMITS)
    assert (session.folder / "a").read_bytes() == b"A"
    packer = session.packer()
    assert b"".join(packer.pack(as_one=True))
    assert take_snapshot(session.folder, LIMITS) == before == packer.snapshot


def test_a_file_that_changes_while_it_is_packed_is_not_saved_in_part(tmp_path: Path) -> None:
    """A process that goes on writing is noticed, and the archive gets no end."""
    session = whole(tmp_path / "session", archive(("log", bytes(5 * MIB)), ("z", b"")))
    pieces = session.packer().pack(as_one=False)
    assert next(pieces)
    with (session.folder / "log").open("ab") as log:
        log.write(b"more")
    with pytest.raises(FilesChanged, match="'log' was changed"):
        list(pieces)


@pytest.mark.parametrize("as_one", [True, False])
def test_an_archive_is_of_one_moment(tmp_path: Path, as_one: bool) -> None:
    """A file that was packed already and changes is a reason to begin anew, where one moment is asked for."""
    session = whole(tmp_path / "session", archive(("a", b"A"), ("b", bytes(3 * MIB)), ("c", bytes(3 * MIB))))
    packer = session.packer()
    pieces = packer.pack(as_one=as_one)
    assert next(pieces)
    (session.folder / "a").write_text("changed")
    if as_one:
        with pytest.raises(FilesChanged):
            list(pieces)
        return
    list(pieces)
    assert take_snapshot(session.folder, LIMITS) != packer.snapshot


def test_a_file_that_becomes_something_else_is_no_way_out(outside: Path) -> None:
    """A file that is replaced by a link after its folder was listed is not read through it."""
    session = whole(outside.parent / "session", archive(("a", bytes(3 * MIB)), ("b", b"")))
    pieces = session.packer().pack(as_one=False)
    assert next(pieces)
    (session.folder / "b").unlink()
    (session.folder / "b").symlink_to(outside / "canary")
    with pytest.raises(FilesChanged, match="'b' was changed"):
        list(pieces)


def test_a_folder_that_becomes_a_link_is_no_way_out(outside: Path) -> None:
    """Nor is what a link in place of a folder leads to."""
    session = whole(outside.parent / "session", archive(("a", bytes(3 * MIB)), ("b/canary", b"")))
    pieces = session.packer().pack(as_one=False)
    assert next(pieces)
    (session.folder / "b").rename(session.folder / "c")
    (session.folder / "b").symlink_to(outside)
    with pytest.raises(FilesChanged):
        list(pieces)


def test_sockets_and_pipes_are_left_out_and_told(tmp_path: Path) -> None:
    """A server that an agent left running keeps nobody from saving, and no pipe is waited for."""
    session = whole(tmp_path / "session", archive(("a", b"")))
    os.mkfifo(session.folder / "pipe")
    os.mknod(session.folder / "socket", stat.S_IFSOCK | 0o600)
    packer = session.packer()
    data = b"".join(packer.pack(as_one=True))
    assert list(listing(data)) == ["a"]
    assert packer.snapshot.left_out == (b"pipe", b"socket")


def test_an_enormous_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """One that holds nothing but a hole costs nothing to make, and is named."""
    session = whole(tmp_path / "session", archive(("a", b"")))
    with (session.folder / "hole").open("wb") as file:
        file.truncate(9 * 1024 * MIB)
    with pytest.raises(SessionTooLarge, match=r"'hole' has 9,663,676,416 bytes"):
        list(session.packer().pack(as_one=True))


def test_a_folder_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    """However deep an agent's folders are, the answer is a sentence."""
    session = whole(tmp_path / "session", archive(("a", b"")))
    folder = session.folder
    for _ in range(200):
        folder /= "d"
    folder.mkdir(parents=True)
    with pytest.raises(SessionTooLarge, match="too deep"):
        take_snapshot(session.folder, LIMITS)


def test_a_name_at_the_top_can_be_left_out(tmp_path: Path) -> None:
    """What is not the session's is neither packed nor seen; the same name further down is."""
    session = whole(tmp_path / "session", archive(("mine", b""), ("d/mine", b"")))
    before = take_snapshot(session.folder, LIMITS, without=b"mine")
    (session.folder / "mine").write_text("changed")
    packer = WholePacker(session.folder, session.inventory, LIMITS, without=b"mine")
    assert list(listing(b"".join(packer.pack(as_one=True)))) == ["d", "d/mine"]
    assert packer.snapshot == before


def large(files: int, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield many files, and some of many bytes."""
    for number in range(files):
        yield f"workspace/{number // 100}/file-{number}", b"text\n" * 20
    for number in range(3):
        yield f"workspace/large-{number}.png", os.urandom(size)


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A large session is never in memory, neither when it is unpacked nor when it is looked at and packed."""
    data = archive(*large(3000, 20 * MIB))
    folder = tmp_path / "session"
    folder.mkdir()
    with bounded_memory(16 * MIB):
        inventory = unpack_whole(split(data, MIB), folder, LIMITS)
        take_snapshot(folder, LIMITS)
        for _ in WholePacker(folder, inventory, LIMITS).pack(as_one=True):
            pass
