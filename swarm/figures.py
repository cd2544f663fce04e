"""What was measured, kept until the end and printed as one table."""

from __future__ import annotations

from collections.abc import Sequence


class Figures:
    """Rows of a name and what was measured."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str]] = []

    def add(self, name: str, value: str) -> None:
        """Keep a row."""
        self._rows.append((name, value))

    def show(self) -> None:
        """Print all of it."""
        print("\n")
        for name, value in self._rows:
            print(f"{name:<42} {value}")


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def spread(values: Sequence[float]) -> str:
    """Return median and 95th percentile as text."""
    return f"p50 {percentile(values, 50):.2f} s, p95 {percentile(values, 95):.2f} s"
