"""The checks of a commit: those that are still awaited, and those that have failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from github_worker.github.responses import Branch, CheckRun, CommitStatus, Rule

CheckState = Literal["pending", "passed", "failed"]
_PASSED = {"success", "neutral", "skipped"}  # what GitHub takes for a pass of a required check


class Check(Struct, frozen=True):
    """A check run or a commit status."""

    name: str
    state: CheckState


class CheckSummary(Struct, frozen=True):
    """The names of the checks that count and have not passed."""

    pending: list[str]
    failed: list[str]


def read_run(run: CheckRun) -> Check:
    """Read a check run."""
    if run.status != "completed":
        return Check(run.name, "pending")
    return Check(run.name, "passed" if run.conclusion in _PASSED else "failed")


def read_status(status: CommitStatus) -> Check:
    """Read a commit status."""
    states: dict[str, CheckState] = {"success": "passed", "pending": "pending"}
    return Check(status.context, states.get(status.state, "failed"))


def collect_required(branch: Branch, rules: Iterable[Rule]) -> set[str]:
    """Return the checks that a branch's protection and its rules require."""
    protection = branch.protection.required_status_checks if branch.protection else None
    names = set((protection.contexts if protection else None) or ())
    for rule in rules:
        if rule.type == "required_status_checks" and rule.parameters:
            names |= {check.context for check in rule.parameters.required_status_checks or ()}
    return names


def summarize(checks: Iterable[Check], required: set[str]) -> CheckSummary:
    """Sum up the required checks, pending until they are there, or all checks where none is required."""
    present = list(checks)
    relevant = [check for check in present if not required or check.name in required]
    absent = required - {check.name for check in present}
    return CheckSummary(
        pending=sorted({check.name for check in relevant if check.state == "pending"} | absent),
        failed=sorted({check.name for check in relevant if check.state == "failed"}),
    )
