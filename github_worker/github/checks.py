"""The checks of a commit on GitHub, which come as runs, statuses, suites and workflows."""

from __future__ import annotations

from collections.abc import Iterable

from github_worker.forge.checks import Check, CheckState
from github_worker.github.responses import Branch, CheckRun, CheckSuite, CommitStatus, Rule, WorkflowRun

_PASSED = {"success", "neutral", "skipped"}  # what GitHub takes for a pass of a required check
_ACTIONS = "github-actions"
_SILENCE = 3.0  # settling times after which an app that was told of a commit has nothing to say


def read_run(run: CheckRun) -> Check:
    """Read a check run."""
    if run.status != "completed":
        return Check(run.name, "pending")
    return Check(run.name, "passed" if run.conclusion in _PASSED else "failed")


def read_status(status: CommitStatus) -> Check:
    """Read a commit status."""
    states: dict[str, CheckState] = {"success": "passed", "pending": "pending"}
    return Check(status.context, states.get(status.state, "failed"))


def read_workflow(run: WorkflowRun) -> Check | None:
    """Read a workflow run: it brings checks until it is completed, or none if it could not even start."""
    if run.status != "completed":
        return Check(run.name or "a workflow", "pending")
    return Check(run.name or "a workflow", "failed") if run.conclusion == "startup_failure" else None


def read_suite(suite: CheckSuite, age: float) -> Check | None:
    """Read a check suite that is there for so many settling times: GitHub's word that checks will come.

    GitHub opens one for every app that may report checks, and those of apps that never do stay queued for
    ever; its own Actions always do.
    """
    name = (suite.app.name if suite.app else None) or "an app"
    is_silent = not suite.latest_check_runs_count and not (suite.app and suite.app.slug == _ACTIONS)
    if suite.status in {"completed", None} or (is_silent and age >= _SILENCE):
        return None
    return Check(name, "pending")


def collect_required(branch: Branch, rules: Iterable[Rule]) -> set[str]:
    """Return the checks that a branch's protection and its rules require."""
    protection = branch.protection.required_status_checks if branch.protection else None
    names = set((protection.contexts if protection else None) or ())
    for rule in rules:
        if rule.type == "required_status_checks" and rule.parameters:
            names |= {check.context for check in rule.parameters.required_status_checks or ()}
    return names
