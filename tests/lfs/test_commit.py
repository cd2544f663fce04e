"""A commit has the pointers that git-lfs writes, and the server has what they name before the push."""

from __future__ import annotations

import hashlib

import pytest

from github_worker.errors import FileTooLarge, SecretDetected, UnsupportedRepository
from tests.lfs.conftest import ATTRIBUTES, REPOSITORY, Judge, LargeRunner, StoredSession
from tests.lfs.test_clone import CONTENT, place
from tests.operations.conftest import SESSION
from tests.security.test_screening import GITHUB
from tests.support.faults import Answer, Meanwhile, Moment
from tests.support.git_server import GitServer
from tests.support.lfs import LargeFileServer, pointer
from tests.support.repositories import Repository as Origin
from tests.support.sessions import Content, SessionFolder, edit, pack

# What a file that git-lfs cleans may be: content, empty, a pointer of any kind, and what only looks like one.
_POINTER = pointer(b"a" * 5000)
EDGES = {
    "content.bin": CONTENT,
    "empty.bin": b"",
    "pointer.bin": _POINTER.encode(),
    "returns.bin": _POINTER.replace("\n", "\r\n").encode(),
    "blank.bin": b"\n" + _POINTER.encode() + b"\n\n",
    "old.bin": _POINTER.replace("git-lfs.github.com", "hawser.github.com").encode(),
    "unknown.bin": _POINTER.replace("/v1", "/v2").encode(),
    "short.bin": _POINTER.replace("sha256:", "sha256:0").encode(),
    "cut.bin": _POINTER.encode()[:-20],
    "order.bin": b"size 3\n" + _POINTER.encode(),
    "long.bin": _POINTER.encode() + b" " * 1024,
    "negative.bin": _POINTER.replace("size ", "size -").encode(),
    "plus.bin": _POINTER.replace("size ", "size +").encode(),
    "extra.bin": _POINTER.encode() + b"more 1\n",
    "text.txt": b"text\n",
    "spaces and ü.bin": b"named\n",
}


async def test_git_lfs_clones_what_was_committed(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession, large_files: LargeFileServer
) -> None:
    """Each content is on the server and was verified, and git-lfs gets it back."""
    await runner.init(origin.url)
    session.write({"deep/b.bin": CONTENT, "a.bin": b"changed"})
    result = await runner.commit(message="Change large files")
    assert (result.pushed, result.files_changed, result.push_error) == (True, 2, None)
    git = judge.clone(branch=result.branch)
    assert (git.folder / "deep/b.bin").read_bytes() == CONTENT
    assert (git.folder / "a.bin").read_bytes() == b"changed"
    assert b"OK" in git("lfs", "fsck")
    assert set(large_files.verified) == {hashlib.sha256(each).hexdigest() for each in (CONTENT, b"changed")}
    assert runner.stages.index("uploading_lfs") < runner.stages.index("pushing")
    assert runner.transfers("uploading_lfs")[-1].percent == 100
    assert runner.warnings == []


async def test_the_commit_is_the_one_that_git_makes_with_git_lfs(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession
) -> None:
    """Whatever a file is, the tree is the judge's, byte for byte."""
    await runner.init(origin.url)
    git = judge.unpack(session.archive)
    for name, content in EDGES.items():
        (git.folder / name).write_bytes(content)
    session.repack(git.folder)
    git("add", "--all")
    tree = git("write-tree").decode().strip()
    result = await runner.commit(message="Add edges")
    assert origin.git("rev-parse", f"{result.commit_hash}^{{tree}}").decode().strip() == tree


async def test_git_finds_nothing_changed_after_a_commit(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession
) -> None:
    """The session has its files, their objects, and an index that git-lfs agrees with."""
    await runner.init(origin.url)
    session.write({"b.bin": CONTENT})
    await runner.commit(message="Add a large file")
    git = judge.unpack(session.archive)
    assert git("status", "--porcelain") == b""
    assert b"OK" in git("lfs", "fsck")
    assert (git.folder / place(CONTENT)).read_bytes() == (git.folder / "b.bin").read_bytes() == CONTENT
    assert (await runner.commit()).skipped


