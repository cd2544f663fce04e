"""Sessions in object stores: conditions, large archives, faults of the network, folders."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from github_worker.errors import ConfigurationError, StorageUnavailable
from github_worker.redaction import Secret
from github_worker.settings import from_env
from github_worker.storage import SessionChanged, store_for
from github_worker.storage.object_store import ObjectStore
from tests.stores.archives import LARGE, SMALL, archive, chunks, load, version
from tests.stores.conftest import KEY
from tests.support.faults import Answer, Cut, Fault, Hang, Meanwhile, Moment
from tests.support.proxy import FaultyProxy
from tests.support.s3 import S3Server
from tests.support.worker import ReservedPort

OLD = archive(SMALL, seed=1)


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """Return a bucket with a session."""
    name = s3.create_bucket()
    s3.write(name, KEY, OLD)
    return name


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[FaultyProxy]:
    """Yield what stands between the store and the S3 server."""
    with FaultyProxy(s3.endpoint) as proxy:
        yield proxy


def store_of(s3: S3Server, bucket: str, proxy: FaultyProxy, timeout: float = 1.0, **more: str) -> ObjectStore:
    """Return a store that gives up soon."""
    options = s3.options | {name: Secret(value) for name, value in more.items()}
    return ObjectStore.at(f"s3://{bucket}", options | {"aws_endpoint_url": Secret(proxy.origin)}, timeout)


@pytest.fixture
def store(s3: S3Server, bucket: str, proxy: FaultyProxy) -> ObjectStore:
    """Return a store on S3 whose network can fail."""
    return store_of(s3, bucket, proxy)


def test_a_small_archive_goes_in_one_request(store: ObjectStore, proxy: FaultyProxy) -> None:
    """Only so the store itself compares versions."""
    store.upload("session-1", chunks(archive(SMALL)), version(store))

    assert [line for line in proxy.lines if not line.startswith("GET")] == [f"PUT {_path(proxy)}"]


def test_a_save_while_a_small_archive_is_on_its_way_is_not_overwritten(
    s3: S3Server, bucket: str, store: ObjectStore, proxy: FaultyProxy
) -> None:
    """The condition is the store's: no moment is left between the comparison and the write."""
    theirs = archive(SMALL, seed=2)
    before = version(store)
    proxy.faults.add(Meanwhile(lambda: s3.write(bucket, KEY, theirs)), "PUT")

    with pytest.raises(SessionChanged):
        store.upload("session-1", chunks(archive(SMALL)), before)

    assert s3.read(bucket, KEY) == theirs


@pytest.mark.parametrize("expected", ["outdated", None])
def test_a_large_archive_that_is_refused_leaves_no_parts(
    s3: S3Server, bucket: str, store: ObjectStore, expected: str | None
) -> None:
    """A multipart upload that is not completed is aborted, since its parts would be paid for."""
    with pytest.raises(SessionChanged):
        store.upload("session-1", chunks(archive(LARGE)), expected)

    assert s3.unfinished_uploads(bucket) == 0
    assert s3.read(bucket, KEY) == OLD


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_a_store_without_conditions_is_compared_before_the_end(
    s3: S3Server, bucket: str, proxy: FaultyProxy, size: int
) -> None:
    """AWS_CONDITIONAL_PUT=disabled is for S3 servers that have no conditional writes."""
    store = store_of(s3, bucket, proxy, aws_conditional_put="disabled")
    before = version(store)

    store.upload("session-1", chunks(archive(size)), before)
    with pytest.raises(SessionChanged):
        store.upload("session-1", chunks(archive(size, seed=2)), before)

    assert s3.read(bucket, KEY) == archive(size)


def test_of_writers_that_save_at_once_in_a_folder_one_does(tmp_path: Path) -> None:
    """A folder has no conditional writes: a lock keeps two from comparing before either writes."""
    for number in range(20):
        stores = [ObjectStore.at(f"file://{tmp_path}", {}, 5) for _ in range(6)]
        stores[0].upload(f"session-{number}", chunks(archive(SMALL)), None)
        with stores[0].download(f"session-{number}") as download:
            assert download is not None
        together = threading.Barrier(len(stores))

        def save(
            store: ObjectStore,
            session_id: str = f"session-{number}",
            before: str = download.version,
            together: threading.Barrier = together,
        ) -> bool:
            together.wait()
            try:
                store.upload(session_id, chunks(archive(SMALL, seed=2)), before)
            except SessionChanged:
                return False
            return True

        with ThreadPoolExecutor(len(stores)) as threads:
            assert sum(threads.map(save, stores)) == 1


