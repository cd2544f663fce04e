"""A session, a repository and a server that would like to have a token, or something of this machine's."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from github_worker.contract import encode_event
from github_worker.errors import HostNotAllowed, JobError, RemoteUnavailable, UnsupportedRepository
from github_worker.lfs.addresses import check_address
from github_worker.settings import from_env
from tests.conftest import WRITE_TOKEN
from tests.lfs.conftest import REPOSITORY, LargeRunner, StoredSession
from tests.lfs.test_clone import place
from tests.operations.conftest import SESSION
from tests.support.faults import Answer, Redirect
from tests.support.git_server import GitServer
from tests.support.lfs import LargeFileServer, pointer
from tests.support.repositories import Repository as Origin
from tests.support.sessions import SessionFolder

HOME = "https://git.example.com"
CANARY = b"canary-of-the-outside-7f3a\n"


@pytest.fixture
def other(tmp_path: Path, large_files: LargeFileServer) -> Iterator[GitServer]:
    """Yield another server, which has the same objects and gives them to anyone with the header it lent."""
    with GitServer(tmp_path / "other", {}) as server:
        server.large_files = LargeFileServer(large_files.folder)
        server.large_files.header = {"X-Lent": "for this one"}
        yield server


def allow(runner: LargeRunner, other: GitServer) -> None:
    """Let the runner's jobs keep large files on another server."""
    runner.env["LFS_ALLOWED_HOSTS"] = other.origin


async def test_another_server_gets_what_the_answer_lends_and_no_token(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    large_files: LargeFileServer,
    other: GitServer,
) -> None:
    """Both ways, where the settings list it."""
    allow(runner, other)
    large_files.storage, large_files.header = other.origin, {"X-Lent": "for this one"}
    await runner.init(origin.url)
    assert session.read("a.bin") == b"a" * 5000
    session.write({"b.bin": b"sent there"})
    assert (await runner.commit(message="Add it")).pushed
    assert {request.method for request in other.requests} == {"GET", "PUT"}
    assert {request.authorization for request in other.requests} == {None}


async def test_a_server_that_is_not_listed(
    runner: LargeRunner, origin: Origin, large_files: LargeFileServer, other: GitServer
) -> None:
    """It is not spoken to, and the message says which setting would have to name it."""
    large_files.storage = other.origin
    with pytest.raises(HostNotAllowed, match=f"{other.origin}.*LFS_ALLOWED_HOSTS"):
        await runner.clone(origin.url)
    assert other.requests == []


async def test_a_verification_elsewhere(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    large_files: LargeFileServer,
    other: GitServer,
) -> None:
    """The last step of an upload leads to no other place than the first may."""
    await runner.init(origin.url)

    def alter(answer: dict[str, Any]) -> dict[str, Any]:
        for each in answer["objects"]:
            each.get("actions", {}).get("verify", {})["href"] = f"{other.origin}/verify"
        return answer

    large_files.alter = alter
    session.write({"b.bin": b"sent"})
    result = await runner.commit(message="Add it")
    assert result.push_error.code == "host_not_allowed"
    assert other.requests == []


async def test_a_redirect_elsewhere(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    git_server: GitServer,
    large_files: LargeFileServer,
    other: GitServer,
) -> None:
    """The API is followed nowhere, a content to what is listed, without what its first address was given."""
    git_server.faults.add(Redirect(other.origin, status=307), "objects/batch")
    with pytest.raises(HostNotAllowed):
        await runner.clone(origin.url)
    git_server.faults.add(Redirect(other.origin, status=302), "GET /large")
    with pytest.raises(HostNotAllowed):
        await runner.clone(origin.url)
    assert other.requests == []
    allow(runner, other)
    assert other.large_files is not None
    other.large_files.header, large_files.header = {}, {"Authorization": "Lent abc123"}
    git_server.faults.add(Redirect(other.origin, status=302), "GET /large", times=100)
    with pytest.raises(JobError):  # it wants a token, which it does not get
        await runner.clone(origin.url)
    assert other.requests
    assert {request.authorization for request in other.requests} == {None}


@pytest.mark.parametrize("matching", ["objects/batch", "GET /large"])
@pytest.mark.parametrize("location", ["https://[::1", "https://a b/", "//", "file:///etc/passwd", "/\x7f"])
async def test_a_redirect_to_what_is_no_address(
    runner: LargeRunner, origin: Origin, git_server: GitServer, location: str, matching: str
) -> None:
    """It ends the job with a sentence."""
    git_server.faults.add(Answer(302, headers={"Location": location}), matching, times=100)
    with pytest.raises((RemoteUnavailable, HostNotAllowed)):
        await runner.clone(origin.url)


