"""A session's files, out of every store and into it again."""
# ruff: noqa: PT012 (what a checkout does is done at the end of its block)

from __future__ import annotations

import asyncio
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from github_worker_client import GitHubWorkerError, InvalidRequest
from github_worker_client.sessions import (
    NoRepository,
    NotOffered,
    SessionConflict,
    SessionCorrupt,
    SessionError,
    SessionNotFound,
    SessionStore,
    StoreUnavailable,
    sync,
)
from tests.support.faults import Answer, Cut, Hang, Moment
from tests.support.proxy import FaultyProxy
from tests.support.s3 import S3Server
from tests.support.sessions import METADATA, Session, SessionFolder, metadata, pack
from tests.support.storage_worker import StorageWorker

REPOSITORY = "workspace/workspace/app"
FIELDS = metadata("session-1", github={"repoUrl": "https://github.com/o/app", "clonedPath": "app"}, other=[1])


def session(**files: bytes | str) -> bytes:
    """Return a session whose repository has these files, `__` standing for a dot."""
    named = {f"{REPOSITORY}/{name.replace('__', '.')}": content for name, content in files.items()}
    return pack(FIELDS, entries={f"{REPOSITORY}/.git/HEAD": "ref: refs/heads/main\n", **named})


@dataclass
class Place:
    """A store, and how another writer reads and replaces its `session-1`."""

    url: str
    read: Callable[[], bytes | None]
    write: Callable[[bytes], None]
    options: dict[str, str] = field(default_factory=dict)
    manages: bool = True

    def store(self, folder: Path, **more: object) -> SessionStore:
        """Return a store that unpacks into `folder`."""
        return SessionStore(self.url, options=self.options, folder=folder, timeout=5, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """Yield an S3 server."""
    with S3Server() as server:
        yield server


KINDS = ("storage worker with ETags", "storage worker without ETags", "folder", "s3")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Yield a store of every kind, with a session."""
    with _place(request, tmp_path) as place:
        place.write(session(a="A"))
        yield place


@contextmanager
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield _folder(tmp_path / "store")
    elif request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        bucket, key = server.create_bucket(), "some/prefix/session-1/session.tar.gz"
        yield Place(
            f"s3://{bucket}/some/prefix",
            lambda: server.read(bucket, key),
            lambda archive: server.write(bucket, key, archive),
            server.variables,
        )
    else:
        with StorageWorker(etags="without" not in request.param) as worker:
            yield Place(
                worker.origin,
                lambda: worker.archive("session-1"),
                lambda archive: worker.save("session-1", archive),
                manages=False,
            )


def _folder(path: Path) -> Place:
    folder = SessionFolder(path)

    def read() -> bytes | None:
        return folder.archive("session-1").read_bytes() if folder.archive("session-1").exists() else None

    path.mkdir()
    return Place(folder.url, read, lambda archive: folder.put("session-1", archive))


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    """Return a folder with a session."""
    place = _folder(tmp_path / "store")
    place.write(session(a="A"))
    return place


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Return where sessions are checked out."""
    made = tmp_path / "scratch"
    made.mkdir()
    return made


def saved(place: Place) -> Session:
    """Return the session as it is stored."""
    archive = place.read()
    assert archive is not None
    return Session(archive)


async def test_what_is_done_in_a_checkout_is_saved(place: Place, scratch: Path) -> None:
    """An edit, a new file and a removal are in the store, and all else is as it was."""
    before = saved(place)
    async with place.store(scratch).checkout("session-1") as checkout:
        assert checkout.repository == checkout.folder / REPOSITORY
        assert checkout.metadata == FIELDS
        assert (checkout.repository / "a").read_text() == "A"
        (checkout.repository / "a").unlink()
        (checkout.repository / "b").write_text("B")

    after = saved(place)
    assert after.read(f"{REPOSITORY}/b") == b"B"
    assert f"{REPOSITORY}/a" not in after.members()
    assert after.read(METADATA) == before.read(METADATA)
    kept = before.members().keys() - {f"{REPOSITORY}/a"}
    assert {name: after.members()[name].mtime for name in kept} == {
        name: before.members()[name].mtime for name in kept
    }
    assert not list(scratch.iterdir())


async def test_what_did_not_change_is_not_saved(place: Place, scratch: Path) -> None:
    """Reading alone leaves the stored archive byte for byte, and saving says that it did nothing."""
    before = place.read()
    async with place.store(scratch).checkout("session-1") as checkout:
        (checkout.repository / "a").read_text()
        assert not await checkout.is_changed()
        assert not await checkout.save()
    assert place.read() == before


async def test_the_folder_is_private(folder: Place, scratch: Path) -> None:
    """Nobody else on the machine may enter it, whatever modes the session has."""
    async with folder.store(scratch).checkout("session-1", read_only=True) as checkout:
        for path in (checkout.folder, checkout.folder.parent):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert checkout.folder.is_relative_to(scratch)


async def test_a_session_is_saved_again_and_again(place: Place, scratch: Path) -> None:
    """Each save begins with what the one before has made, and the end of the block with the last of them."""
    async with place.store(scratch).checkout("session-1") as checkout:
        for text in ("first", "second"):
            (checkout.repository / "b").write_text(text)
            assert await checkout.is_changed()
            assert await checkout.save()
            assert not await checkout.is_changed()
            assert saved(place).read(f"{REPOSITORY}/b") == text.encode()
        (checkout.repository / "b").write_text("at the end")
    assert saved(place).read(f"{REPOSITORY}/b") == b"at the end"


async def test_the_documents_example_is_true(folder: Place, tmp_path: Path) -> None:
    """What people copy from does what it says."""
    text = (Path(__file__).parents[2] / "docs" / "sessions.md").read_text()
    example = text.partition("```python\n")[2].partition("```")[0].replace("s3://bucket/sessions", folder.url)

    async def run_agent(cwd: Path) -> None:
        (cwd / "a").write_text("by an agent")

    names = {"run_agent": run_agent}
    body = example.replace("\n", "\n    ")
    exec(f"async def work():\n    {body}", names)  # noqa: S102
    await names["work"]()  # type: ignore[call-arg]
    assert saved(folder).read(f"{REPOSITORY}/a") == b"by an agent"


async def test_another_writers_save_is_not_overwritten(place: Place, scratch: Path) -> None:
    """The conflict says when both versions were saved, and where the files are that could not be."""
    theirs = session(a="theirs, which is longer")
    with pytest.raises(SessionConflict, match="Another writer saved the session session-1") as caught:
        async with place.store(scratch).checkout("session-1") as checkout:
            (checkout.repository / "a").write_text("ours")
            place.write(theirs)

    assert place.read() == theirs
    error = caught.value
    assert error.ours is not None
    assert error.theirs is not None
    assert error.ours <= error.theirs
    assert error.folder == checkout.folder
    assert str(checkout.folder) in str(error)
    assert (checkout.repository / "a").read_text() == "ours"


async def test_a_conflict_after_a_save_is_seen(place: Place, scratch: Path) -> None:
    """What counts is the version that was saved last, not the one that was checked out."""
    theirs = session(a="theirs, which is longer")
    with pytest.raises(SessionConflict):
        async with place.store(scratch).checkout("session-1", keep_unsaved=False) as checkout:
            (checkout.repository / "a").write_text("first")
            await checkout.save()
            place.write(theirs)
            (checkout.repository / "a").write_text("second")
            await checkout.save()
    assert place.read() == theirs
    assert not list(scratch.iterdir())


async def test_of_two_checkouts_at_once_one_is_saved(place: Place, scratch: Path) -> None:
    """The other one ends in a conflict, and neither has files of both."""
    store = place.store(scratch)
    both_are_open = asyncio.Barrier(2)

    async def work(name: str) -> None:
        async with store.checkout("session-1") as checkout:
            await both_are_open.wait()
            (checkout.repository / name).write_text(name)

    outcomes = await asyncio.gather(work("one"), work("two"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome] == [SessionConflict]
    winner = ("one", "two")[outcomes.index(None)]
    assert {"one", "two"} & {Path(name).name for name in saved(place).members()} == {winner}


async def test_a_session_that_was_deleted_is_not_brought_back(folder: Place, scratch: Path) -> None:
    """Their version is none, and the message says so."""
    with pytest.raises(SessionConflict, match="was deleted meanwhile") as caught:
        async with folder.store(scratch).checkout("session-1") as checkout:
            (checkout.repository / "a").write_text("ours")
            await folder.store(scratch).delete("session-1")
    assert caught.value.theirs is None
    assert folder.read() is None


async def test_read_only_never_saves(place: Place, scratch: Path) -> None:
    """Not at the end, not when asked to, not after an error."""
    before = place.read()
    store = place.store(scratch)
    async with store.checkout("session-1", read_only=True) as checkout:
        (checkout.repository / "a").write_text("changed")
        with pytest.raises(SessionError, match="to be read only"):
            await checkout.save()
    with pytest.raises(Crash):
        async with store.checkout("session-1", read_only=True, save_on_error=True) as checkout:
            (checkout.repository / "a").write_text("changed")
            raise Crash
    assert place.read() == before
    assert not list(scratch.iterdir())


class Crash(Exception):
    """The agent died."""


async def test_a_crash_inside_saves_nothing(place: Place, scratch: Path) -> None:
    """The stored session is as it was, and the folder is gone."""
    before = place.read()
    with pytest.raises(Crash):
        async with place.store(scratch).checkout("session-1") as checkout:
            (checkout.repository / "a").write_text("half")
            raise Crash
    assert place.read() == before
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt, asyncio.CancelledError])
def test_a_crash_inside_saves_where_it_is_asked_for(
    folder: Place, scratch: Path, error: type[BaseException]
) -> None:
    """The work until then is in the store, and the caller gets the error."""

    async def work() -> None:
        async with folder.store(scratch).checkout("session-1", save_on_error=True) as checkout:
            (checkout.repository / "a").write_text("half")
            raise error

    with pytest.raises(error):
        asyncio.run(work())
    assert saved(folder).read(f"{REPOSITORY}/a") == b"half"
    assert not list(scratch.iterdir())


