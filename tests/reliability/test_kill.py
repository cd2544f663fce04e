"""SIGKILL at many moments, and the same request again until it completes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.reliability.runner import SESSION, GateRunner, Storage, ask, extracted, head, stream
from tests.support.faults import Meanwhile, Moment
from tests.support.git_server import GitServer
from tests.support.model import Model, Say
from tests.support.repositories import Repository as Origin
from tests.support.sessions import Session
from tests.support.worker import Worker

SEED = 20260131
KILLS, KILLS_OF_ONE_REQUEST = 25, 5
STAGES = (
    "downloading_session",
    "analyzing",
    "generating_message",
    "committing",
    "committed",
    "pushing",
    "pushed",
    "uploading",
)
PUSH = "POST /octo/demo.git/git-receive-pack"
Start = Callable[[], Worker]


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


@pytest.fixture
def check(
    storage: Storage, origin: Origin, branch: str, scratch: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, Any], str, int], None]:
    """Return a function that checks what a request that completed has left behind."""

    def check_all(result: dict[str, Any], file: str, number: int) -> None:
        commit = result["commitHash"]
        assert (result["pushed"], result["filesChanged"]) == (True, 1)
        assert len(origin.log(branch)) == 1 + number
        assert origin.branches()[branch] == commit
        assert origin.read(branch, file) == b"edited\n"
        worktree = extracted(storage.session(), tmp_path_factory.mktemp("session"))
        assert head(worktree) == commit
        assert (worktree / file).read_text() == "edited\n"
        assert not list(scratch.glob("github-worker-job-*"))

    return check_all


def begins(stage: str) -> Callable[[dict[str, object]], bool]:
    """Return what tells whether an event begins this stage."""
    return lambda event: event.get("stage") == stage


def commit_until(worker: Worker, kill_at: Callable[[dict[str, object]], bool], request_id: str) -> None:
    """Ask for a commit and kill the worker at an event, or when its stream ends."""
    with suppress(httpx.TransportError), stream(worker, "commit-and-push", requestId=request_id) as events:
        for event in events:
            if kill_at(event):
                break
        worker.kill()
    worker.kill()


def is_whole(storage: Storage, before: bytes, request_id: str) -> bool:
    """Tell whether the stored session is the one before, or one that has the request's outcome."""
    archive = storage.archive()
    assert archive is not None
    kept = Session(archive).metadata["githubWorker"]["outcomes"]
    return archive == before or request_id in [outcome["requestId"] for outcome in kept]


