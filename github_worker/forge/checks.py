"""The checks of a commit: those that are still awaited, and those that have failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

CheckState = Literal["pending", "passed", "failed"]
SETTLING = 10.0  # seconds after which a head without checks is taken to have none


class Check(Struct, frozen=True):
    """A check run or a commit status."""

    name: str
    state: CheckState


class CheckSummary(Struct, frozen=True):
    """The names of the checks that count and have not passed."""

    pending: list[str]
    failed: list[str]


def summarize(checks: Iterable[Check], required: set[str]) -> CheckSummary:
    """Sum up the required checks, pending until they are there, or all checks where none is required."""
    present = list(checks)
    relevant = [check for check in present if not required or check.name in required]
    absent = required - {check.name for check in present}
    return CheckSummary(
        pending=sorted({check.name for check in relevant if check.state == "pending"} | absent),
        failed=sorted({check.name for check in relevant if check.state == "failed"}),
    )
