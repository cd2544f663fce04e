"""A clone has the contents that its pointers name; git-lfs, who pushed them, finds nothing to do."""

from __future__ import annotations

import hashlib

import pytest

from github_worker.errors import SessionTooLarge
from tests.lfs.conftest import ATTRIBUTES, Judge, LargeRunner, StoredSession
from tests.support.git_server import GitServer
from tests.support.lfs import LargeFileServer, pointer
from tests.support.repositories import Repository as Origin

CONTENT = b"\0binary\r\n" * 40_000


def place(content: bytes) -> str:
    """Return where git-lfs has an object."""
    oid = hashlib.sha256(content).hexdigest()
    return f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}"


async def test_what_git_lfs_pushed_is_cloned(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession
) -> None:
    """Contents are in the files and where git-lfs keeps them, and nothing has changed for git."""
    judge.push({"deep/b.bin": CONTENT, "empty.bin": b"", "c.txt": b"text\n"})
    result = await runner.clone(origin.url)
    assert session.read("deep/b.bin") == session.read(place(CONTENT)) == CONTENT
    assert session.read("a.bin") == b"a" * 5000
    git = judge.unpack(session.archive)
    assert git("status", "--porcelain") == b""
    assert git("rev-parse", "HEAD").decode().strip() == result.commit
    assert b"OK" in git("lfs", "fsck")
    assert b"* deep/b.bin" in git("lfs", "ls-files")  # a star is for a file that has its content
    assert runner.warnings == []
    assert "fetching_lfs" in runner.stages
    last = runner.transfers("fetching_lfs")[-1]
    assert (last.received, last.percent) == (len(CONTENT) + 5000, 100)


