"""Objects on their way: several at once, resumed where they broke off, believed once they are verified."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from github_worker.errors import JobError, RateLimited, RemoteUnavailable, RepositoryNotFound
from tests.conftest import READ_TOKEN
from tests.lfs.conftest import LargeRunner, StoredSession
from tests.support.faults import ENDLESS, Answer, Cut, Meanwhile, Moment, Redirect
from tests.support.git_server import GitServer
from tests.support.lfs import LargeFileServer
from tests.support.repositories import Repository as Origin

CONTENT = bytes(range(256)) * 20_000
OID = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def large_origin(origin: Origin, large_files: LargeFileServer) -> Origin:
    """Return the repository with a file of five megabytes more."""
    origin.commit({"b.bin": large_files.put(CONTENT)}, "Add a large file")
    return origin


def asked_for(git_server: GitServer, oid: str) -> int:
    """Return how often an object was asked for."""
    return len([request for request in git_server.requests if request.path.endswith(f"/large/{oid}")])


async def test_a_download_goes_on_where_it_broke_off(
    runner: LargeRunner,
    large_origin: Origin,
    session: StoredSession,
    git_server: GitServer,
    large_files: LargeFileServer,
) -> None:
    """However often that is, what came is not sent again."""
    for at in (2_000_000, 1_500_000, 1_000):
        git_server.faults.add(Cut(Moment.ANSWER, at), f"GET /large/{OID}")
    await runner.clone(large_origin.url)
    assert session.read("b.bin") == CONTENT
    assert asked_for(git_server, OID) == 4
    assert large_files.sent[OID] == len(CONTENT)


async def test_a_server_that_knows_no_ranges(
    runner: LargeRunner,
    large_origin: Origin,
    session: StoredSession,
    git_server: GitServer,
    large_files: LargeFileServer,
) -> None:
    """All of it is fetched again."""
    large_files.heeds_range = False
    git_server.faults.add(Cut(Moment.ANSWER, 2_000_000), f"GET /large/{OID}")
    await runner.clone(large_origin.url)
    assert session.read("b.bin") == CONTENT
    assert asked_for(git_server, OID) == 2


async def test_several_are_fetched_at_once(
    runner: LargeRunner,
    origin: Origin,
    session: StoredSession,
    git_server: GitServer,
    large_files: LargeFileServer,
) -> None:
    """Each of three waits until all of them were asked for."""
    meeting = threading.Barrier(3, timeout=60)
    contents = {f"{name}.bin": name.encode() * 9 for name in "xyz"}
    for content in contents.values():
        oid = large_files.put(content).split("sha256:")[1][:64]
        git_server.faults.add(Meanwhile(meeting.wait), f"GET /large/{oid}")
    origin.commit({path: large_files.put(content) for path, content in contents.items()}, "Add three")
    await runner.clone(origin.url)
    assert {path: session.read(path) for path in contents} == contents


async def test_more_than_one_request_may_name(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """Two hundred and one objects are asked for by three requests."""
    contents = {f"{number}.bin": b"%d" % number for number in range(200)}
    origin.commit({path: large_files.put(content) for path, content in contents.items()}, "Add many")
    await runner.clone(origin.url)
    assert [len(batch["objects"]) for batch in large_files.batches] == [100, 100, 1]
    assert {path: session.read(path) for path in contents} == contents


@pytest.mark.parametrize("content", [b"short", b"x" * len(CONTENT), CONTENT + b"more"])
async def test_another_content_than_the_pointer_says(
    runner: LargeRunner,
    large_origin: Origin,
    session: StoredSession,
    large_files: LargeFileServer,
    content: bytes,
) -> None:
    """Nothing that is not verified comes into a session, and there is no session."""
    (large_files.folder / OID).write_bytes(content)
    with pytest.raises(RemoteUnavailable, match=r"sen(t|ds) (only a part|another content|more)"):
        await runner.clone(large_origin.url)
    with pytest.raises(FileNotFoundError):
        _ = session.archive


async def test_two_sizes_of_one_object(
    runner: LargeRunner, origin: Origin, session: StoredSession, large_files: LargeFileServer
) -> None:
    """One of the pointers lies, and nothing of both is believed."""
    other = large_files.put(CONTENT).replace(f"size {len(CONTENT)}", "size 3")
    origin.commit({"b.bin": large_files.put(CONTENT), "c.bin": other}, "Lie about a size")
    with pytest.raises(RemoteUnavailable, match="sends more"):
        await runner.clone(origin.url)


async def test_an_answer_that_does_not_end(
    runner: LargeRunner, large_origin: Origin, git_server: GitServer
) -> None:
    """No more is taken than a pointer says, and of an answer of the API than one has."""
    for matching in ("GET /large", "objects/batch"):
        git_server.faults.clear()
        git_server.faults.add(ENDLESS["plain"], matching, times=100)
        with pytest.raises(RemoteUnavailable):
            await runner.clone(large_origin.url)


@pytest.mark.parametrize(
    ("status", "error"), [(404, RepositoryNotFound), (429, RateLimited), (503, RemoteUnavailable)]
)
async def test_a_server_that_refuses(
    runner: LargeRunner, origin: Origin, git_server: GitServer, status: int, error: type[JobError]
) -> None:
    """The job ends with its words; what may be over in a moment is tried again first."""
    git_server.faults.add(Answer(status, b'{"message":"Not today."}'), "objects/batch", times=100)
    with pytest.raises(error, match="Not today"):
        await runner.clone(origin.url)


async def test_a_server_that_recovers(
    runner: LargeRunner, origin: Origin, session: StoredSession, git_server: GitServer
) -> None:
    """Whatever fails once is asked again."""
    git_server.faults.add(Answer(429, headers={"Retry-After": "0"}), "objects/batch")
    for status in (403, 500):
        git_server.faults.add(Answer(status), "GET /large")
    await runner.clone(origin.url)
    assert session.read("a.bin") == b"a" * 5000


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a change of an answer, which is made in a copy."""

    def alter(answer: dict[str, Any]) -> dict[str, Any]:
        answer = json.loads(json.dumps(answer))
        change(answer)
        return answer

    return alter


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.update(transfer="tus"),
        lambda answer: answer.update(hash_algo="md5"),
        lambda answer: answer.update(objects="none"),
        lambda answer: answer.update(objects=[]),
        lambda answer: answer["objects"][0].update(actions={}),
        lambda answer: answer["objects"][0].update(oid="0" * 64),
        lambda answer: answer["objects"][0].update(error={"code": 500, "message": "Broken"}, actions=None),
        lambda answer: answer["objects"][0]["actions"]["download"].update(header={"X": "a\r\nEvil: yes"}),
        lambda answer: answer["objects"][0]["actions"]["download"].update(header={"ü": "ü"}),
        lambda answer: answer["objects"][0]["actions"]["download"].update(href="/large/relative"),
    ],
)
async def test_an_answer_that_is_none(
    runner: LargeRunner,
    origin: Origin,
    large_files: LargeFileServer,
    change: Callable[[dict[str, Any]], object],
) -> None:
    """It ends the job with a sentence."""
    large_files.alter = edit(change)
    with pytest.raises(RemoteUnavailable, match=r"[Tt]he (git server|server of the large files)"):
        await runner.clone(origin.url)


async def test_a_token_that_may_only_read(
    runner: LargeRunner, origin: Origin, session: StoredSession
) -> None:
    """It clones contents; what it may not upload is not pushed."""
    await runner.init(origin.url)
    runner.token = READ_TOKEN
    session.write({"b.bin": CONTENT})
    result = await runner.commit(message="Add it")
    assert result.push_error.code == "permission_denied"
    assert "You may not write here" in result.push_error.message


async def test_a_repository_that_has_moved(
    runner: LargeRunner, origin: Origin, session: StoredSession, git_server: GitServer
) -> None:
    """The API is followed to where the repository is on the same origin."""
    git_server.faults.add(Redirect(origin.url, status=307), "objects/batch")
    await runner.clone(origin.url)
    assert not git_server.faults.take("POST objects/batch")
    assert session.read("a.bin") == b"a" * 5000
