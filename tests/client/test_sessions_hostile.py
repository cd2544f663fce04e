"""What an agent can leave in a session's folder: it is saved or refused in words, and always removed."""
# ruff: noqa: PT012 (what a checkout does is done at the end of its block)

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from github_worker_client.sessions import (
    FilesUnsettled,
    SessionConflict,
    SessionCorrupt,
    SessionStore,
    SessionTooLarge,
)
from github_worker_client.sessions.removal import remove
from tests.sessions.archives import archive, member
from tests.sessions.test_hostile_archives import REFUSED, Members, outside, state
from tests.support.sessions import SessionFolder, metadata, pack

__all__ = ["outside"]
MIB = 2**20
REPOSITORY = "workspace/workspace/app"


@pytest.fixture
def folder(sessions: SessionFolder) -> SessionFolder:
    """Return a store with a session of one file."""
    fields = metadata("session-1", github={"repoUrl": "https://github.com/o/app", "clonedPath": "app"})
    sessions.put("session-1", pack(fields, entries={f"{REPOSITORY}/a": "A"}))
    return sessions


@pytest.fixture
def store(folder: SessionFolder, scratch: Path) -> SessionStore:
    """Return a store that checks out into `scratch`."""
    return SessionStore(folder.url, folder=scratch)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Return where sessions are checked out."""
    made = tmp_path / "scratch"
    made.mkdir()
    return made


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
async def test_a_hostile_archive_leaves_nothing(
    case: Callable[[str], Members], outside: Path, folder: SessionFolder, scratch: Path
) -> None:
    """It is refused, its folder is gone, and the world outside is as it was."""
    before = state(outside)
    folder.put("session-1", archive(*case(str(outside))))
    with pytest.raises(SessionCorrupt):
        async with SessionStore(folder.url, folder=scratch).checkout("session-1"):
            raise AssertionError
    assert state(outside) == before
    assert not list(scratch.iterdir())


async def test_an_archive_over_the_limits_leaves_nothing(folder: SessionFolder, scratch: Path) -> None:
    """Of bytes or of files, in words."""
    folder.put("session-1", archive(*((f"f{number}", bytes(1000)) for number in range(100))))
    for limits in ({"max_files": 50}, {"max_bytes": 50_000}):
        with pytest.raises(SessionTooLarge, match=r"more than 50 files|larger than 50000 bytes"):
            async with SessionStore(folder.url, folder=scratch, **limits).checkout("session-1"):  # type: ignore[arg-type]
                raise AssertionError
    assert not list(scratch.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a disk of one megabyte."""
    disk = tmp_path / "small"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


async def test_a_disk_that_is_full_is_said(folder: SessionFolder, small_disk: Path) -> None:
    """As a session that is too large for it."""
    folder.put("session-1", archive(("a", os.urandom(3 * MIB))))
    with pytest.raises(SessionTooLarge, match="No space left on device"):
        async with SessionStore(folder.url, folder=small_disk).checkout("session-1"):
            raise AssertionError
    assert not list(small_disk.iterdir())


async def test_sockets_and_pipes_are_left_out(
    store: SessionStore, folder: SessionFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest is saved, and what was left out is told and logged."""
    with caplog.at_level(logging.WARNING):
        async with store.checkout("session-1") as session:
            os.mknod(session.folder / "agent.sock", stat.S_IFSOCK | 0o600)
            os.mkfifo(session.repository / "pipe")
            (session.repository / "a").write_text("changed")
            await session.save()
            assert session.left_out == ["agent.sock", f"{REPOSITORY}/pipe"]
    assert "was saved without agent.sock" in caplog.text
    names = folder.get("session-1").members()
    assert not {"agent.sock", f"{REPOSITORY}/pipe"} & names.keys()


async def test_an_enormous_file_is_refused_and_the_work_is_kept(
    store: SessionStore, folder: SessionFolder, scratch: Path
) -> None:
    """The message names it, and says where the files are."""
    before = folder.archive("session-1").read_bytes()
    with pytest.raises(
        SessionTooLarge, match="'workspace/workspace/app/core' has 9,663,676,416 bytes"
    ) as caught:
        async with store.checkout("session-1") as session:
            with (session.repository / "core").open("wb") as file:
                file.truncate(9 * 1024 * MIB)
    assert folder.archive("session-1").read_bytes() == before
    assert caught.value.folder == session.folder
    assert session.folder.is_relative_to(scratch)
    assert (session.repository / "core").exists()


async def test_a_process_that_goes_on_writing_is_told_of(store: SessionStore, folder: SessionFolder) -> None:
    """A file that changes each time it is read is named after some tries; nothing of it is saved."""
    before = folder.archive("session-1").read_bytes()
    has_ended = threading.Event()

    def write(path: Path) -> None:
        with path.open("r+b") as file:
            while not has_ended.is_set():
                file.seek(0)
                file.write(os.urandom(16))
                file.flush()

    with pytest.raises(FilesUnsettled, match="log' was changed while it was saved"):
        async with store.checkout("session-1", keep_unsaved=False) as session:
            log = session.repository / "log"
            log.write_bytes(bytes(64 * MIB))
            writer = threading.Thread(target=write, args=(log,))
            writer.start()
            try:
                await session.save()
            finally:
                has_ended.set()
                writer.join()
    assert folder.archive("session-1").read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's rights")
def test_a_file_that_cannot_be_read_is_named(folder: SessionFolder, tmp_path: Path) -> None:
    """An agent that took away everybody's rights is told of, and its folder is removed all the same."""
    script = f"""
import asyncio, os
from github_worker_client.sessions import FilesUnsettled, SessionStore
async def main():
    store = SessionStore({folder.url!r}, folder={str(tmp_path / "theirs")!r})
    os.setgid(65534)
    os.setuid(65534)
    try:
        async with store.checkout("session-1", keep_unsaved=False) as session:
            (session.repository / "locked").mkdir()
            (session.repository / "locked/x").touch()
            (session.repository / "a").chmod(0)
            (session.repository / "locked").chmod(0)
    except FilesUnsettled as error:
        print(error)
asyncio.run(main())
"""
    (tmp_path / "theirs").mkdir(mode=0o777)
    (tmp_path / "theirs").chmod(0o777)
    for path in (*tmp_path.parents, tmp_path, folder.path, folder.path / "session-1"):
        if path.owner() == "root" and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert "Permission denied" in ended.stdout
    assert not list((tmp_path / "theirs").iterdir())


def test_a_folder_of_any_depth_is_removed(tmp_path: Path) -> None:
    """Deeper than paths can be long, and than Python's stack is."""
    top = tmp_path / "deep"
    top.mkdir()
    (top / "file").touch()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 20, dir_fd=folder)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    remove(top)
    assert not top.exists()