async def test_a_crash_whose_files_cannot_be_saved_stays_the_error(folder: Place, scratch: Path) -> None:
    """It is noted that saving failed too, and the files are kept."""
    with pytest.raises(Crash) as caught:
        async with folder.store(scratch).checkout("session-1", save_on_error=True) as checkout:
            (checkout.repository / "a").write_text("ours")
            folder.write(session(a="theirs"))
            raise Crash
    (note,) = caught.value.__notes__
    assert "could not be saved: Another writer" in note
    assert (checkout.repository / "a").read_text() == "ours"


async def test_a_caller_that_is_cancelled_while_it_saves_has_saved(folder: Place, scratch: Path) -> None:
    """A service that is shut down at the end of a task loses nothing of it."""
    leaving = asyncio.Event()

    async def work() -> None:
        async with folder.store(scratch).checkout("session-1") as checkout:
            (checkout.repository / "large").write_bytes(os.urandom(20_000_000))
            leaving.set()

    task = asyncio.create_task(work())
    await leaving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(scratch.iterdir())
    assert len(saved(folder).read(f"{REPOSITORY}/large")) == 20_000_000


async def test_a_caller_that_is_cancelled_while_it_waits_leaves_no_folder(
    s3: S3Server, scratch: Path
) -> None:
    """A store that hangs keeps the caller no longer, and the folder goes when the download has ended."""
    bucket = s3.create_bucket()
    s3.write(bucket, "session-1/session.tar.gz", session(a=os.urandom(3_000_000)))
    with FaultyProxy(s3.endpoint) as proxy:
        proxy.faults.add(Hang(Moment.ANSWER, 1_000_000), "GET", times=100)
        options = s3.variables | {"AWS_ENDPOINT_URL": proxy.origin}
        store = SessionStore(f"s3://{bucket}", options=options, folder=scratch, timeout=1)

        async def work() -> None:
            async with store.checkout("session-1"):
                raise AssertionError

        task = asyncio.create_task(work())
        while not list(scratch.iterdir()):  # noqa: ASYNC110 (a thread makes it)
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while list(scratch.iterdir()):  # noqa: ASYNC110 (a thread removes it)
            await asyncio.sleep(0.01)


