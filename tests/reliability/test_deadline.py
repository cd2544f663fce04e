"""Whatever hangs, the job ends by its deadline, and the process after it."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.reliability.runner import REPOSITORY, GateRunner, Storage, ask, extracted, head
from tests.support.faults import Delay, Hang, Moment
from tests.support.git_server import GitServer
from tests.support.model import Fail, Model, Say
from tests.support.repositories import Repository as Origin
from tests.support.sessions import edit
from tests.support.worker import Worker

DEADLINE = 2.0
PUSH = "POST /octo/demo.git/git-receive-pack"


@pytest.mark.parametrize("moment", [Moment.RECEIVED, Moment.HANDLED])
@pytest.mark.parametrize(
    ("request_line", "stage"),
    [
        ("/download", "downloading_session"),
        ("service=git-receive-pack", "pushing"),
        (PUSH, "pushing"),
        ("/upload", "uploading"),
    ],
)
def test_a_job_that_hangs_ends_by_its_deadline(
    runner: GateRunner,
    storage: Storage,
    origin: Origin,
    branch: str,
    git_server: GitServer,
    moment: Moment,
    request_line: str,
    stage: str,
    scratch: Path,
    tmp_path: Path,
) -> None:
    """The error tells what was achieved, storage is whole, and the same request again completes."""
    before = storage.edit({"new.txt": "new\n"})
    timeouts = {"JOB_TIMEOUT": str(DEADLINE), "GIT_TIMEOUT": "60", "STORAGE_TIMEOUT": "60"}
    faults = storage.faults if request_line.startswith("/") else git_server.faults
    # The request for refs is made twice: the first time without the token, which is refused.
    faults.add(Hang(moment if "service" not in request_line else Moment.RECEIVED), request_line, times=9)
    if (request_line, moment) == ("/download", Moment.HANDLED):
        faults.clear()
        faults.add(Hang(Moment.ANSWER, 100), request_line, times=9)
    with Worker(runner.env | timeouts, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        began = time.monotonic()
        failed = ask(worker, "commit-and-push", requestId="r-1").failed
        assert time.monotonic() - began < DEADLINE + 3
    assert (failed["code"], failed["retryable"], failed["stage"]) == ("timeout", True, stage)
    commit = origin.branches()[branch]
    if stage == "uploading":
        assert failed["data"] == {"commitHash": commit, "branch": branch, "pushed": True}
    else:
        assert "data" not in failed
    assert not list(scratch.glob("github-worker-job-*"))
    stored = storage.archive()
    assert stored == before or (request_line, moment) == ("/upload", Moment.HANDLED)
    faults.clear()
    result = ask_again(runner, tmp_path)
    assert result["commitHash"] == head(extracted(storage.session(), tmp_path / "x"))
    assert result["commitHash"] == origin.branches()[branch]
    assert len(origin.log(branch)) == 2


def ask_again(runner: GateRunner, tmp_path: Path) -> dict[str, object]:
    """Ask a fresh process for the same, and return the outcome."""
    with Worker(runner.env, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        return ask(worker, "commit-and-push", requestId="r-1").completed


def test_an_upload_past_the_deadline_stores_no_half_of_a_session(
    runner: GateRunner, storage: Storage, branch: str, tmp_path: Path
) -> None:
    """Its scratch folder is removed under a running upload, which must not take that for an empty session."""
    noise = random.Random(1).randbytes(2**20)  # noqa: S311 (no secret)
    files = {f".cache/{number}.bin": noise for number in range(24)}
    before = edit(storage.session().data, files | {f"{REPOSITORY}/new.txt": "new\n"})
    storage.save(before)
    storage.faults.add(Delay(DEADLINE + 1, Moment.UPLOAD, 100), storage.upload)
    timeouts = {"JOB_TIMEOUT": str(DEADLINE), "STORAGE_TIMEOUT": "60"}
    with Worker(runner.env | timeouts, tmp_path / "worker.log") as worker:
        worker.wait_until_healthy()
        ended = ask(worker, "commit-and-push")
    assert ended.failed["code"] == "timeout"
    assert storage.archive() == before


@pytest.mark.parametrize(
    "answer",
    [Hang(), Fail(529), Fail(401), Say.refusal(), Say("nonsense"), Say.json(subject=""), Say("\0", delay=9)],
    ids=str,
)
@pytest.mark.usefixtures("impatient")
async def test_a_model_that_fails_costs_no_more_than_its_timeout(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, model: Model, answer: Say | Fail | Hang
) -> None:
    """A name and a message are made without it; the job never fails for it."""
    runner.env["ANTHROPIC_API_KEY"] = "sk-ant-0123456789"
    model.script(answer)
    storage.edit({"new.txt": "new\n"})
    began = time.monotonic()
    ended = await runner.commit()
    assert ended.completed["pushed"]
    assert "fallback" in ended.stages
    assert ended.completed["commitMessage"] == "Add new.txt"
    ended = await runner.ask("create-branch", userRequest="Fix the typo", baseBranch=branch)
    assert (ended.completed["pushed"], "fallback" in ended.stages) == (True, True)
    assert time.monotonic() - began < 8
