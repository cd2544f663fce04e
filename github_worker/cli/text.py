"""Text for a terminal: strangers' words without what a terminal obeys, sizes and times for people."""

from __future__ import annotations

from github_worker.redaction import escape_controls, scrub

_UNITS = ("B", "kB", "MB", "GB", "TB")


def clean(text: str) -> str:
    """Return a text as one line that moves no cursor, and holds no secret of this process."""
    return escape_controls("".join(" " if char.isspace() else char for char in scrub(text))).strip()


def clean_lines(text: str) -> list[str]:
    """Return a text line by line, each of them clean, those without a word left out."""
    return [line for line in map(clean, text.splitlines()) if line]


def size(count: float) -> str:
    """Write bytes for people: `4.2 MB`."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 or count >= 99.5 else f"{count:.1f} {_UNITS[unit]}"


def seconds(time: float) -> str:
    """Write a time for people: `0.42 s`, `1 min 5 s`."""
    if time < 9.995:
        return f"{time:.2f} s"
    if time < 59.95:
        return f"{time:.1f} s"
    return f"{round(time) // 60} min {round(time) % 60} s"