async def test_a_new_session_is_begun_where_it_is_asked_for(place: Place, scratch: Path) -> None:
    """It has an empty workspace, and is there for others as soon as something is in it."""
    store = place.store(scratch)
    with pytest.raises(SessionNotFound, match="There is no session session-2"):
        async with store.checkout("session-2"):
            raise AssertionError
    async with store.checkout("session-2", create=True) as checkout:
        assert (checkout.metadata, checkout.modified) == ({}, None)
        with pytest.raises(NoRepository, match="holds no repository"):
            _ = checkout.repository
        (checkout.folder / "workspace/workspace/notes").write_text("new")
    async with store.checkout("session-2", read_only=True) as checkout:
        assert (checkout.folder / "workspace/workspace/notes").read_text() == "new"
    assert not list(scratch.iterdir())


async def test_a_new_session_is_not_saved_over_one_that_exists(folder: Place, scratch: Path) -> None:
    """Two that begin the same one do not overwrite each other."""
    store = folder.store(scratch)
    with pytest.raises(SessionConflict, match="There is a session session-2 already"):
        async with store.checkout("session-2", create=True) as ours:
            (ours.folder / "ours").touch()
            async with store.checkout("session-2", create=True) as theirs:
                (theirs.folder / "theirs").touch()
    async with store.checkout("session-2", read_only=True) as checkout:
        assert (checkout.folder / "theirs").exists()