def test_killed_at_any_moment_a_commit_is_made_once(
    start: Start, storage: Storage, check: Callable[[dict[str, Any], str, int], None]
) -> None:
    """The kills are spread over the time that a job takes, a few for each request before it may complete."""
    chance = random.Random(SEED)  # noqa: S311 (no secret)
    storage.edit({"file-0.txt": "edited\n"})
    worker = start()
    began = time.monotonic()
    check(ask(worker, "commit-and-push", requestId="r-0").completed, "file-0.txt", 1)
    duration = time.monotonic() - began
    moments = [duration * (number + chance.random()) / KILLS for number in range(KILLS)]
    chance.shuffle(moments)
    for number in range(1, 1 + KILLS // KILLS_OF_ONE_REQUEST):
        request_id, file = f"r-{number}", f"file-{number}.txt"
        before = storage.edit({file: "edited\n"})
        for _ in range(KILLS_OF_ONE_REQUEST):
            kill_after(start(), moments.pop(), request_id)
            assert is_whole(storage, before, request_id)
        result = ask(start(), "commit-and-push", requestId=request_id).completed
        check(result, file, 1 + number)


def kill_after(worker: Worker, seconds: float, request_id: str) -> None:
    """Ask for a commit and kill the worker so many seconds later."""
    alarm = time.monotonic() + seconds
    with suppress(httpx.TransportError), stream(worker, "commit-and-push", requestId=request_id):
        time.sleep(max(0.0, alarm - time.monotonic()))
        worker.kill()
    worker.kill()


def test_killed_at_any_stage_a_commit_is_made_once(
    start: Start, storage: Storage, check: Callable[[dict[str, Any], str, int], None]
) -> None:
    """Each request is killed when it says that a stage begins."""
    for number, stage in enumerate(STAGES, 1):
        before = storage.edit({f"{stage}.txt": "edited\n"})
        commit_until(start(), begins(stage), stage)
        assert is_whole(storage, before, stage)
        result = ask(start(), "commit-and-push", requestId=stage).completed
        check(result, f"{stage}.txt", number)


@pytest.mark.parametrize("moment", [Moment.REQUEST, Moment.RECEIVED, Moment.HANDLED])
@pytest.mark.parametrize("request_line", ["service=git-receive-pack", PUSH, "/upload"])
def test_killed_while_others_work_for_it_a_commit_is_made_once(
    start: Start,
    storage: Storage,
    git_server: GitServer,
    check: Callable[[dict[str, Any], str, int], None],
    request_line: str,
    moment: Moment,
) -> None:
    """The remote and the storage do what they were asked, though nobody is there to hear of it."""
    before = storage.edit({"new.txt": "edited\n"})
    worker = start()
    faults = storage.faults if "upload" in request_line else git_server.faults
    faults.add(Meanwhile(worker.kill, moment), request_line, times=2)
    commit_until(worker, lambda _: False, "r-1")
    faults.clear()
    assert is_whole(storage, before, "r-1")
    check(ask(start(), "commit-and-push", requestId="r-1").completed, "new.txt", 1)


@pytest.mark.parametrize("moment", [Moment.RECEIVED, Moment.HANDLED])
@pytest.mark.parametrize("request_line", [PUSH, "/upload"])
@pytest.mark.parametrize("operation", ["init-session", "create-branch"])
async def test_killed_while_others_work_for_it_a_branch_is_made_once(
    runner: GateRunner,
    start: Start,
    storage: Storage,
    origin: Origin,
    git_server: GitServer,
    model: Model,
    operation: str,
    request_line: str,
    moment: Moment,
    tmp_path: Path,
) -> None:
    """Also where the model has another name for it the second time."""
    runner.env |= {"ANTHROPIC_API_KEY": "sk-ant-0123456789", "NAMING_TIMEOUT": "10"}
    model.script(*(Say.json(title=f"Do it {word}", slug=f"do-it-{word}") for word in ("once", "twice")))
    request = {"requestId": "r-1", "userRequest": "Do it", "repoUrl": origin.url}
    if operation == "create-branch":
        assert (await runner.ask("clone-repository", repoUrl=origin.url)).completed
        request["baseBranch"] = "main"
    worker = start()
    faults = storage.faults if "upload" in request_line else git_server.faults
    faults.add(Meanwhile(worker.kill, moment), request_line)
    with suppress(httpx.TransportError), stream(worker, operation, **request) as events:
        list(events)
    result = ask(start(), operation, **request).completed
    assert set(origin.branches()) == {"main", result["branchName"]}
    assert storage.session().metadata["branch"] == result["branchName"]
    assert head(extracted(storage.session(), tmp_path / "x")) == result["commit"]


def test_a_killed_process_leaves_no_scratch_folder_to_the_next(
    start: Start, storage: Storage, branch: str, scratch: Path
) -> None:
    """What it had unpacked is gone once the next worker has started, before any job."""
    storage.edit({"new.txt": "new\n"})
    commit_until(start(), lambda event: event.get("stage") == "committed", "r-1")
    (left,) = scratch.glob("github-worker-job-*")
    worker = start()
    (own,) = scratch.glob("github-worker-job-*")
    assert own != left
    deadline = time.monotonic() + 10
    while os.listdir(own) != [".lock"] and time.monotonic() < deadline:
        worker.wait_until_healthy()
    assert os.listdir(own) == [".lock"]
    worker.terminate()
    assert worker.wait() == 0
    assert list(scratch.iterdir()) == []
    assert SESSION in storage.session().metadata["sessionId"]
