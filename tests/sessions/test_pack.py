"""How a session is packed while it is still being worked on."""

from __future__ import annotations

import errno
import os
import socket
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from github_worker.archive.limits import Limits
from github_worker.archive.pack import pack
from github_worker.errors import Internal, SessionTooLarge, UnsupportedRepository
from tests.sessions.archives import (
    OBJECT,
    REPOSITORY,
    Unpacked,
    archive,
    listing,
    member,
    names,
    nothing,
    packed,
    unpacked,
)

GIT = f"{REPOSITORY}/.git"
PACK = f"{GIT}/objects/pack/pack-{'1' * 40}.pack"
LOOSE = f"{GIT}/objects/ab/{'c' * 38}"
LATER = f"{GIT}/objects/de/{'f' * 38}"


@pytest.fixture
def session(tmp_path: Path) -> Unpacked:
    """Return a session with a repository."""
    return unpacked(
        tmp_path / "session",
        archive(
            ("workspace/.session-metadata.json", b"{}"),
            (f"{REPOSITORY}/README.md", b"read me"),
            (f"{GIT}/HEAD", b"ref: refs/heads/main\n"),
            (f"{GIT}/config", b"[core]\n"),
            (f"{GIT}/hooks/pre-push", b"#!"),
            (f"{GIT}/index", b"DIRC"),
            (f"{GIT}/refs/heads/main", b"1" * 40),
            (LOOSE, OBJECT),
            (PACK, b"PACK"),
            (".claude/x", b"x"),
        ),
        on_disk=True,
    )


def test_objects_come_first_and_what_a_push_changes_last(session: Unpacked) -> None:
    """The order lets the upload run beside the checkout and the push."""
    files = _files(session)
    found = [name for name in names(packed(session)) if name in files]
    assert found == [
        LOOSE,
        PACK,
        ".claude/x",
        f"{REPOSITORY}/README.md",
        f"{GIT}/hooks/pre-push",
        "workspace/.session-metadata.json",
        f"{GIT}/HEAD",
        f"{GIT}/index",
        f"{GIT}/refs/heads/main",
        f"{GIT}/config",
    ]


def _files(session: Unpacked) -> set[str]:
    return {
        str(path.relative_to(root))
        for root in (session.folders.tree, session.folders.quarantine)
        for path in root.rglob("*")
        if not path.is_dir()
    }


def test_each_part_is_as_it_is_after_its_wait(session: Unpacked) -> None:
    """What changes during the checkout and the push goes into the archive as it then is."""
    tree, quarantine = session.folders.tree, session.folders.quarantine

    def check_out() -> None:
        (tree / REPOSITORY / "README.md").write_text("checked out")
        (tree / REPOSITORY / "new").mkdir()
        (tree / REPOSITORY / "new" / "file").write_text("new")

    def push() -> None:
        (tree / GIT / "refs/heads/main").write_text("2" * 40)
        (tree / GIT / "FETCH_HEAD").write_text("")
        (quarantine / GIT / "config").write_text("[branch]\n")
        (tree / "workspace/.session-metadata.json").write_text('{"a":1}')

    after = listing(packed(session, before_worktree=check_out, before_tail=push))
    assert after[f"{REPOSITORY}/README.md"][6] == b"checked out"
    assert after[f"{REPOSITORY}/new/file"][6] == b"new"
    assert after[f"{GIT}/refs/heads/main"][6] == b"2" * 40
    assert after[f"{GIT}/config"][6] == b"[branch]\n"
    assert after["workspace/.session-metadata.json"][6] == b'{"a":1}'
    assert f"{GIT}/FETCH_HEAD" in after


@pytest.mark.parametrize("gate", ["before_worktree", "before_tail"])
def test_an_object_that_comes_late_is_archived(session: Unpacked, gate: str) -> None:
    """An object written after the objects were archived is in the archive, and none is in it twice."""

    def write() -> None:
        path = session.folders.tree / LATER
        path.parent.mkdir()
        path.write_text("late")

    gates: dict[str, Any] = {gate: write}
    found = names(packed(session, **gates))
    assert LATER in found
    assert len(found) == len(set(found))


@pytest.mark.parametrize("gate", ["before_worktree", "before_tail"])
def test_a_wait_that_raises_ends_the_archive(session: Unpacked, gate: str) -> None:
    """The upload sees the exception, and never an archive that looks whole."""

    def fail() -> None:
        raise InterruptedError(gate)

    gates: dict[str, Any] = {gate: fail}
    with pytest.raises(InterruptedError, match=gate):
        packed(session, **gates)


def test_objects_are_sent_while_the_checkout_runs(session: Unpacked) -> None:
    """What is ready does not wait for what is not."""
    (session.folders.tree / PACK).write_bytes(os.urandom(3_000_000))
    ready = threading.Event()

    def wait() -> None:
        ready.wait()

    pieces = pack(session.folders, session.inventory, Limits(), before_worktree=wait, before_tail=nothing)
    sent = 0
    while sent < 3_000_000:
        piece = next(pieces)
        assert 0 < len(piece) < 1_100_000
        sent += len(piece)
    ready.set()
    assert all(pieces)


def test_only_what_is_allowed_leaves_the_repository(session: Unpacked) -> None:
    """The config that libgit2 is given, and what it leaves about, is not archived; the session's own is."""
    git = session.folders.tree / GIT
    for name in ("config", "index.lock", "description", "objects/ab/tmp_object_git2_x", "commondir"):
        (git / name).write_text("[ours]")
    (git / "hooks").mkdir()
    (git / "refs/heads/link").symlink_to("main")
    before = _files(session)
    after = listing(packed(session))
    assert after[f"{GIT}/config"][6] == b"[core]\n"
    assert before - after.keys() == {
        f"{GIT}/{name}"
        for name in (
            "index.lock",
            "description",
            "objects/ab/tmp_object_git2_x",
            "commondir",
            "refs/heads/link",
        )
    }


