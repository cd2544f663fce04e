"""A disk that is full, for which every worker here has a small one of its own."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.runner import REPOSITORY, Ended, GateRunner, Storage, ask, extracted, head
from tests.support.repositories import Repository as Origin
from tests.support.sessions import edit
from tests.support.worker import Worker

NOISE = random.Random(1).randbytes(2**20)  # noqa: S311 (no secret)
pytestmark = pytest.mark.skipif(
    subprocess.run(["unshare", "--map-root-user", "--mount", "true"], check=False).returncode != 0,
    reason="needs namespaces, to mount a small disk in",
)


def on_a_disk_of(kibibytes: int, runner: GateRunner, log: Path, operation: str, **fields: object) -> Ended:
    """Run a job whose scratch space is a disk of this size."""
    mount = f'mount -t tmpfs -o size={kibibytes}k tmpfs "$TMP_DIR" && exec "$0" -m github_worker serve'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, sys.executable]
    program = ("-c", f"import os; os.execvp('unshare', {command!r})")
    with Worker(runner.env, log, program=program) as worker:
        worker.wait_until_healthy()
        return ask(worker, operation, **fields)


@pytest.mark.parametrize("kibibytes", [300, 1200, 2300, 2800, 8000])
def test_a_commit_on_a_full_disk_leaves_the_session_as_it_was(
    runner: GateRunner, storage: Storage, origin: Origin, branch: str, kibibytes: int, tmp_path: Path
) -> None:
    """While unpacking, staging or catching up: the error says that there is no room, and nothing is lost."""
    origin.commit({"theirs.bin": NOISE[: 2**18]}, branch=branch)
    before = edit(storage.session().data, {f"{REPOSITORY}/new.bin": NOISE, ".cache/x": NOISE[: 2**19]})
    storage.save(before)
    ended = on_a_disk_of(kibibytes, runner, tmp_path / "worker.log", "commit-and-push", requestId="r-1")
    if kibibytes < 2500:
        assert (ended.failed["code"], "disk" in ended.failed["error"]) == ("session_too_large", True)
        assert storage.archive() == before
    elif kibibytes < 5000:
        assert ended.completed["pushError"]["code"] == "session_too_large"
        assert head(extracted(storage.session(), tmp_path / "x")) == ended.completed["commitHash"]
    else:
        assert ended.completed["commitHash"] == origin.branches()[branch]


@pytest.mark.parametrize("kibibytes", [100, 1100, 1900, 8000])
def test_a_clone_on_a_full_disk_makes_no_session(
    runner: GateRunner, storage: Storage, origin: Origin, kibibytes: int, tmp_path: Path
) -> None:
    """While receiving, or while writing the files."""
    origin.commit({"big.bin": NOISE})
    ended = on_a_disk_of(kibibytes, runner, tmp_path / "worker.log", "clone-repository", repoUrl=origin.url)
    if kibibytes < 5000:
        assert (ended.failed["code"], "disk" in ended.failed["error"]) == ("session_too_large", True)
        assert storage.archive() is None
    else:
        assert ended.completed["commit"] == head(extracted(storage.session(), tmp_path / "x"))
