"""Files that wait in the spool: they are packed from there, and are on the disk for whoever needs them."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from github_worker.archive.contents import Contents, FolderFiles, Spool, Trust
from github_worker.archive.limits import ENTRY, Limits
from github_worker.archive.quarantine import Folders
from github_worker.archive.unpack import unpack
from github_worker.errors import Internal
from github_worker.git.native import blob_id
from tests.sessions.archives import (
    OBJECT,
    REPOSITORY,
    Unpacked,
    archive,
    listing,
    member,
    packed,
    split,
    unpacked,
)
from tests.sessions.test_round_trip import KEPT

GIT = f"{REPOSITORY}/.git"
NOTES = f"{REPOSITORY}/notes.txt"


def with_folders(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    """Return an archive that tells every folder's time: one that is left out is as old as its unpacking."""
    names = [each.name if isinstance(each, tarfile.TarInfo) else each[0] for each in members]
    parents = {str(parent) for name in names for parent in Path(name).parents} - {".", *names}
    folders = (member(name, tarfile.DIRTYPE, mode=0o755, mtime=7) for name in sorted(parents))
    return archive(*members, *folders)


def on_disk(session: Unpacked) -> set[str]:
    """Return the files of the tree that are on the disk."""
    tree = session.folders.tree
    files = (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(tree)) for path in files}


def spool_of(folder: Path, **files: bytes) -> Spool:
    """Return a spool with files of the workspace's repository."""
    spool = Spool(folder / "spool", folder)
    for name, content in files.items():
        spool.add(f"{REPOSITORY}/{name}".encode(), 0o644, 0, [memoryview(content)])
    return spool


@pytest.mark.parametrize("members", KEPT.values(), ids=KEPT)
def test_the_archive_is_the_same_byte_for_byte(
    members: list[tarfile.TarInfo | tuple[str, bytes]], tmp_path: Path
) -> None:
    """Whether the files were on the disk, in the spool, or in it until they were fetched, nobody can tell."""
    data = with_folders(*members)
    written = packed(unpacked(tmp_path / "written", data, on_disk=True))
    spooled = unpacked(tmp_path / "spooled", data)
    assert packed(spooled) == written
    _ = list(spooled.inventory.spool.fetch_all())
    assert packed(spooled) == written


def test_plain_files_wait_and_what_others_open_is_on_the_disk(tmp_path: Path) -> None:
    """Git's own files, attributes and the metadata are read by those who know of no spool."""
    apart = {
        "workspace/.session-metadata.json": b"{}",
        f"{GIT}/HEAD": b"ref: refs/heads/main\n",
        f"{GIT}/objects/ab/{'c' * 38}": OBJECT,
        f"{REPOSITORY}/.gitattributes": b"*.txt text\n",
        f"{REPOSITORY}/{'/'.join(['d' * 200] * 12)}": b"deep",
        "workspace/workspace/file": b"in the place of a repository",
        f"{REPOSITORY}/large.bin": bytes(256 * 1024 + 1),
    }
    waiting = {NOTES: b"n", f"{REPOSITORY}/src/.gitignore": b"*.o\n", ".claude/x.jsonl": b"{}"}
    session = unpacked(tmp_path / "session", archive(*apart.items(), *waiting.items()))
    assert on_disk(session) == apart.keys()
    assert all(name.encode() in session.inventory.spool for name in waiting)


def test_a_file_is_fetched_with_its_mode_and_time(tmp_path: Path) -> None:
    """On the disk it is what it would have been, whatever the umask."""
    members = [member(NOTES, size=200_000, mode=0o776, mtime=1_700_000_000)]
    session = unpacked(tmp_path / "session", archive(*members))
    assert session.inventory.spool.fetch(NOTES.encode()) is not None
    status = (session.folders.tree / NOTES).stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o776, 1_700_000_000)
    assert status.st_size == 200_000
    assert NOTES.encode() not in session.inventory.spool
    assert session.inventory.spool.fetch(NOTES.encode()) is None


def test_the_disk_does_not_hold_everything_twice(tmp_path: Path) -> None:
    """The spool gives its room back while the files are fetched."""
    members = [(f"{REPOSITORY}/{number}", bytes(200_000)) for number in range(100)]
    session = unpacked(tmp_path / "session", archive(*members))
    spool, most = tmp_path / "session" / "spool", 0
    for _ in session.inventory.spool.fetch_all():
        written = sum(file.stat().st_size for file in (session.folders.tree / REPOSITORY).iterdir())
        most = max(most, written + spool.stat().st_size)
    assert spool.stat().st_size < 5_000_000
    assert most < 20_000_000 + 5_000_000