@pytest.mark.parametrize("fault", [Answer(503), Cut(Moment.RECEIVED)], ids=["503", "cut"])
def test_a_download_that_fails_twice_is_tried_again(
    store: ObjectStore, proxy: FaultyProxy, fault: Fault
) -> None:
    """A short disturbance is not noticed."""
    proxy.faults.add(fault, "GET", times=2)

    loaded = load(store)

    assert loaded is not None
    assert loaded[0] == OLD


def test_a_download_that_is_cut_goes_on_where_it_was(store: ObjectStore, proxy: FaultyProxy) -> None:
    """The rest is asked for, and the archive is whole."""
    proxy.faults.add(Cut(Moment.ANSWER, 500), "GET")

    loaded = load(store)

    assert loaded is not None
    assert loaded[0] == OLD


def test_a_download_that_keeps_being_cut_is_no_archive(store: ObjectStore, proxy: FaultyProxy) -> None:
    """The chunks end with an error, not as if the archive were complete."""
    proxy.faults.add(Cut(Moment.ANSWER, 10), "GET", times=100)

    with store.download("session-1") as download:
        assert download is not None
        with pytest.raises(StorageUnavailable):
            list(download.chunks)


def test_a_download_replaced_while_it_is_cut_is_no_archive(
    s3: S3Server, bucket: str, store: ObjectStore, proxy: FaultyProxy
) -> None:
    """Two archives are never pieced together."""
    proxy.faults.add(Cut(Moment.ANSWER, 500), "GET")
    with store.download("session-1") as download:
        assert download is not None
        s3.write(bucket, KEY, archive(SMALL, seed=2))

        with pytest.raises(StorageUnavailable):
            list(download.chunks)


@pytest.mark.parametrize("moment", [Moment.RECEIVED, Moment.ANSWER])
def test_a_store_that_says_nothing_is_unavailable(
    store: ObjectStore, proxy: FaultyProxy, moment: Moment
) -> None:
    """After the timeout it counts as down."""
    proxy.faults.add(Hang(moment, 500 if moment is Moment.ANSWER else 0), "GET", times=100)

    with pytest.raises(StorageUnavailable):
        load(store)


UPLOAD_FAULTS = {"503": Answer(503), "cut": Cut(Moment.RECEIVED), "no answer": Hang(Moment.RECEIVED)}


@pytest.mark.parametrize("fault", UPLOAD_FAULTS.values(), ids=UPLOAD_FAULTS.keys())
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_an_upload_that_keeps_failing_replaces_nothing(
    store: ObjectStore, proxy: FaultyProxy, fault: Fault, size: int
) -> None:
    """The old archive stays."""
    before = version(store)
    proxy.faults.add(fault, "PUT", times=100)

    with pytest.raises(StorageUnavailable):
        store.upload("session-1", chunks(archive(size)), before)

    assert load(store) == (OLD, before)


def test_a_store_that_refuses_says_so_without_secrets(
    s3: S3Server, store: ObjectStore, proxy: FaultyProxy
) -> None:
    """The message is one line, scrubbed of credentials that the answer repeats."""
    secret = s3.options["aws_secret_access_key"]
    answer = f"<Error>\nno {secret.reveal()}\nfor you</Error>".encode()
    proxy.faults.add(Answer(403, answer), "GET", times=100)

    with pytest.raises(StorageUnavailable, match="refuses this worker") as caught:
        load(store)

    assert str(caught.value).endswith("no *** for you")
    assert "\n" not in str(caught.value)


def test_a_bucket_that_does_not_exist_is_unavailable(s3: S3Server, proxy: FaultyProxy) -> None:
    """A session is not lost silently."""
    store = store_of(s3, "no-such-bucket", proxy)

    with pytest.raises(StorageUnavailable, match="bucket does not exist"):
        store.upload("session-1", chunks(OLD), None)


def test_variables_that_obstore_does_not_know_are_left_aside(s3: S3Server, bucket: str) -> None:
    """Containers come with AWS_PROFILE and the like, and other clouds' variables."""
    more = {
        "AWS_PROFILE": "x",
        "AWS_ALLOW_HTTP": "true",
        "GOOGLE_CLOUD_PROJECT": "x",
        "AZURE_CONFIG_DIR": "x",
    }
    store = store_for(from_env({"STORAGE_URL": f"s3://{bucket}", **s3.variables, **more}))

    assert load(store) is not None