@pytest.mark.parametrize("authenticated", [True, False])
async def test_the_token_goes_home_unless_the_answer_has_another(
    runner: LargeRunner,
    origin: Origin,
    git_server: GitServer,
    large_files: LargeFileServer,
    authenticated: bool,
) -> None:
    """What an answer lends takes the token's place; where it says that none is needed, none is sent."""
    large_files.header = {"X-Lent": "yes"} if authenticated else {"Authorization": "Lent abc123"}

    def alter(answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"objects": [each | {"authenticated": authenticated} for each in answer["objects"]]}

    large_files.alter = alter
    await runner.clone(origin.url)
    sent = {request.authorization for request in git_server.requests if request.path.startswith("/large")}
    assert sent == ({None} if authenticated else {"Lent abc123"})


async def test_the_words_of_the_session_lead_nowhere(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    git_server: GitServer,
    other: GitServer,
) -> None:
    """Neither .lfsconfig nor .git/config says where contents are; the first is told of."""
    words = f"[lfs]\n\turl = {other.origin}/octo/demo.git/info/lfs\n\tpushurl = {other.origin}/x\n"
    origin.commit({".lfsconfig": words}, "Keep it elsewhere")
    await runner.init(origin.url)
    assert [code for code, _ in runner.warnings] == ["lfs_config_ignored"]
    config = session.read(".git/config").decode()
    access = f'[lfs "{other.origin}"]\n\taccess = basic\n[remote "origin"]\n\tlfsurl = {other.origin}/y\n'
    session.write({".git/config": config + words + access, "b.bin": b"sent home"})
    assert (await runner.commit(message="Add it")).pushed
    assert other.requests == []


async def test_an_extension_is_not_run(runner: LargeRunner, origin: Origin, session: StoredSession) -> None:
    """It would be a program of the session's: a commit that would be another without it is refused."""
    await runner.init(origin.url)
    config = session.read(".git/config").decode()
    extension = '[lfs "extension.evil"]\n\tclean = touch /tmp/evil\n\tsmudge = cat\n\tpriority = 0\n'
    session.write({".git/config": config + extension, "b.bin": b"content"})
    with pytest.raises(UnsupportedRepository, match="extension of git-lfs"):
        await runner.commit(message="Add it")