async def test_sessions_are_listed_shown_and_deleted_where_the_store_can(place: Place, scratch: Path) -> None:
    """A storage worker that does not list or delete says so in words."""
    store = place.store(scratch)
    shown = await store.show("session-1")
    archive = place.read()
    assert archive is not None
    assert (shown.id, shown.size) == ("session-1", len(archive))
    assert isinstance(shown.modified, datetime)
    if not place.manages:
        with pytest.raises(NotOffered, match="no list"):
            await anext(store.list())
        with pytest.raises(NotOffered, match="does not delete"):
            await store.delete("session-1")
        return
    assert [each async for each in store.list()] == [shown]
    await store.delete("session-1")
    assert [each async for each in store.list()] == []
    with pytest.raises(SessionNotFound):
        await store.delete("session-1")
    with pytest.raises(SessionNotFound):
        await store.show("session-1")


async def test_many_sessions_are_listed_each_once(tmp_path: Path) -> None:
    """More than come at a time, and nothing else that lies in the store."""
    folder = SessionFolder(tmp_path)
    names = {f"session-{number}" for number in range(2100)}
    for name in names:
        folder.put(name, b"x")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "session-1/other").touch()
    listed = [each.id async for each in SessionStore(folder.url).list()]
    assert len(listed) == len(names)
    assert set(listed) == names


ODD_IDS = ["", "..", "a/b", "../a", "-a", "a b", "a" * 129, "a\n"]


@pytest.mark.parametrize("session_id", ODD_IDS)
async def test_what_is_no_id_is_refused(session_id: str, folder: Place, scratch: Path) -> None:
    """Nothing outside of the store is read, written or deleted by a name."""
    store = folder.store(scratch)
    for ask in (store.show, store.delete):
        with pytest.raises(InvalidRequest, match="sessionId"):
            await ask(session_id)
    with pytest.raises(InvalidRequest, match="sessionId"):
        async with store.checkout(session_id, create=True):
            raise AssertionError
    for folder_of in (store.save, store.unpack):
        with pytest.raises(InvalidRequest, match="sessionId"):
            await folder_of(session_id, scratch)


