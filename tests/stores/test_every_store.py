"""What a store must do, whatever stands behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from github_worker.storage import NotOffered, SessionChanged
from tests.stores.archives import LARGE, SMALL, archive, chunks, load, version
from tests.stores.conftest import Place

sizes = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])


class Interrupted(Exception):
    """The archive could not be made."""


def interrupt() -> None:
    """Fail to make the archive."""
    raise Interrupted


def test_a_session_that_was_never_saved_is_none(place: Place) -> None:
    """There is nothing to download, and that is no error."""
    assert load(place.store) is None


@sizes
def test_what_is_saved_is_loaded_byte_for_byte(place: Place, size: int) -> None:
    """A new session is stored whole, and others read it."""
    place.store.upload("session-1", chunks(archive(size)), None)

    assert place.read() == archive(size)
    loaded = load(place.store)
    assert loaded is not None
    assert loaded[0] == archive(size)


@sizes
def test_a_session_is_replaced_over_its_version(place: Place, size: int) -> None:
    """The new archive takes the place of the old one, and has another version."""
    place.write(archive(SMALL, seed=1))
    before = version(place.store)

    place.store.upload("session-1", chunks(archive(size, seed=2)), before)

    assert place.read() == archive(size, seed=2)
    assert version(place.store) != before


@sizes
def test_the_version_that_was_saved_is_told_or_left_open(place: Place, size: int) -> None:
    """Whoever saves again compares with what they saved, and never with what another writer did."""
    new = place.store.upload("session-1", chunks(archive(size)), None)

    assert new in {version(place.store), None}


def test_a_download_says_when_the_session_was_saved(place: Place) -> None:
    """People see which of two versions is the newer one."""
    place.write(archive(SMALL))

    with place.store.download("session-1") as download:
        assert download is not None
        assert download.modified is not None
        assert abs(download.modified - datetime.now(UTC)) < timedelta(days=366)


def test_sessions_are_listed_where_the_store_can(place: Place) -> None:
    """Each of them is there, with its size; a storage worker without a list says so."""
    place.write(archive(SMALL))

    if not place.manages:
        with pytest.raises(NotOffered, match="has no list"):
            list(place.store.entries())
        return
    entry, *others = place.store.entries()
    assert (entry.session_id, entry.size, others) == ("session-1", SMALL, [])
    assert entry.modified is not None


def test_a_session_is_deleted_where_the_store_can(place: Place) -> None:
    """It is gone, and deleting it again is no error; a storage worker that deletes nothing says so."""
    place.write(archive(SMALL))

    if not place.manages:
        with pytest.raises(NotOffered, match="does not delete"):
            place.store.delete("session-1")
        assert place.read() == archive(SMALL)
        return
    assert place.store.delete("session-1")
    assert load(place.store) is None
    assert not place.store.delete("session-1")


@sizes
def test_a_session_that_someone_else_saved_is_not_overwritten(place: Place, size: int) -> None:
    """Saving over an outdated version is refused, and their archive stays."""
    place.write(archive(SMALL, seed=1))
    outdated = version(place.store)
    place.write(archive(SMALL + 1, seed=2))

    with pytest.raises(SessionChanged):
        place.store.upload("session-1", chunks(archive(size, seed=3)), outdated)

    assert place.read() == archive(SMALL + 1, seed=2)


@sizes
def test_a_save_during_the_upload_is_not_overwritten(place: Place, size: int) -> None:
    """Another writer that saves before our last chunk leaves wins."""
    place.write(archive(SMALL, seed=1))
    ours = version(place.store)

    with pytest.raises(SessionChanged):
        place.store.upload(
            "session-1",
            chunks(archive(size, seed=3), then=lambda: place.write(archive(SMALL + 1, seed=2))),
            ours,
        )

    assert place.read() == archive(SMALL + 1, seed=2)


@sizes
def test_a_new_session_is_not_saved_over_one_that_exists(place: Place, size: int) -> None:
    """Two workers that begin the same session do not overwrite each other."""
    place.write(archive(SMALL, seed=1))

    with pytest.raises(SessionChanged):
        place.store.upload("session-1", chunks(archive(size, seed=2)), None)

    assert place.read() == archive(SMALL, seed=1)


@sizes
def test_an_archive_that_cannot_be_finished_replaces_nothing(place: Place, size: int) -> None:
    """The packer's exception comes through, and the stored archive is the old one."""
    place.write(archive(SMALL, seed=1))
    before = version(place.store)

    with pytest.raises(Interrupted):
        place.store.upload("session-1", chunks(archive(size, seed=2), then=interrupt), before)

    assert load(place.store) == (archive(SMALL, seed=1), before)


@sizes
def test_a_new_session_that_cannot_be_finished_is_not_there(place: Place, size: int) -> None:
    """Nothing is left where there was nothing."""
    with pytest.raises(Interrupted):
        place.store.upload("session-1", chunks(archive(size), then=interrupt), None)

    assert load(place.store) is None


def open_missing() -> None:
    """Fail to read a file that should be packed."""
    with open("no-such-file"):
        pass


@sizes
def test_a_file_that_the_packer_misses_is_not_the_storages_fault(place: Place, size: int) -> None:
    """FileNotFoundError out of the chunks stays what it is."""
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        place.store.upload("session-1", chunks(archive(size), then=open_missing), None)


def test_a_download_that_is_given_up_is_no_error(place: Place) -> None:
    """Reading a part and leaving is fine, and the session can be saved afterwards."""
    place.write(archive(LARGE))

    with place.store.download("session-1") as download:
        assert download is not None
        assert next(download.chunks)

    place.store.upload("session-1", chunks(archive(SMALL)), download.version)
    assert place.read() == archive(SMALL)