def commit_as_agent(judge: Judge, session: StoredSession) -> None:
    """Commit a large file in the session with git-lfs, without a push."""
    git = judge.unpack(session.archive)
    (git.folder / "b.bin").write_bytes(CONTENT)
    git("add", "--all")
    git("commit", "--quiet", "--message=An agent's")
    session.repack(git.folder)


async def test_a_commit_of_an_agents_is_pushed_with_its_contents(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession
) -> None:
    """What git-lfs has stored in the session is sent."""
    await runner.init(origin.url)
    commit_as_agent(judge, session)
    result = await runner.commit()
    assert result.pushed
    assert (judge.clone(branch=result.branch).folder / "b.bin").read_bytes() == CONTENT


async def test_a_new_branch_brings_its_contents_along(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession
) -> None:
    """create-branch pushes commits that the remote lacks, and what they name before."""
    await runner.clone(origin.url)
    commit_as_agent(judge, session)
    result = await runner.branch()
    assert result.pushed
    assert (judge.clone(branch=result.branch_name).folder / "b.bin").read_bytes() == CONTENT


async def test_what_the_server_has_is_not_sent_again(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    git_server: GitServer,
    large_files: LargeFileServer,
) -> None:
    """A file that is renamed or copied is a pointer more."""
    await runner.init(origin.url)
    session.write({"copy.bin": b"a" * 5000})
    assert (await runner.commit(message="Copy it")).pushed
    assert not [request for request in git_server.requests if request.method == "PUT"]


async def test_without_git_lfs_new_content_is_refused(
    runner: LargeRunner, origin: Origin, session: StoredSession
) -> None:
    """The message says what was not asked for."""
    await runner.init(origin.url)
    session.write({"b.bin": CONTENT})
    with pytest.raises(UnsupportedRepository, match=r"b\.bin has the attribute filter=lfs, and `lfs`"):
        await runner.commit(lfs=False)


@pytest.mark.parametrize("status", [500, 403, 507, 422])
async def test_an_upload_that_fails_leaves_the_commit_in_the_session(
    runner: LargeRunner,
    origin: Origin,
    judge: Judge,
    session: StoredSession,
    git_server: GitServer,
    status: int,
) -> None:
    """Nothing is pushed, nothing is lost, and the next job sends both, though the file is gone since."""
    result = await runner.init(origin.url)
    before = origin.branches()
    session.write({"b.bin": CONTENT})
    git_server.faults.add(Answer(status, b'{"message":"No room"}'), "PUT /large", times=100)
    result = await runner.commit(message="Add it")
    assert not result.pushed
    assert result.push_error.message.endswith(f"(HTTP status {status}): No room")
    assert origin.branches() == before
    git_server.faults.clear()
    session.write({"b.bin": b"newer"})
    result = await runner.commit(message="Change it")
    assert result.pushed
    git = judge.clone(branch=result.branch)
    git("checkout", "--quiet", "HEAD~1")
    assert (git.folder / "b.bin").read_bytes() == CONTENT


async def test_an_upload_is_tried_again(
    runner: LargeRunner, origin: Origin, session: StoredSession, git_server: GitServer
) -> None:
    """A server that fails for a moment, or whose address has expired, is asked anew."""
    await runner.init(origin.url)
    session.write({"b.bin": CONTENT})
    for status in (503, 403):
        git_server.faults.add(Answer(status), "PUT /large")
    git_server.faults.add(Answer(500), "info/lfs/verify")
    assert (await runner.commit(message="Add it")).pushed


async def test_a_pointer_to_nothing_needs_no_object(
    runner: LargeRunner, origin: Origin, session: StoredSession
) -> None:
    """The server need not have what has no bytes."""
    await runner.init(origin.url)
    session.write({"b.bin": pointer(b"")})
    assert (await runner.commit(message="Name nothing")).pushed