@pytest.mark.parametrize(
    ("url", "variable", "address", "missing"),
    [
        ("s3://bucket", "AWS_METADATA_ENDPOINT", "", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (
            "az://container",
            "AZURE_MSI_ENDPOINT",
            "/metadata/identity/oauth2/token",
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
    ],
)
def test_without_keys_the_variables_for_them_are_named(
    url: str, variable: str, address: str, missing: str
) -> None:
    """A machine without a role has none to give either: its metadata service says nothing to a person."""
    port = ReservedPort()
    env = {"STORAGE_URL": url, "AZURE_STORAGE_ACCOUNT_NAME": "account", "STORAGE_TIMEOUT": "1"}
    store = store_for(from_env(env | {variable: f"http://127.0.0.1:{port.number}{address}"}))
    with pytest.raises(StorageUnavailable) as wrong:
        load(store)
    port.close()
    assert f"set {missing}, or" in str(wrong.value)
    assert "http" not in str(wrong.value)


@pytest.mark.parametrize(
    ("url", "variable", "missing"),
    [
        ("s3://bucket", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        ("az://container", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_an_identity_that_is_told_in_part_is_an_error_of_the_configuration(
    url: str, variable: str, missing: str
) -> None:
    """The variable that is missing is named."""
    with pytest.raises(ConfigurationError, match=f"STORAGE_URL cannot be used: .*{missing} is not"):
        store_for(from_env({"STORAGE_URL": url, variable: "YWJjZA=="}))


@pytest.mark.parametrize(
    "url",
    [
        "az://container/prefix",
        "gs://bucket/prefix",
        "file://host/folder",
        "file:///dev/null/folder",
    ],
)
def test_a_store_that_cannot_be_opened_is_an_error_of_the_configuration(url: str) -> None:
    """The message names the variable."""
    with pytest.raises(ConfigurationError, match="STORAGE_URL"):
        store_for(from_env({"STORAGE_URL": url, "GOOGLE_SERVICE_ACCOUNT": "/no/such/file"}))


def test_without_a_store_sessions_are_in_a_private_folder(tmp_path: Path) -> None:
    """Nobody else on the machine can read them."""
    settings = from_env({"TMP_DIR": str(tmp_path)})

    store_for(settings).upload("session-1", chunks(OLD), None)

    folder = tmp_path / "github-worker-sessions"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / KEY).read_bytes() == OLD
    assert load(store_for(settings)) is not None


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_in_place_of_the_private_folder_is_not_followed(tmp_path: Path, target: str) -> None:
    """Whoever may write to TMP_DIR does not choose where sessions are kept."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o750)
    (tmp_path / "github-worker-sessions").symlink_to(tmp_path / target)
    with pytest.raises(ConfigurationError, match="TMP_DIR has github-worker-sessions, which is no folder"):
        store_for(from_env({"TMP_DIR": str(tmp_path)}))
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o750
    assert not (tmp_path / "nowhere").exists()


def test_a_file_in_place_of_the_private_folder_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    """It is left as it is."""
    file = tmp_path / "github-worker-sessions"
    file.write_text("notes")
    with pytest.raises(ConfigurationError, match="TMP_DIR has github-worker-sessions, which is no folder"):
        store_for(from_env({"TMP_DIR": str(tmp_path)}))
    assert file.read_text() == "notes"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_users_is_not_taken_for_the_private_one(tmp_path: Path) -> None:
    """Its owner could read all that is put into it."""
    folder = tmp_path / "github-worker-sessions"
    folder.mkdir(mode=0o777)
    os.chown(folder, 12345, 12345)
    with pytest.raises(ConfigurationError, match="another user"):
        store_for(from_env({"TMP_DIR": str(tmp_path)}))


def test_a_private_folder_that_others_could_enter_is_closed_to_them(tmp_path: Path) -> None:
    """It is this user's, whatever its mode was."""
    (tmp_path / "github-worker-sessions").mkdir(mode=0o755)
    store_for(from_env({"TMP_DIR": str(tmp_path)}))
    assert stat.S_IMODE((tmp_path / "github-worker-sessions").stat().st_mode) == 0o700


def test_an_interrupted_upload_leaves_no_file_beside_the_archive(tmp_path: Path) -> None:
    """A folder holds archives and nothing else."""
    store = store_for(from_env({"STORAGE_URL": f"file://{tmp_path}"}))
    store.upload("session-1", chunks(OLD), None)

    with pytest.raises(SessionChanged):
        store.upload("session-1", chunks(archive(LARGE)), "outdated")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / KEY]


def _path(proxy: FaultyProxy) -> str:
    return next(line for line in proxy.lines if line.startswith("GET")).removeprefix("GET ")
