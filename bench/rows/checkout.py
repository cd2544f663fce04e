"""A session's files in a caller's hands: checked out, looked at and saved, against GNU tar and gzip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.lab import Lab, shell
from bench.measure import Result, Samples, Usage, compared
from bench.repositories import Shape


def checkout(lab: Lab) -> Iterator[Result]:
    """Yield the rows of a checkout, of one that changed nothing, and of a save."""
    for shape in (lab.mid, lab.large):
        store = lab.folder / f"{shape.name}.sessions"
        archive = store / "bench" / "session.tar.gz"
        archive.parent.mkdir(parents=True)
        shutil.copyfile(lab.archive(shape), archive)
        yield from _unpack(lab, shape, archive)
        yield from _save(lab, shape, archive)
        shutil.rmtree(store)


def _unpack(lab: Lab, shape: Shape, archive: Path) -> Iterator[Result]:
    def unpacked() -> Usage:
        folder = lab.folder / "checkout"
        try:
            return _measured("unpack", archive, folder)
        finally:
            shutil.rmtree(folder)

    pairs = lab.interleaved(
        lab.repeat, unpacked, lambda: shell(lab, "tar -C $work -xzf $archive", archive=archive)
    )
    yield from compared(f"check a session out, {shape.name}", "GNU tar xz", pairs, 1.1, None)


def _save(lab: Lab, shape: Shape, archive: Path) -> Iterator[Result]:
    folder = lab.folder / "checkout"
    _measured("unpack", archive, folder)
    looks = [_measured("look", archive, folder).wall for _ in range(lab.repeat)]
    yield Result(
        what=f"see that nothing changed, {shape.name}",
        unit="ms",
        ours=Samples(tuple(1000 * wall for wall in looks)),
    )
    pairs = lab.interleaved(
        lab.repeat,
        lambda: _measured("save", archive, folder),
        lambda: shell(lab, "tar -C $tree -c . | gzip -1 > $work/packed", tree=folder),
    )
    yield from compared(f"save a session, {shape.name}", "GNU tar c, gzip -1", pairs, 0.4, None)
    shutil.rmtree(folder)


def _measured(verb: str, archive: Path, folder: Path) -> Usage:
    command = [sys.executable, "-m", "bench.checkout", verb, str(archive.parent.parent), str(folder)]
    return msgspec.json.decode(subprocess.run(command, capture_output=True, check=True).stdout, type=Usage)
