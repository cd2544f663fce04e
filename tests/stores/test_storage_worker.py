"""The storage worker's protocol, and what happens when it fails."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from github_worker.errors import StorageUnavailable
from github_worker.storage import SessionChanged
from github_worker.storage.storage_worker import StorageWorkerStore
from tests.stores.archives import LARGE, SMALL, archive, chunks, load, version
from tests.support.faults import (
    ENCODED,
    ENDLESS,
    Answer,
    Cut,
    Fault,
    Flood,
    Hang,
    Meanwhile,
    Moment,
    Redirect,
)
from tests.support.memory import MIB, bounded_memory
from tests.support.storage_worker import StorageRequest, StorageWorker

DOWNLOAD, UPLOAD, METADATA = (
    "session-1/download",
    "session-1/upload",
    "GET /api/storage-worker/sessions/session-1",
)
OLD = archive(SMALL, seed=1)


@pytest.fixture
def worker() -> Iterator[StorageWorker]:
    """Yield a storage worker with ETags and a session."""
    with StorageWorker(etags=True) as worker:
        worker.save("session-1", OLD)
        yield worker


@pytest.fixture
def plain_worker() -> Iterator[StorageWorker]:
    """Yield a storage worker without ETags and a session."""
    with StorageWorker(etags=False) as worker:
        worker.save("session-1", OLD)
        yield worker


def store_of(worker: StorageWorker, timeout: float = 0.4) -> StorageWorkerStore:
    """Return a store that gives up soon."""
    return StorageWorkerStore(worker.origin, timeout)


def seen(worker: StorageWorker, matching: str) -> list[StorageRequest]:
    """Return the requests whose line contains `matching`."""
    return [request for request in worker.requests if matching in request.line]


def test_an_upload_carries_the_etag_of_the_download(worker: StorageWorker) -> None:
    """If-Match is the ETag as it came, the media type that of gzip."""
    store = store_of(worker)

    store.upload("session-1", chunks(OLD), version(store))

    (upload,) = seen(worker, UPLOAD)
    assert upload.headers["if-match"] == '"1"'
    assert upload.headers["content-type"] == "application/gzip"


def test_where_there_are_etags_nothing_else_is_asked(worker: StorageWorker) -> None:
    """A session comes by one request and goes by one."""
    store = store_of(worker)

    store.upload("session-1", chunks(OLD), version(store))

    assert [request.line.rpartition("/")[2] for request in worker.requests] == ["download", "upload"]


def test_a_first_upload_is_for_a_session_that_does_not_exist(worker: StorageWorker) -> None:
    """If-None-Match says so too, should another worker be as quick."""
    store_of(worker).upload("session-2", chunks(OLD), None)

    (upload,) = seen(worker, "session-2/upload")
    assert upload.headers["if-none-match"] == "*"
    assert "if-match" not in upload.headers


@pytest.mark.parametrize(("size", "framing"), [(SMALL, "content-length"), (LARGE, "transfer-encoding")])
def test_a_small_archive_announces_its_length_and_a_large_one_is_streamed(
    worker: StorageWorker, size: int, framing: str
) -> None:
    """What is held in memory anyway is sent in the plainest way there is."""
    store_of(worker).upload("session-2", chunks(archive(size)), None)

    assert framing in seen(worker, UPLOAD.replace("1", "2"))[0].headers


def test_a_save_between_description_and_download_is_noticed(plain_worker: StorageWorker) -> None:
    """Without ETags the version is never newer than the archive that came with it."""
    store = store_of(plain_worker)
    plain_worker.faults.add(Answer(200, b"\x1f\x8b"), DOWNLOAD)  # of which no ETag is all that is read
    plain_worker.faults.add(
        Meanwhile(lambda: plain_worker.save("session-1", archive(SMALL, seed=2)), Moment.REQUEST), DOWNLOAD
    )
    loaded = load(store)
    assert loaded is not None

    with pytest.raises(SessionChanged):
        store.upload("session-1", chunks(OLD), loaded[1])


def test_a_conflict_known_beforehand_costs_no_upload(plain_worker: StorageWorker) -> None:
    """Without ETags nothing is sent over a version that is outdated already."""
    store = store_of(plain_worker)
    outdated = version(store)
    plain_worker.save("session-1", OLD)

    with pytest.raises(SessionChanged):
        store.upload("session-1", chunks(archive(LARGE)), outdated)

    assert not seen(plain_worker, UPLOAD)


@pytest.mark.parametrize("fault", [Answer(503), Cut(Moment.RECEIVED)], ids=["503", "cut"])
@pytest.mark.parametrize("request_line", [METADATA, DOWNLOAD])
def test_a_get_that_fails_twice_is_tried_again(
    worker: StorageWorker, fault: Fault, request_line: str
) -> None:
    """A storage worker that restarts is not noticed."""
    worker.faults.add(fault, request_line, times=2)

    loaded = load(store_of(worker))

    assert loaded is not None
    assert loaded[0] == OLD


def test_a_storage_that_keeps_failing_is_unavailable(worker: StorageWorker) -> None:
    """It is tried a few times, and the answer is in the message."""
    worker.faults.add(Answer(503), DOWNLOAD, times=100)

    with pytest.raises(StorageUnavailable, match="HTTP 503"):
        load(store_of(worker))

    assert len(seen(worker, DOWNLOAD)) == 4


def test_a_storage_that_is_not_there_is_unavailable(worker: StorageWorker) -> None:
    """Nobody listens."""
    worker.close()

    with pytest.raises(StorageUnavailable):
        load(store_of(worker))


@pytest.mark.parametrize("status", [401, 403])
def test_a_storage_that_refuses_is_not_asked_again(worker: StorageWorker, status: int) -> None:
    """The message says that it is a refusal."""
    worker.faults.add(Answer(status), DOWNLOAD)

    with pytest.raises(StorageUnavailable, match=f"refuses this worker .HTTP {status}"):
        load(store_of(worker))

    assert len(seen(worker, DOWNLOAD)) == 1


def test_a_redirect_is_not_followed(worker: StorageWorker, plain_worker: StorageWorker) -> None:
    """An archive comes from the configured storage or not at all."""
    worker.faults.add(Redirect(plain_worker.origin), DOWNLOAD)

    with pytest.raises(StorageUnavailable, match="HTTP 302"):
        load(store_of(worker))

    assert not plain_worker.requests


def test_a_storage_that_says_nothing_is_unavailable(worker: StorageWorker) -> None:
    """After the timeout it counts as down, and is not waited for again."""
    worker.faults.add(Hang(Moment.RECEIVED), DOWNLOAD, times=2)

    with pytest.raises(StorageUnavailable, match="does not answer"):
        load(store_of(worker))

    assert len(seen(worker, DOWNLOAD)) == 1


@pytest.mark.parametrize("fault", [Hang(Moment.ANSWER, 500), Cut(Moment.ANSWER, 500)], ids=["hang", "cut"])
def test_a_download_that_stops_in_the_middle_is_no_archive(worker: StorageWorker, fault: Fault) -> None:
    """The chunks end with an error, not as if the archive were complete."""
    worker.faults.add(fault, DOWNLOAD)

    with store_of(worker).download("session-1") as download:
        assert download is not None
        with pytest.raises(StorageUnavailable):
            list(download.chunks)


def test_a_gzip_called_a_content_encoding_stays_a_gzip(worker: StorageWorker) -> None:
    """The archive is what is stored, not what is inside it."""
    stored = gzip.compress(OLD)
    worker.faults.add(Answer(200, stored, {"Content-Encoding": "gzip", "ETag": '"1"'}), DOWNLOAD)

    loaded = load(store_of(worker))

    assert loaded is not None
    assert loaded[0] == stored


@pytest.mark.parametrize(
    "garbage", [b"<html>", b"[]", b'{"size":"big"}', b'{"lastModified":"\xff","size":1}']
)
def test_a_description_that_is_none_is_an_error(plain_worker: StorageWorker, garbage: bytes) -> None:
    """Garbage is never taken for a version."""
    plain_worker.faults.add(Answer(200, b""), DOWNLOAD)
    plain_worker.faults.add(Answer(200, garbage), METADATA)

    with pytest.raises(StorageUnavailable, match="description"):
        load(store_of(plain_worker))


@pytest.mark.parametrize("answer", [*ENDLESS.values(), *ENCODED.values()], ids=[*ENDLESS, *ENCODED])
def test_a_description_without_an_end_or_in_a_strange_encoding_is_not_read(
    plain_worker: StorageWorker, answer: Flood
) -> None:
    """It is read to a MiB, before and after inflating."""
    plain_worker.faults.add(answer, METADATA, times=9)

    with bounded_memory(8 * MIB), pytest.raises(StorageUnavailable, match="description: it is"):
        load(store_of(plain_worker, timeout=2))


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
def test_an_upload_whose_answer_has_no_end_is_done(worker: StorageWorker, answer: Flood) -> None:
    """Its status says so, and the rest is not read."""
    worker.faults.add(answer, UPLOAD)

    with bounded_memory(8 * MIB):
        store_of(worker, timeout=2).upload("session-1", chunks(OLD), version(store_of(worker)))


UPLOAD_FAULTS = {
    "503": Answer(503),
    "cut while sending": Cut(Moment.UPLOAD, 500),
    "hang while sending": Hang(Moment.UPLOAD, 500),
    "no answer": Hang(Moment.RECEIVED),
    "cut instead of an answer": Cut(Moment.RECEIVED),
}


@pytest.mark.parametrize("fault", UPLOAD_FAULTS.values(), ids=UPLOAD_FAULTS.keys())
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_an_upload_that_fails_is_sent_once(worker: StorageWorker, fault: Fault, size: int) -> None:
    """The chunks are used up: whoever packs decides whether to pack again. The old archive stays."""
    store = store_of(worker)
    before = version(store)
    worker.faults.add(fault, UPLOAD, times=2)

    with pytest.raises(StorageUnavailable):
        store.upload("session-1", chunks(archive(size)), before)

    assert len(seen(worker, UPLOAD)) == 1
    assert worker.archive("session-1") == OLD


def test_a_lost_answer_to_an_upload_is_an_error(worker: StorageWorker) -> None:
    """It was saved, but that is not known; saving again over the old version is then refused."""
    store = store_of(worker)
    before = version(store)
    worker.faults.add(Cut(Moment.HANDLED), UPLOAD)

    with pytest.raises(StorageUnavailable):
        store.upload("session-1", chunks(archive(SMALL)), before)

    with pytest.raises(SessionChanged):
        store.upload("session-1", chunks(archive(SMALL)), before)


def test_a_proxy_of_the_environment_is_not_used(
    worker: StorageWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions do not leave for a proxy that is meant for the outside."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    assert load(store_of(worker)) is not None