def test_names_that_would_fill_the_memory_are_on_the_disk(tmp_path: Path) -> None:
    """The spool remembers so many files, and the rest is unpacked as ever; a name stays where it was."""
    members = [(f"{REPOSITORY}/{number:03}", b"%d" % number) for number in range(20)]
    data = with_folders(*members, (f"{REPOSITORY}/019", b"again"), (f"{REPOSITORY}/000", b"again"))
    folders = Folders.make(tmp_path)
    room = 5 * (ENTRY + len(f"{REPOSITORY}/000"))
    spool = Spool(tmp_path / "spool", folders.tree, most_kept=room)
    session = Unpacked(folders, unpack(split(data), folders, Limits(), spool=spool))
    assert len(spool.files(REPOSITORY.encode())) == 4
    assert len(on_disk(session)) == 16
    written = unpacked(tmp_path / "written", data, on_disk=True)
    assert packed(session) == packed(written)


def test_a_later_member_replaces_what_waits(tmp_path: Path) -> None:
    """The last of a name counts, whatever it is and wherever the earlier one was."""
    data = archive(
        (NOTES, b"first"),
        (NOTES, b"second"),
        ("a", b"file"),
        member("a", tarfile.SYMTYPE, linkname="elsewhere", mode=0o777),
        ("b", b"file"),
        ("c", b"linked"),
        member("b", tarfile.LNKTYPE, linkname="c"),
        ("c", b"anew"),
    )
    after = listing(packed(unpacked(tmp_path / "session", data)))
    assert after[NOTES][6] == b"second"
    assert (after["a"][0], after["a"][4]) == (tarfile.SYMTYPE, "elsewhere")
    assert (after["b"][6], after["c"][6]) == (b"linked", b"anew")


def test_hard_links_are_on_the_disk(tmp_path: Path) -> None:
    """A file that has another name is written for it."""
    session = unpacked(
        tmp_path / "session", archive((NOTES, b"n"), member("other", tarfile.LNKTYPE, linkname=NOTES))
    )
    assert (session.folders.tree / "other").samefile(session.folders.tree / NOTES)


def test_a_spool_that_was_cut_ends_the_archive(tmp_path: Path) -> None:
    """What is shorter than its header says would shift all that follows; nor is a part of it fetched."""
    session = unpacked(tmp_path / "session", archive((NOTES, b"n" * 100)))
    os.truncate(tmp_path / "session" / "spool", 50)
    with pytest.raises(Internal):
        packed(session)
    with pytest.raises(Internal):
        session.inventory.spool.fetch(NOTES.encode())
    assert not (session.folders.tree / NOTES).exists()


def test_the_memory_of_many_files_is_bounded(tmp_path: Path) -> None:
    """What the spool knows of a file costs no more than is counted for it."""
    spool = Spool(tmp_path / "spool", tmp_path)
    tracemalloc.start()
    try:
        count = 0
        while spool.has_room(path := b"workspace/workspace/app/%06d/%06d.py" % (count // 100, count)):
            spool.add(path, 0o644, 1_700_000_000_000_000_000 + count, [])
            count += 1
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 50_000
    assert size < 40 * 2**20


@pytest.mark.parametrize(
    ("trust", "text", "returns"),
    [(Trust.ALL, True, True), (Trust.PLAIN, True, False), (Trust.NONE, False, False)],
)
@pytest.mark.parametrize("is_fetched", [False, True])
def test_contents_are_believed_as_far_as_git_keeps_them(
    trust: Trust, text: bool, returns: bool, is_fetched: bool, tmp_path: Path
) -> None:
    """Where git may convert text with carriage returns, or anything, they say nothing; fetched or not."""
    (tmp_path / REPOSITORY).mkdir(parents=True)
    spool = spool_of(tmp_path, text=b"a\n", returns=b"a\r\n")
    folder = REPOSITORY.encode()
    files = FolderFiles(Contents(), spool, folder, os.fsencode(tmp_path) + b"/" + folder, trust)
    if is_fetched:
        assert files.fetch_all()
        assert not files.fetch_all()

    def has(name: bytes, data: bytes) -> bool:
        if is_fetched:
            return files.has(name, (tmp_path / REPOSITORY / os.fsdecode(name)).stat(), blob_id(data))
        return files.spool_has(name, blob_id(data))

    assert has(b"text", b"a\n") is text
    assert has(b"returns", b"a\r\n") is returns
    assert not has(b"text", b"b\n")


def test_a_spool_without_a_file_takes_nothing() -> None:
    """A new session has none."""
    assert not Spool().has_room(b"a")
    assert Spool().get(b"a") is None


def test_an_archive_that_breaks_off_is_refused(tmp_path: Path) -> None:
    """A file that ends before its size is no file, in the spool either."""
    data = gzip.compress(gzip.decompress(archive((NOTES, bytes(50_000))))[:20_000])
    with pytest.raises(Exception, match="ends too early"):
        unpacked(tmp_path / "session", data)
