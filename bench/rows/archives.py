"""Packing and unpacking alone, against GNU tar and gzip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from bench.lab import Lab, shell
from bench.measure import Result, Usage, compared
from bench.repositories import Shape


def archives(lab: Lab) -> Iterator[Result]:
    """Yield the rows of unpack and pack."""
    for shape in (lab.mid, lab.large):
        yield from _unpack(lab, shape)
        yield from _pack(lab, shape)


def _unpack(lab: Lab, shape: Shape) -> Iterator[Result]:
    kept = _kept(lab, shape)
    pairs = lab.interleaved(
        lab.repeat,
        partial(_unpacked, lab, kept),
        lambda: shell(lab, "tar -C $work -xzf $archive", archive=kept),
    )
    yield from compared(f"unpack an archive, {shape.name}", "GNU tar xz", pairs, 1.1, None)


def _unpacked(lab: Lab, archive: Path) -> Usage:
    folder = lab.folder / "unpacked"
    folder.mkdir()
    try:
        return _measured("unpack", archive, folder)
    finally:
        shutil.rmtree(folder)


def _pack(lab: Lab, shape: Shape) -> Iterator[Result]:
    folder = lab.folder / "unpacked"
    folder.mkdir()
    _measured("unpack", _kept(lab, shape), folder)
    pairs = lab.interleaved(
        lab.repeat,
        lambda: _measured("pack", lab.folder / "peer" / "packed", folder),
        lambda: shell(lab, "tar -C $tree -c . | gzip -1 > $work/packed", tree=folder / "tree"),
    )
    yield from compared(f"pack an archive, {shape.name}", "GNU tar c, gzip -1", pairs, 0.4, None)
    shutil.rmtree(folder)


def _kept(lab: Lab, shape: Shape) -> Path:
    """Return a session's archive under a name that outlives the storage's."""
    kept = lab.folder / f"{shape.name}.kept"
    if not kept.exists():
        kept.hardlink_to(lab.archive(shape))
    return kept


def _measured(verb: str, archive: Path, folder: Path) -> Usage:
    command = [sys.executable, "-m", "bench.archives", verb, str(archive), str(folder)]
    return msgspec.json.decode(subprocess.run(command, capture_output=True, check=True).stdout, type=Usage)
