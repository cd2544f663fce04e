"""Which checks of a commit are still awaited, and which have failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from github_worker.github.responses import Branch, CheckRun, CommitStatus, Rule

State = Literal["pending", "passed", "failed"]
_PASSED = {"success", "neutral", "skipped"}  # what GitHub takes for a pass of a required check


class Check(Struct, frozen=True):
    """A check run or a commit status."""

    name: str
    state: State


class Outlook(Struct, frozen=True):
    """The names of the checks that count and have not passed."""

    pending: list[str]
    failed: list[str]


def of_run(run: CheckRun) -> Check:
    """Read a check run."""
    if run.status != "completed":
        return Check(run.name, "pending")
    return Check(run.name, "passed" if run.conclusion in _PASSED else "failed")


def of_status(status: CommitStatus) -> Check:
    """Read a commit status."""
    states: dict[str, State] = {"success": "passed", "pending": "pending"}
    return Check(status.context, states.get(status.state, "failed"))


def required(branch: Branch, rules: Iterable[Rule]) -> set[str]:
    """Return the checks that a branch's protection and its rules require."""
    protection = branch.protection.required_status_checks
    names = set(protection.contexts if protection else ())
    for rule in rules:
        if rule.type == "required_status_checks" and rule.parameters:
            names |= {check.context for check in rule.parameters.required_status_checks}
    return names


def outlook(checks: Iterable[Check], required: set[str]) -> Outlook:
    """Judge the required checks, which are pending until they are there; without any, all that are."""
    found = list(checks)
    counted = [check for check in found if not required or check.name in required]
    absent = required - {check.name for check in found}
    return Outlook(
        pending=sorted({check.name for check in counted if check.state == "pending"} | absent),
        failed=sorted({check.name for check in counted if check.state == "failed"}),
    )
