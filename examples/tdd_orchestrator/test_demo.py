"""What the demo shows, by a script and by the real Claude Code: three tasks and one pull request."""

from __future__ import annotations

import os

import pytest

from examples.lab import Lab
from examples.tdd_orchestrator.demo import WRITES, claude, script, show

TASKS = ["Greet by night", "Greet a crowd", "Say goodbye"]


def check(lab: Lab) -> None:
    """See that the pull request has what was written, and tells of it."""
    (opened,) = lab.pull_requests
    assert [line.rpartition(" (")[0] for line in opened.body.splitlines()[-3:]] == [
        f"- [x] {t}" for t in TASKS
    ]
    written = {path: text for _, path, text in WRITES if path}
    files = {path: lab.repository.read(opened.head, path).decode() for path in written}
    assert files == written
    subjects = {commit.subject for commit in lab.repository.log(opened.head)}
    assert {head for head, path, _ in WRITES if path} < subjects


async def test_two_workers_do_the_document(lab: Lab) -> None:
    """A script does the work."""
    await show(lab, [script()] * 2)
    check(lab)


@pytest.mark.skipif("CLAUDE_PROGRAM" not in os.environ, reason="scripts/test-examples brings Claude Code")
async def test_claude_code_does_the_document(lab: Lab) -> None:
    """The real program does, with a model that says what to write."""
    await show(lab, [claude(lab, os.environ["CLAUDE_PROGRAM"])])
    check(lab)
