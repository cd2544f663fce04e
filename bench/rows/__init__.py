"""The table's rows, by the names that `--rows` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bench.lab import Lab
from bench.measure import Result, Skipped
from bench.rows.archives import archives
from bench.rows.cage import cage
from bench.rows.checkout import checkout
from bench.rows.crowd import crowd
from bench.rows.health import health
from bench.rows.jobs import branch, clone, commit
from bench.rows.life import life
from bench.rows.many import many
from bench.rows.model import model
from bench.rows.telemetry import telemetry

ROWS: Mapping[str, Callable[[Lab], Iterator[Result | Skipped]]] = {
    "life": life,
    "clone": clone,
    "commit": commit,
    "branch": branch,
    "archives": archives,
    "checkout": checkout,
    "cage": cage,
    "health": health,
    "model": model,
    "telemetry": telemetry,
    "crowd": crowd,
    "many": many,
}