def test_removal_follows_no_link(outside: Path) -> None:
    """Neither one to a folder nor one to a file, however it is removed."""
    before = state(outside)
    top = outside.parent / "top"
    below = top
    below.mkdir()
    for _ in range(1200):
        below /= "d"
        if len(os.fsencode(below)) > 4000:
            break
        below.mkdir()
    (top / "folder").symlink_to(outside)
    (top / "d/file").symlink_to(outside / "canary")
    remove(top)
    assert not top.exists()
    assert state(outside) == before


async def test_a_deep_folder_of_an_agents_is_refused_and_removed(store: SessionStore, scratch: Path) -> None:
    """In words, and nothing stays."""
    with pytest.raises(SessionTooLarge, match="too deep"):
        async with store.checkout("session-1", keep_unsaved=False) as session:
            os.makedirs(session.repository / "/".join(["d"] * 900))
    assert not list(scratch.iterdir())


async def test_an_agent_that_removes_its_folder_is_told_of(
    store: SessionStore, folder: SessionFolder, scratch: Path
) -> None:
    """A session is never saved empty because somebody moved it away."""
    before = folder.archive("session-1").read_bytes()
    with pytest.raises(FilesUnsettled, match="No such file or directory"):
        async with store.checkout("session-1", keep_unsaved=False) as session:
            session.folder.rename(scratch / "moved")
    assert folder.archive("session-1").read_bytes() == before


async def test_links_that_an_agent_makes_are_saved_as_links(
    store: SessionStore, folder: SessionFolder, outside: Path
) -> None:
    """What they lead to is not read, and is not in the archive."""
    before = state(outside)
    async with store.checkout("session-1") as session:
        (session.repository / "link").symlink_to(outside)
        (session.repository / "a").unlink()
        (session.repository / "a").symlink_to(outside / "canary")
    members = folder.get("session-1").members()
    assert members[f"{REPOSITORY}/link"].issym()
    assert members[f"{REPOSITORY}/a"].linkname == str(outside / "canary")
    assert state(outside) == before


async def test_a_large_session_goes_out_and_in(folder: SessionFolder, scratch: Path) -> None:
    """Many files and large ones: larger than what goes in one request, and every byte is there."""
    images = {f"{REPOSITORY}/{number}.png": os.urandom(10 * MIB) for number in range(3)}
    files = {f"{REPOSITORY}/{number % 97}/{number}": f"{number}\n".encode() for number in range(5000)}
    fields = metadata("session-1", github={"repoUrl": "https://github.com/o/app", "clonedPath": "app"})
    folder.put("session-1", pack(fields, entries={**images, **files}))
    async with SessionStore(folder.url, folder=scratch).checkout("session-1") as session:
        (session.repository / "0/0").write_text("changed\n")
    after = folder.get("session-1")
    assert after.read(f"{REPOSITORY}/0/0") == b"changed\n"
    assert after.members().keys() >= images.keys() | files.keys()
    for name, content in images.items():
        assert after.read(name) == content


async def test_a_large_session_that_another_writer_saved_is_not_overwritten(
    folder: SessionFolder, scratch: Path
) -> None:
    """Where an archive is too large for one request its version is compared before the end."""
    folder.put("session-1", archive(("a.png", os.urandom(30 * MIB))))
    theirs = archive(member("theirs"))
    with pytest.raises(SessionConflict):
        async with SessionStore(folder.url, folder=scratch).checkout(
            "session-1", keep_unsaved=False
        ) as session:
            (session.folder / "ours").touch()
            folder.put("session-1", theirs)
    assert folder.archive("session-1").read_bytes() == theirs
