"""The table: for people, for docs/performance.md, for machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bench.measure import Result, Samples, Skipped

_HEAD = ("what", "ours", "spread", "against", "theirs", "spread", "ratio", "target", "")
_DIGITS = {"s": 3, "ms": 1, "CPU s": 2, "MB": 0, "": 2}


def text(rows: Iterable[Result | Skipped]) -> str:
    """Write the rows for a terminal."""
    lines = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(rows: Iterable[Result | Skipped]) -> str:
    """Write the rows as a Markdown table."""
    lines = [_HEAD, ("---",) * len(_HEAD), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def json(rows: Sequence[Result | Skipped], machine: dict[str, str]) -> bytes:
    """Write the rows with every sample, and the machine they are of, as JSON."""
    described = [msgspec.to_builtins(row) | _conclusions(row) for row in rows]
    return msgspec.json.format(msgspec.json.encode({"machine": machine, "rows": described}), indent=1)


def _conclusions(row: Result | Skipped) -> dict[str, object]:
    if isinstance(row, Skipped):
        return {}
    return {"median": row.ours.median, "ratio": row.ratio, "met": row.met}


def _cells(row: Result | Skipped) -> tuple[str, ...]:
    if isinstance(row, Skipped):
        return (row.what, *[""] * (len(_HEAD) - 2), f"skipped: {row.why}")
    return (
        row.what,
        _value(row.ours.median, row),
        _spread(row.ours, row),
        row.against,
        _value(row.theirs.median, row) if row.theirs else "",
        _spread(row.theirs, row) if row.theirs else "",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        _target(row),
        " ".join(filter(None, (_verdict(row), row.failed, row.note))),
    )


def _value(value: float, row: Result) -> str:
    return f"{value:.{_DIGITS[row.unit]}f} {row.unit}".rstrip()


def _spread(samples: Samples, row: Result) -> str:
    if len(samples.values) == 1:
        return ""
    low, high = (f"{value:.{_DIGITS[row.unit]}f}" for value in samples.spread)
    return f"{low}–{high}"  # noqa: RUF001 (a range)


def _target(row: Result) -> str:
    if row.limit is None:
        return ""
    return f"≤ {row.limit:g}" + ("" if row.theirs else f" {row.unit}".rstrip())


def _verdict(row: Result) -> str:
    return {True: "met", False: "not met", None: ""}[row.met]