async def test_an_object_that_nobody_has_is_not_pushed(
    runner: LargeRunner, origin: Origin, session: StoredSession
) -> None:
    """A pointer to nothing would break every clone."""
    await runner.init(origin.url)
    session.write({"b.bin": pointer(CONTENT)})
    result = await runner.commit(message="Name what is nowhere")
    assert result.push_error.code == "push_rejected"
    assert "neither in the session nor on the server" in result.push_error.message


async def test_what_another_one_pushed_meanwhile_is_fetched(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession, large_files: LargeFileServer
) -> None:
    """The commit is put on top, and the session has the contents of both."""
    branch = (await runner.init(origin.url)).branch_name
    session.write({"b.bin": CONTENT})
    origin.commit({"other.bin": large_files.put(b"theirs")}, "Theirs", branch)
    assert (await runner.commit(message="Ours")).pushed
    git = judge.unpack(session.archive)
    assert git("status", "--porcelain") == b""
    assert (git.folder / "other.bin").read_bytes() == b"theirs"
    assert (git.folder / "b.bin").read_bytes() == CONTENT


async def test_a_rebase_that_lacks_a_content_moves_nothing(
    runner: LargeRunner,
    origin: Origin,
    judge: Judge,
    session: StoredSession,
    git_server: GitServer,
    large_files: LargeFileServer,
) -> None:
    """It is not pushed, and the session has the commit and its files as they were."""
    branch = (await runner.init(origin.url)).branch_name
    session.write({"b.bin": CONTENT})
    origin.commit({"a.bin": large_files.put(b"theirs")}, "Theirs", branch)
    git_server.faults.add(Answer(500), "GET /large", times=100)
    result = await runner.commit(message="Ours")
    assert result.push_error.code == "remote_unavailable"
    git = judge.unpack(session.archive)
    assert git("status", "--porcelain") == b""
    assert (git.folder / "a.bin").read_bytes() == b"a" * 5000
    git_server.faults.clear()
    assert (await runner.commit()).pushed
    assert session.read("a.bin") == b"theirs"


@pytest.mark.parametrize("is_clone", [False, True])
async def test_a_session_that_was_saved_meanwhile(
    runner: LargeRunner,
    origin: Origin,
    judge: Judge,
    session: StoredSession,
    sessions: SessionFolder,
    git_server: GitServer,
    is_clone: bool,
) -> None:
    """The objects go over to the newer version with the commit."""
    if not is_clone:
        await runner.init(origin.url)
        session.write({"b.bin": CONTENT})

    def save() -> None:
        archive = session.archive if not is_clone else pack(None)
        sessions.put(SESSION, edit(archive, {".claude/notes": "newer"}))

    git_server.faults.add(Meanwhile(save, Moment.RECEIVED), "info/lfs/objects/batch")
    result = await (runner.clone(origin.url) if is_clone else runner.commit(message="Add it"))
    git = judge.unpack(session.archive)
    assert (git.folder.parents[2] / ".claude/notes").read_text() == "newer"
    assert b"OK" in git("lfs", "fsck")
    assert git("status", "--porcelain") == b""
    content = b"a" * 5000 if is_clone else CONTENT
    assert (git.folder / ("a.bin" if is_clone else "b.bin")).read_bytes() == content
    assert (git.folder / place(content)).exists()
    assert result