@pytest.mark.parametrize("url", ["", "/srv/sessions", "ftp://host", "s3://", "gopher:x"])
def test_what_is_no_store_is_refused(url: str) -> None:
    """The message says what there is."""
    with pytest.raises(SessionError, match=r"A store is s3://bucket.*file:///folder"):
        SessionStore(url)


HOSTILE_METADATA = {
    "no JSON": (b"{", SessionCorrupt),
    "a list": (b"[]", SessionCorrupt),
    "a path out": (b'{"github":{"clonedPath":"../../.."}}', SessionCorrupt),
    "an absolute path": (b'{"github":{"clonedPath":"/etc"}}', SessionCorrupt),
    "a number": (b'{"github":{"clonedPath":1}}', SessionCorrupt),
    "git's own folder": (b'{"github":{"clonedPath":"app/.git"}}', SessionCorrupt),
    "no repository": (b'{"github":[]}', NoRepository),
    "another folder": (b'{"github":{"clonedPath":"gone"}}', NoRepository),
    "a file": (b'{"github":{"clonedPath":"file"}}', NoRepository),
    "a link": (b'{"github":{"clonedPath":"link"}}', NoRepository),
    "a folder in a link": (b'{"github":{"clonedPath":"link/etc"}}', NoRepository),
}


@pytest.mark.parametrize(("content", "error"), HOSTILE_METADATA.values(), ids=HOSTILE_METADATA)
async def test_a_repository_is_never_outside(
    content: bytes, error: type[SessionError], folder: Place, scratch: Path
) -> None:
    """Whatever the metadata and the session's links say: an agent is not sent elsewhere."""
    link = tarlink("workspace/workspace/link", "/")
    folder.write(pack(None, entries={METADATA: content, "workspace/workspace/file": b"", link.name: link}))
    async with folder.store(scratch).checkout("session-1", read_only=True) as checkout:
        with pytest.raises(error):
            _ = checkout.repository


async def test_metadata_that_is_a_link_is_not_read(folder: Place, scratch: Path) -> None:
    """Nor is any other file of this machine."""
    link = tarlink(METADATA, "/etc/passwd")
    folder.write(pack(None, entries={METADATA: link}))
    async with folder.store(scratch).checkout("session-1", read_only=True) as checkout:
        assert checkout.metadata == {}


def tarlink(name: str, target: str) -> tarfile.TarInfo:
    """Return a symbolic link's header."""
    header = tarfile.TarInfo(name)
    header.type, header.linkname = tarfile.SYMTYPE, target
    return header


async def test_an_archive_that_is_none_leaves_no_folder(folder: Place, scratch: Path) -> None:
    """The session is corrupt, and so is one that ends too early."""
    for data in (b"", b"no gzip", session(a=os.urandom(100_000))[:50_000]):
        folder.write(data)
        with pytest.raises(SessionCorrupt):
            async with folder.store(scratch).checkout("session-1"):
                raise AssertionError
    assert not list(scratch.iterdir())


async def test_an_answer_that_is_lost_is_no_conflict(s3: S3Server, scratch: Path) -> None:
    """What is stored is what was sent, so it is saved, and saving goes on from there."""
    bucket, key = s3.create_bucket(), "session-1/session.tar.gz"
    s3.write(bucket, key, session(a="A"))
    with FaultyProxy(s3.endpoint) as proxy:
        options = s3.variables | {"AWS_ENDPOINT_URL": proxy.origin}
        store = SessionStore(f"s3://{bucket}", options=options, folder=scratch, timeout=5)
        async with store.checkout("session-1") as checkout:
            (checkout.repository / "a").write_text("first")
            proxy.faults.add(Cut(Moment.HANDLED), "PUT")
            await checkout.save()
            (checkout.repository / "a").write_text("second")
    stored = s3.read(bucket, key)
    assert stored is not None
    assert Session(stored).read(f"{REPOSITORY}/a") == b"second"


