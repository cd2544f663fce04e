"""Clients that leave, a worker that is told to stop, and the same request twice at once."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.reliability.runner import Ended, GateRunner, Storage, ask, extracted, head, stream
from tests.support.faults import Meanwhile, Moment
from tests.support.git_server import GitServer
from tests.support.model import Model, Say
from tests.support.repositories import Repository as Origin
from tests.support.worker import Worker

STAGES = ("downloading_session", "analyzing", "committing", "committed", "pushing", "pushed", "uploading")


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    """Return an environment in which a server may be silent for as long as another job takes."""
    return env | {"GIT_TIMEOUT": "20", "STORAGE_TIMEOUT": "20"}


@pytest.mark.parametrize("told_to_stop", [False, True], ids=["the client leaves", "SIGTERM"])
def test_a_job_is_finished_when_its_client_leaves_or_the_worker_is_told_to_stop(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, tmp_path: Path, told_to_stop: bool
) -> None:
    """At any stage: the commit is made, pushed and saved, the process ends with 0, asking again tells."""
    for number, stage in enumerate(STAGES, 1):
        storage.edit({f"{stage}.txt": "edited\n"})
        with Worker(runner.env, tmp_path / "worker.log") as worker:
            worker.wait_until_healthy()
            with stream(worker, "commit-and-push", requestId=stage) as events:
                next(event for event in events if event.get("stage") == stage)
                if told_to_stop:
                    worker.send(signal.SIGTERM)
                    assert list(events)[-1]["type"] == "completed"
            assert worker.wait(20) == 0
        assert len(origin.log(branch)) == 1 + number
        worktree = extracted(storage.session(), tmp_path / stage)
        assert head(worktree) == origin.branches()[branch]
        assert (worktree / f"{stage}.txt").exists()


@pytest.mark.parametrize("moment", [Moment.RECEIVED, Moment.HANDLED])
@pytest.mark.parametrize("request_line", ["POST /octo/demo.git/git-receive-pack", "/upload"])
@pytest.mark.parametrize("message", [None, "Words"])
async def test_the_same_request_at_two_workers_at_once_makes_one_commit(
    runner: GateRunner,
    storage: Storage,
    origin: Origin,
    branch: str,
    git_server: GitServer,
    request_line: str,
    moment: Moment,
    message: str | None,
    tmp_path: Path,
) -> None:
    """The second asks while the first still works, overtakes it, and both tell the same outcome."""
    storage.edit({"new.txt": "new\n"})
    seconds: list[Ended] = []
    request = {"requestId": "r-1", **({"message": message} if message else {})}

    def overtake() -> None:
        seconds.append(asyncio.run(GateRunner(runner.env).commit(**request)))

    faults = storage.faults if "upload" in request_line else git_server.faults
    faults.add(Meanwhile(overtake, moment), request_line)
    first = (await runner.commit(**request)).completed
    assert seconds[0].completed == first
    assert origin.branches()[branch] == first["commitHash"] == head(extracted(storage.session(), tmp_path))
    assert len(origin.log(branch)) == 2


async def test_the_same_branch_asked_of_two_workers_at_once_has_one_name(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, model: Model
) -> None:
    """The model has a name for each; both workers tell the one that the session has."""
    runner.env |= {"ANTHROPIC_API_KEY": "sk-ant-0123456789", "NAMING_TIMEOUT": "10"}
    model.script(*(Say.json(title=f"Do it {word}", slug=f"do-it-{word}") for word in ("once", "twice")))
    request = {"requestId": "r-1", "userRequest": "Do it", "baseBranch": branch}
    seconds: list[Ended] = []

    def overtake() -> None:
        seconds.append(asyncio.run(GateRunner(runner.env).ask("create-branch", **request)))

    git_server.faults.add(Meanwhile(overtake), "POST /octo/demo.git/git-receive-pack")
    first = (await runner.ask("create-branch", **request)).completed
    assert first == seconds[0].completed
    assert first["branchName"].startswith("webedt/do-it-twice")
    assert storage.session().metadata["branch"] == first["branchName"]
    assert origin.branches()[first["branchName"]] == first["commit"]


def test_a_request_that_comes_again_while_the_first_works_is_done_once(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, git_server: GitServer, tmp_path: Path
) -> None:
    """In two processes, the first of which lost its client."""
    storage.edit({"new.txt": "new\n"})
    with Worker(runner.env, tmp_path / "1.log") as first, Worker(runner.env, tmp_path / "2.log") as second:
        first.wait_until_healthy()
        second.wait_until_healthy()
        outcomes: list[Ended] = []
        git_server.faults.add(
            Meanwhile(lambda: outcomes.append(ask(second, "commit-and-push", requestId="r-1"))),
            "POST /octo/demo.git/git-receive-pack",
        )
        with stream(first, "commit-and-push", requestId="r-1") as events:
            next(events)
        assert first.wait(20) == 0
    assert outcomes[0].completed["commitHash"] == origin.branches()[branch]
    assert len(origin.log(branch)) == 2