async def test_a_session_that_was_saved_while_the_remote_moved(
    runner: LargeRunner,
    origin: Origin,
    judge: Judge,
    session: StoredSession,
    sessions: SessionFolder,
    git_server: GitServer,
    large_files: LargeFileServer,
) -> None:
    """What others pushed is in the newer session with its contents, and the next commit undoes none of it."""
    branch = (await runner.init(origin.url)).branch_name
    session.write({"b.bin": CONTENT})

    def meanwhile() -> None:
        edits: dict[str, Content | None] = {
            f"{REPOSITORY}/edit.txt": "newer",
            f"{REPOSITORY}/c.bin": b"an edit",
        }
        sessions.put(SESSION, edit(session.archive, edits))
        changes = {"a.bin": large_files.put(b"theirs"), "other.bin": large_files.put(b"new")}
        origin.commit(changes, "Theirs", branch)

    git_server.faults.add(Meanwhile(meanwhile, Moment.RECEIVED), "locks/verify")
    assert (await runner.commit(message="Ours")).pushed
    git = judge.unpack(session.archive)
    assert git("status", "--porcelain") == b"?? c.bin\n?? edit.txt\n"
    contents = {name: (git.folder / name).read_bytes() for name in ("a.bin", "b.bin", "c.bin", "other.bin")}
    assert contents == {"a.bin": b"theirs", "b.bin": CONTENT, "c.bin": b"an edit", "other.bin": b"new"}
    assert (await runner.commit(message="Ours again")).files_changed == 2


async def test_a_credential_in_a_large_file(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """It is found wherever it stands, in parts of any size, and nothing is sent."""
    await runner.init(origin.url)
    before = large_files.oids
    for filler in (10, 8 * 2**20 - 20, 8 * 2**20 + 10):
        session.write({"b.bin": b"\n" + b"x" * filler + b"\n" + GITHUB.encode() + b"\n"})
        with pytest.raises(SecretDetected, match=r"b\.bin:3 "):
            await runner.commit(message="Leak it")
    assert large_files.oids == before


async def test_some_large_files_of_many(
    runner: LargeRunner, origin: Origin, judge: Judge, session: StoredSession, large_files: LargeFileServer
) -> None:
    """A trial sends nothing, a commit of some paths what they name, and the rest stays an edit."""
    await runner.init(origin.url)
    before = large_files.oids
    session.write({"b.bin": b"one", "c.bin": b"two"})
    assert (await runner.commit(message="Try it", dry_run=True)).files_changed == 2
    assert large_files.oids == before
    result = await runner.commit(message="Add one", paths=("b.bin",))
    assert result.pushed
    assert large_files.oids - before == {hashlib.sha256(b"one").hexdigest()}
    assert judge.unpack(session.archive)("status", "--porcelain") == b"?? c.bin\n"


async def test_what_only_looks_like_a_credential_where_a_part_begins(
    runner: LargeRunner, origin: Origin, session: StoredSession
) -> None:
    """What stands before it counts, though it was read before."""
    await runner.init(origin.url)
    session.write({"b.bin": b"x" * 8 * 2**20 + GITHUB.encode()})
    assert (await runner.commit(message="Add noise")).pushed


@pytest.mark.parametrize("variable", ["LFS_MAX_BYTES", "LFS_MAX_OBJECTS"])
async def test_more_than_a_job_may_commit(
    runner: LargeRunner, origin: Origin, session: StoredSession, variable: str
) -> None:
    """It is told by name before anything is committed; what is there already does not count."""
    await runner.init(origin.url)
    runner.env[variable] = {"LFS_MAX_BYTES": "9", "LFS_MAX_OBJECTS": "1"}[variable]
    session.write({"README.md": "changed\n"})
    assert (await runner.commit(message="Small")).pushed
    session.write({"b.bin": b"ten bytes!", "c.bin": b"more"})
    with pytest.raises(FileTooLarge, match=rf"b\.bin.*{variable}"):
        await runner.commit(message="Large")


async def test_a_repository_starts_to_use_git_lfs(
    runner: LargeRunner,
    git_server: GitServer,
    large_files: LargeFileServer,
    judge: Judge,
    session: StoredSession,
) -> None:
    """Files that were committed as they are become pointers, as git makes them of what it looks at."""
    await runner.init(judge.origin.url)
    git = judge.unpack(session.archive)
    (git.folder / ".gitattributes").write_text(ATTRIBUTES + "*.md filter=lfs -text\n")
    session.repack(git.folder)
    git("add", "--all", "--renormalize", ".")
    tree = git("write-tree").decode().strip()
    result = await runner.commit(message="Use it for texts too")
    assert judge.origin.git("rev-parse", f"{result.commit_hash}^{{tree}}").decode().strip() == tree