async def test_a_store_that_fails_keeps_the_files(s3: S3Server, scratch: Path) -> None:
    """What an agent did in an hour stays where a store is down, and the error says where that is."""
    bucket, key = s3.create_bucket(), "session-1/session.tar.gz"
    s3.write(bucket, key, session(a="A"))
    with FaultyProxy(s3.endpoint) as proxy:
        options = s3.variables | {"AWS_ENDPOINT_URL": proxy.origin}
        store = SessionStore(f"s3://{bucket}", options=options, folder=scratch, timeout=1)
        with pytest.raises(StoreUnavailable) as caught:
            async with store.checkout("session-1") as checkout:
                (checkout.repository / "a").write_text("an hour's work")
                proxy.faults.add(Answer(503), "PUT", times=1000)
    assert caught.value.retryable
    assert caught.value.folder == checkout.folder
    assert (checkout.repository / "a").read_text() == "an hour's work"


async def test_a_folder_is_unpacked_to_stay_and_saved_later(place: Place, tmp_path: Path) -> None:
    """Another process takes it from there: what was unpacked is replaced, and nothing is saved twice."""
    store, work = place.store(tmp_path), tmp_path / "work"
    await store.unpack("session-1", work)
    assert not await place.store(tmp_path).save("session-1", work)
    (work / REPOSITORY / "a").write_text("changed")
    assert await place.store(tmp_path).save("session-1", work)
    assert not await place.store(tmp_path).save("session-1", work)
    names = set(saved(place).members())
    assert f"{REPOSITORY}/a" in names
    assert not [name for name in names if "github-worker" in name]


async def test_a_folder_that_is_outdated_is_saved_over_only_when_told(place: Place, tmp_path: Path) -> None:
    """Then it takes the place of what another writer saved."""
    store, work = place.store(tmp_path), tmp_path / "work"
    await store.unpack("session-1", work)
    (work / REPOSITORY / "a").write_text("ours")
    place.write(session(a="theirs, which is longer"))
    with pytest.raises(SessionConflict):
        await store.save("session-1", work)
    assert await store.save("session-1", work, overwrite=True)
    assert saved(place).read(f"{REPOSITORY}/a") == b"ours"


async def test_any_folder_becomes_a_new_session(folder: Place, tmp_path: Path) -> None:
    """A test of a caller's own makes its sessions so; what exists is not overwritten."""
    work = tmp_path / "work"
    (work / REPOSITORY).mkdir(parents=True)
    (work / METADATA).write_text(json.dumps(FIELDS))
    store = folder.store(tmp_path)
    with pytest.raises(SessionConflict, match="There is a session session-1 already"):
        await store.save("session-1", work)
    assert await store.save("session-2", work)
    async with store.checkout("session-2", read_only=True) as checkout:
        assert checkout.repository.is_dir()


async def test_a_folder_with_something_in_it_is_not_unpacked_into(folder: Place, tmp_path: Path) -> None:
    """Nor is anything of it removed."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "mine").touch()
    with pytest.raises(FileExistsError, match="not an empty folder"):
        await folder.store(tmp_path).unpack("session-1", work)
    assert (work / "mine").exists()


def test_callers_without_an_event_loop_have_the_same(place: Place, scratch: Path) -> None:
    """The methods block, and the block saves at its end."""
    store = sync.SessionStore(place.url, options=place.options, folder=scratch)
    with store.checkout("session-1") as checkout:
        (checkout.repository / "a").write_text("blocking")
    assert saved(place).read(f"{REPOSITORY}/a") == b"blocking"
    with pytest.raises(Crash), store.checkout("session-1") as checkout:
        (checkout.repository / "a").write_text("half")
        raise Crash
    assert saved(place).read(f"{REPOSITORY}/a") == b"blocking"
    assert store.show("session-1").id == "session-1"
    assert not list(scratch.iterdir())


def test_errors_are_of_the_clients_tree() -> None:
    """One `except GitHubWorkerError` is enough for a caller."""
    assert issubclass(SessionError, GitHubWorkerError)
    error = SessionConflict("x", ours=None, theirs=datetime.now(UTC))
    assert (error.code, error.retryable) == ("session_conflict", False)