async def test_the_session_is_what_git_lfs_leaves(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession
) -> None:
    """Objects have the names, the bytes and the modes that a clone by git-lfs has."""
    judge.push({"b.bin": CONTENT})
    theirs = judge.clone().folder / ".git/lfs/objects"
    await runner.clone(origin.url)
    ours = judge.unpack(session.archive).folder / ".git/lfs/objects"
    listed = [
        {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        for root in (ours, theirs)
    ]
    assert listed[0] == listed[1]
    assert len(listed[0]) == 2


async def test_the_contents_come_back_without_the_server(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession, git_server: GitServer
) -> None:
    """An agent that has no token can undo its edits, as the session has the objects."""
    await runner.clone(origin.url)
    git = judge.unpack(session.archive)
    git_server.large_files = None
    (git.folder / "a.bin").write_bytes(b"spoilt")
    git("checkout", "--", "a.bin")
    assert (git.folder / "a.bin").read_bytes() == b"a" * 5000


async def test_nothing_is_fetched_unless_it_is_asked_for(
    runner: LargeRunner, origin: Origin, session: StoredSession, git_server: GitServer
) -> None:
    """The request's word counts before the setting; pointers stay, and nobody asks the server."""
    await runner.clone(origin.url, lfs=False)
    assert session.read("a.bin") == pointer(b"a" * 5000).encode()
    assert not [request for request in git_server.requests if "lfs" in request.path]


async def test_a_request_asks_for_it(runner: LargeRunner, origin: Origin, session: StoredSession) -> None:
    """`lfs: true` is enough, for init-session too."""
    del runner.env["LFS"]
    await runner.init(origin.url, lfs=True)
    assert session.read("a.bin") == b"a" * 5000


async def test_pointers_of_an_earlier_clone_are_filled(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession
) -> None:
    """Asked again with git-lfs, clone-repository does what `git lfs pull` does, and leaves edits alone."""
    origin.commit({"b.bin": pointer(b"b" * 10)}, "Name what is nowhere")
    await runner.clone(origin.url, lfs=False)
    session.write({"a.bin": pointer(b"a" * 5000), "README.md": "edited\n"})
    result = await runner.clone(origin.url)
    assert not result.was_cloned
    assert session.read("a.bin") == b"a" * 5000
    assert judge.unpack(session.archive)("status", "--porcelain") == b" M README.md\n"
    assert [code for code, _ in runner.warnings] == ["lfs_missing"]
    await runner.clone(origin.url)
    assert "uploading" not in runner.stages


async def test_what_is_here_is_not_fetched_again(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """An update asks for the objects that are new, and for no other."""
    await runner.clone(origin.url)
    asked = len(large_files.batches)
    origin.commit({"moved.bin": pointer(b"a" * 5000), "b.bin": large_files.put(b"b" * 10)}, "Copy it")
    result = await runner.clone(origin.url)
    assert result.pulled
    assert session.read("moved.bin") == b"a" * 5000
    assert session.read("b.bin") == b"b" * 10
    oids = [each["oid"] for batch in large_files.batches[asked:] for each in batch["objects"]]
    assert oids == [hashlib.sha256(b"b" * 10).hexdigest()]


async def test_an_object_that_is_nowhere_is_a_warning(
    runner: LargeRunner, origin: Origin, session: StoredSession
) -> None:
    """The pointer stays, all else is there, and the file is named."""
    origin.commit({"gone.bin": pointer(b"gone")}, "Name what is nowhere")
    await runner.clone(origin.url)
    assert session.read("gone.bin") == pointer(b"gone").encode()
    assert session.read("a.bin") == b"a" * 5000
    ((code, message),) = runner.warnings
    assert code == "lfs_missing"
    assert message.startswith("gone.bin ")


async def test_many_objects_that_are_nowhere(runner: LargeRunner, origin: Origin) -> None:
    """A few are named, the rest are counted."""
    origin.commit({f"{number}.bin": pointer(b"%d" % number) for number in range(30)}, "Name many")
    await runner.clone(origin.url)
    assert len(runner.warnings) == 21
    assert runner.warnings[-1][1].startswith("10 more")


async def test_only_what_the_attributes_say_is_fetched(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """A file that looks like a pointer is a file, and a folder's attributes count in it."""
    other = large_files.put(b"other")
    attributes = "*.bin -filter\n*.dat filter=lfs\n"
    files = {"a.txt": other, "off/.gitattributes": attributes, "off/a.bin": other, "off/a.dat": other}
    origin.commit(files, "Look alike")
    await runner.clone(origin.url)
    assert session.read("a.txt") == session.read("off/a.bin") == other.encode()
    assert session.read("off/a.dat") == b"other"


@pytest.mark.parametrize("variable", ["LFS_MAX_BYTES", "LFS_MAX_OBJECTS"])
async def test_more_than_a_job_may_fetch(
    runner: LargeRunner, origin: Origin, git_server: GitServer, large_files: LargeFileServer, variable: str
) -> None:
    """It is told before a byte is fetched, with the setting's name."""
    origin.commit({"b.bin": large_files.put(b"b" * 5000)}, "Add another")
    runner.env[variable] = {"LFS_MAX_BYTES": "9999", "LFS_MAX_OBJECTS": "1"}[variable]
    with pytest.raises(SessionTooLarge, match=variable):
        await runner.clone(origin.url)
    assert not large_files.batches


async def test_a_public_repository_needs_no_token(
    runner: LargeRunner, git_server: GitServer, large_files: LargeFileServer, session: StoredSession
) -> None:
    """Nothing is sent along that nobody asks for."""
    origin = git_server.create("octo", "demo", public=True)
    origin.commit({".gitattributes": ATTRIBUTES, "a.bin": large_files.put(b"public")}, "Begin")
    large_files.header = {"X-Lent": "yes"}
    await runner.clone(origin.url)
    assert session.read("a.bin") == b"public"
    assert {request.authorization for request in git_server.requests} == {None}


async def test_a_branch_starts_at_another_ones_contents(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession, large_files: LargeFileServer
) -> None:
    """create-branch checks out contents, not pointers."""
    origin.branch("next")
    origin.commit({"a.bin": large_files.put(b"next"), "n.bin": large_files.put(b"new")}, "Go on", "next")
    await runner.clone(origin.url)
    await runner.branch(base_branch="next")
    assert (session.read("a.bin"), session.read("n.bin")) == (b"next", b"new")
    assert judge.unpack(session.archive)("status", "--porcelain") == b""
