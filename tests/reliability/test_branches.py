"""sync-branch and switch-branch that are killed, told to stop, or left by their client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.reliability.runner import GateRunner, Storage, ask, extracted, head, stream
from tests.support.repositories import Repository as Origin
from tests.support.worker import Worker

STAGES = ("downloading_session", "fetching_base", "syncing", "synced", "pushing", "pushed", "uploading")
REBASE = {"method": "rebase", "forceWithLease": True}
Start = Callable[[], Worker]
pytestmark = pytest.mark.usefixtures("branch")


@pytest.fixture
def start(runner: GateRunner, tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts a worker, as Swarm does when one has ended."""
    workers: list[Worker] = []

    def start_one() -> Worker:
        workers.append(Worker(runner.env, tmp_path / "worker.log"))
        workers[-1].wait_until_healthy()
        return workers[-1]

    yield start_one
    for worker in workers:
        worker.kill()


def diverge(start: Start, storage: Storage, origin: Origin) -> bytes | None:
    """Push a commit of the session's branch, let main move on, and return the session."""
    storage.edit({"ours.txt": "ours\n"})
    ask(start(), "commit-and-push")
    origin.commit({"theirs.txt": "theirs\n"}, "Theirs")
    return storage.archive()


def end_at(
    worker: Worker, operation: str, stage: str, end: Callable[[Worker], object], **fields: Any
) -> dict[str, Any]:
    """Ask for a job, do something to the worker when a stage begins, and return the last event there was."""
    event: dict[str, Any] = {}
    with suppress(httpx.TransportError), stream(worker, operation, **fields) as events:
        for event in events:
            if event.get("stage") == stage:
                end(worker)
    return event


@pytest.mark.parametrize("stage", STAGES)
def test_a_rebase_that_is_killed_is_pushed_once(
    start: Start, storage: Storage, origin: Origin, branch: str, tmp_path: Path, stage: str
) -> None:
    """Asked again, the branch is found on the remote as it would be made, or it is made now."""
    before = diverge(start, storage, origin)
    end_at(start(), "sync-branch", stage, Worker.kill, requestId="r-1", **REBASE)
    pushed = origin.branches()[branch]
    assert storage.archive() == before or stage in {"pushed", "uploading"}  # it may be saved by then
    result = ask(start(), "sync-branch", requestId="r-1", **REBASE).completed
    assert (result["outcome"], result["forcePushed"]) == ("rebase", True)
    assert origin.branches()[branch] == result["commit"]
    assert head(extracted(storage.session(), tmp_path / "session")) == result["commit"]
    assert stage not in {"pushed", "uploading"} or pushed == result["commit"]
    assert [commit.subject for commit in origin.log(branch)][1] == "Theirs"


@pytest.mark.parametrize("stage", ["fetching_base", "synced", "uploading"])
def test_a_merge_is_finished_when_the_worker_is_told_to_stop(
    start: Start, storage: Storage, origin: Origin, tmp_path: Path, stage: str
) -> None:
    """The stream ends with the outcome, and the session has the merge."""
    diverge(start, storage, origin)
    done = end_at(start(), "sync-branch", stage, Worker.terminate)
    assert (done["type"], done["outcome"]) == ("completed", "merge")
    assert head(extracted(storage.session(), tmp_path / "session")) == done["commit"]


@pytest.mark.parametrize("stage", ["switching_branch", "branch_switched", "uploading"])
def test_a_switch_that_is_killed_leaves_the_session_whole(
    start: Start, storage: Storage, tmp_path: Path, stage: str
) -> None:
    """It is on the one branch or on the other, and asked again on the other."""
    storage.edit({"new.txt": "new\n"})
    end_at(start(), "switch-branch", stage, Worker.kill, branch="main", requestId="r-1")
    extracted(storage.session(), tmp_path / "between")
    result = ask(start(), "switch-branch", branch="main", requestId="r-1").completed
    worktree = extracted(storage.session(), tmp_path / "after")
    assert (result["branch"], result["switched"]) == ("main", True)
    assert (worktree / ".git/HEAD").read_text() == "ref: refs/heads/main\n"
    assert (worktree / "new.txt").read_text() == "new\n"