async def test_a_pointer_with_an_extension(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """Its object is no content: it stays a pointer, with a warning."""
    version, oid, size = large_files.put(b"encoded").splitlines(keepends=True)
    extended = f"{version}ext-0-foo sha256:{'0' * 64}\n{oid}{size}"
    origin.commit({"e.bin": extended}, "Extend it")
    await runner.clone(origin.url)
    assert session.read("e.bin") == extended.encode()
    assert [code for code, _ in runner.warnings] == ["lfs_missing"]


def link_objects(session: StoredSession, name: str, target: str, content: bytes) -> None:
    """Put a link in the place of something of `.git/lfs`, and a content in a large file."""
    entry = tarfile.TarInfo(f"{REPOSITORY}/{name}")
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    gone = {path: None for path in session.names() if path.startswith(".git/lfs")}
    session.write({**gone, name: entry, "b.bin": content})


@pytest.mark.parametrize("at", [".git/lfs", ".git/lfs/objects", "the folder", "the object"])
async def test_a_link_in_the_place_of_objects(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    sessions: SessionFolder,
    tmp_path: Path,
    at: str,
) -> None:
    """Nothing is written through it, and nothing that it leads to is sent."""
    content = b"to be stored"
    outside = tmp_path / "outside"
    outside.mkdir()
    await runner.init(origin.url)
    names = {"the folder": os.path.dirname(place(content)), "the object": place(content)}
    (outside / "secret").write_bytes(content)
    target = str(outside / "secret" if at == "the object" else outside)
    link_objects(session, names.get(at, at), target, content)
    before = {file: file.read_bytes() for file in outside.iterdir()}
    if at == "the object":  # which takes the link's place
        assert (await runner.commit(message="Add it")).pushed
    else:
        with pytest.raises(UnsupportedRepository, match="link"):
            await runner.commit(message="Add it")
    assert {file: file.read_bytes() for file in outside.iterdir()} == before


@pytest.mark.parametrize("at", [".git/lfs", ".git/lfs/objects", ".git/lfs/objects/00"])
async def test_a_link_to_a_file_that_a_pointer_names(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    large_files: LargeFileServer,
    tmp_path: Path,
    at: str,
) -> None:
    """A session that names a file of the machine's by its hash does not get it sent."""
    oid = hashlib.sha256(CANARY).hexdigest()
    outside = tmp_path / "outside"
    for folder in (
        outside / "objects" / oid[:2] / oid[2:4],
        outside / oid[:2] / oid[2:4],
        outside / oid[2:4],
    ):
        folder.mkdir(parents=True)
        (folder / oid).write_bytes(CANARY)
    await runner.init(origin.url)
    link_objects(session, at.replace("00", oid[:2]), str(outside), pointer(CANARY).encode())
    with pytest.raises(UnsupportedRepository, match="in the place of"):
        await runner.commit(message="Take it")
    assert oid not in large_files.oids


async def test_an_object_that_is_not_what_it_says(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """One in the session that is damaged is not believed: it is fetched anew, and never sent."""
    await runner.clone(origin.url)
    session.write({place(b"a" * 5000): b"b" * 5000, "a.bin": pointer(b"a" * 5000)})
    await runner.clone(origin.url)
    assert session.read("a.bin") == session.read(place(b"a" * 5000)) == b"a" * 5000
    session.write({place(b"new"): b"old", "n.bin": pointer(b"new")})
    result = await runner.commit(message="Lie")
    assert result.push_error.code == "push_rejected"
    assert hashlib.sha256(b"new").hexdigest() not in large_files.oids


async def test_an_object_that_is_a_folder(
    runner: LargeRunner, origin: Origin, session: StoredSession
) -> None:
    """A job ends with a sentence."""
    await runner.init(origin.url)
    session.write({f"{place(b'new')}/file": b"x", "n.bin": b"new"})
    with pytest.raises(UnsupportedRepository, match="in the place of"):
        await runner.commit(message="Add it")


async def test_nothing_of_the_token_is_kept_or_told(
    runner: LargeRunner,
    origin: Origin,
    sessions: SessionFolder,
    session: StoredSession,
    large_files: LargeFileServer,
) -> None:
    """Nor of what an answer lends."""
    large_files.header = {"Authorization": "RemoteAuth lent-0123456789"}
    await runner.init(origin.url)
    session.write({"b.bin": b"content"})
    await runner.commit(message="Add it")
    kept = gzip.decompress(sessions.get(SESSION).data)
    told = b"".join(encode_event(event) for event in runner.events)
    for secret in (WRITE_TOKEN.encode(), b"lent-0123456789"):
        assert secret not in kept + told


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:169.254.169.254]/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://localhost/",
        "https://localhost.:443/",
        "http://93.184.216.34/",
        "https://93.184.216.34:8443/",
        "ftp://93.184.216.34/",
    ],
)
def test_any_host_is_any_public_one(url: str) -> None:
    """`*` leads neither to this machine, nor into its network, nor to another port than https's."""
    with pytest.raises((HostNotAllowed, RemoteUnavailable)):
        check_address(url, HOME, from_env({"LFS_ALLOWED_HOSTS": "*"}))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "//git.example.com/x",
        "/large/x",
        "",
        "https://",
        "https://user@git.example.com/x",
        "https://git.example.com\\@evil.example/x",
        "https://git.example.com/x\r\nHost: evil",
        "https://git.example.com:99999/",
        "https://[::1",
    ],
)
def test_what_is_no_address(url: str) -> None:
    """It is refused in words."""
    with pytest.raises((HostNotAllowed, RemoteUnavailable)):
        check_address(url, HOME, from_env({}))


@pytest.mark.parametrize(
    ("url", "setting"),
    [
        (f"{HOME}/octo/demo.git/x?signature=1", ""),
        (f"{HOME}:443/x", ""),
        ("https://github-cloud.githubusercontent.com/alambic/media/1?X-Amz-Signature=2", ""),
        ("https://github-cloud.s3.amazonaws.com/alambic/media/1", ""),
        ("https://lfs.github.com/octo/demo/verify", ""),
        ("https://github.com/octo/demo.git/info/lfs/verify", ""),
        ("https://storage.internal/x", "storage.internal"),
        ("http://127.0.0.1:9000/x", "http://127.0.0.1:9000"),
        ("https://93.184.216.34/x", "*"),
    ],
)
def test_where_contents_may_be(url: str, setting: str) -> None:
    """The repository's own origin, GitHub's storage, and what the settings list."""
    check_address(url, HOME, from_env({"LFS_ALLOWED_HOSTS": setting}))


def test_a_listed_host_of_another_scheme() -> None:
    """A host that is listed without a scheme is one of https alone."""
    with pytest.raises(HostNotAllowed):
        check_address("http://storage.internal/x", HOME, from_env({"LFS_ALLOWED_HOSTS": "storage.internal"}))