def test_what_is_deleted_is_not_archived(session: Unpacked) -> None:
    """A file that is gone from the worktree is gone from the session."""
    (session.folders.tree / REPOSITORY / "README.md").unlink()
    assert f"{REPOSITORY}/README.md" not in names(packed(session))


def test_a_file_that_vanishes_meanwhile_is_left_out(session: Unpacked) -> None:
    """What is gone when its turn comes is as if it had never been there."""
    folder = session.folders.tree / REPOSITORY
    (folder / "a.bin").write_bytes(os.urandom(5_000_000))
    (folder / "b").write_text("b")
    pieces = pack(session.folders, session.inventory, Limits(), before_worktree=nothing, before_tail=nothing)
    first = next(pieces)
    (folder / "b").unlink()
    found = names(first + b"".join(pieces))
    assert f"{REPOSITORY}/a.bin" in found
    assert f"{REPOSITORY}/b" not in found


def test_a_file_that_shrinks_meanwhile_ends_the_archive(session: Unpacked) -> None:
    """The archive never says more than there is."""
    file = session.folders.tree / REPOSITORY / "a.bin"
    file.write_bytes(os.urandom(5_000_000))
    pieces = pack(session.folders, session.inventory, Limits(), before_worktree=nothing, before_tail=nothing)
    next(pieces)
    os.truncate(file, 10)
    with pytest.raises(Internal, match=r"a\.bin"):
        list(pieces)


def test_a_file_that_grows_meanwhile_is_cut(session: Unpacked) -> None:
    """The archive holds as much as there was when the file was opened."""
    file = session.folders.tree / REPOSITORY / "a.bin"
    file.write_bytes(os.urandom(5_000_000))
    pieces = pack(session.folders, session.inventory, Limits(), before_worktree=nothing, before_tail=nothing)
    first = next(pieces)
    with file.open("ab") as grown:
        grown.write(b"more")
    content = listing(first + b"".join(pieces))[f"{REPOSITORY}/a.bin"][6]
    assert isinstance(content, bytes)
    assert len(content) == 5_000_000


def test_a_link_is_never_read_through(session: Unpacked, tmp_path: Path) -> None:
    """A file or folder that became a link is a link in the archive, or ends it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    tree = session.folders.tree
    (tree / REPOSITORY / "README.md").unlink()
    (tree / REPOSITORY / "README.md").symlink_to(outside / "secret")
    (tree / ".claude/x").unlink()
    (tree / ".claude").rmdir()
    (tree / ".claude").symlink_to(outside)
    after = listing(packed(session))
    assert after[f"{REPOSITORY}/README.md"][4] == str(outside / "secret")
    assert after[".claude"][4] == str(outside)
    assert ".claude/secret" not in after


def test_a_session_folder_that_became_a_link_is_not_entered(session: Unpacked, tmp_path: Path) -> None:
    """Not even the way to the objects leads through a link."""
    (session.folders.tree / "workspace").rename(tmp_path / "moved")
    (session.folders.tree / "workspace").symlink_to(tmp_path / "moved")
    with pytest.raises(OSError, match="directory") as caught:
        packed(session)
    assert caught.value.errno in (errno.ENOTDIR, errno.ELOOP)


def test_sockets_are_left_out(session: Unpacked) -> None:
    """What no archive can hold is passed over."""
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(session.folders.tree)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        assert "socket" not in names(packed(session))


def test_the_tree_wins_over_what_is_aside(tmp_path: Path) -> None:
    """Where the worker made a file that the archive had as something else, the file is what goes back."""
    session = unpacked(
        tmp_path / "session",
        archive(
            (f"{GIT}/HEAD", b""),
            member(f"{GIT}/refs/heads/x", tarfile.SYMTYPE, linkname="/etc"),
            member("pipe", tarfile.FIFOTYPE),
            member("folder/pipe", tarfile.FIFOTYPE),
        ),
    )
    tree = session.folders.tree
    (tree / GIT / "refs/heads").mkdir(parents=True)
    (tree / GIT / "refs/heads/x").write_text("1" * 40)
    (tree / "pipe").write_text("file")
    (tree / "folder").rmdir()
    (tree / "folder").write_text("file")
    after = listing(packed(session))
    assert after[f"{GIT}/refs/heads/x"][0] == after["pipe"][0] == after["folder"][0] == tarfile.REGTYPE
    assert "folder/pipe" not in after


def test_a_nested_repository_is_not_lost_to_a_checkout(tmp_path: Path) -> None:
    """A file where its folder was cannot be archived beside it, so the session stays as it was."""
    session = unpacked(tmp_path / "session", archive((f"{REPOSITORY}/vendor/.git/HEAD", b"")))
    vendor = session.folders.tree / REPOSITORY / "vendor"
    vendor.parent.mkdir(parents=True)
    vendor.write_text("file")
    with pytest.raises(UnsupportedRepository, match="vendor"):
        packed(session)


@pytest.mark.parametrize(
    "limits", [Limits(max_files=5), Limits(max_bytes=3000), Limits(max_depth=4), Limits(max_path=40)]
)
def test_what_could_not_be_unpacked_again_is_not_packed(session: Unpacked, limits: Limits) -> None:
    """A session that grew over the limits is not saved, for nobody could open it."""
    with pytest.raises(SessionTooLarge):
        packed(session, limits=limits)
