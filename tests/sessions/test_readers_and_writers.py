"""Sessions that other programs archived, and that other programs read from our archives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.sessions.archives import packed, unpacked
from tests.sessions.readers_and_writers import (
    READERS,
    UTF8,
    WRITERS,
    Writer,
    read_by_node_tar,
    run,
    write_by_bsdtar,
    write_by_gnu_tar,
)
from tests.sessions.trees import entries, grow, seen

Seen = dict[bytes, tuple[str, object]]


class Journey(NamedTuple):
    """What was archived, what of it was on our disk, and what we made of it."""

    before: Seen
    on_disk: Seen
    after: Path


def travel(writer: Writer, folder: Path) -> Journey:
    """Send all names that a writer can write through unpack and pack."""
    source, before, after = folder / "source", folder / "before.tgz", folder / "after.tgz"
    source.mkdir()
    grow(source, filter(writer.room.record_clone, entries()))
    writer.write(source, before)
    session = unpacked(folder / "session", before.read_bytes())
    after.write_bytes(packed(session))
    _ = list(session.inventory.spool.fetch_all())
    return Journey(seen(source), seen(session.folders.tree), after)


@pytest.fixture(scope="module", params=WRITERS)
def journey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """Return one writer's journey."""
    return travel(WRITERS[request.param], tmp_path_factory.mktemp("journey"))


def test_every_name_is_read(journey: Journey) -> None:
    """Whoever wrote the archive, our disk has the files, folders and links that theirs had."""
    assert journey.on_disk == journey.before


@pytest.mark.parametrize("reader", READERS)
def test_every_name_comes_back(journey: Journey, reader: str, tmp_path: Path) -> None:
    """Whoever wrote the archive, and whoever reads ours of it: all is as it was, and no one complains."""
    READERS[reader](journey.after, tmp_path)
    assert seen(tmp_path) == journey.before


def test_every_name_comes_back_to_node_tar(tmp_path: Path) -> None:
    """Node-tar reads every name that node.js has from our archive, without a complaint."""
    out = tmp_path / "out"
    out.mkdir()
    gnu_tar = Writer(UTF8, lambda source, archive: write_by_gnu_tar("gnu", source, archive))
    journey = travel(gnu_tar, tmp_path)
    read_by_node_tar(journey.after, out)
    assert seen(out) == journey.before


def test_attributes_that_bsdtar_wrote_come_back(tmp_path: Path) -> None:
    """An extended attribute of any bytes is the same, and GNU tar has nothing to say of how it is written."""
    source, before, after, out = (tmp_path / name for name in ("source", "before.tgz", "after.tgz", "out"))
    source.mkdir()
    (source / "file").touch()
    try:
        os.setxattr(source / "file", "user.name", b"\xff=\n")
    except OSError:
        pytest.skip("needs a temporary folder with extended attributes")
    write_by_bsdtar("pax", "C", source, before)
    after.write_bytes(packed(unpacked(tmp_path / "session", before.read_bytes())))
    out.mkdir()
    run("tar", "--xattrs", "-xzf", after, "-C", out)
    assert os.getxattr(out / "file", "user.name") == b"\xff=\n"
