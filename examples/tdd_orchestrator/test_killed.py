"""Orchestrators as processes: killed anywhere, started again, told to end, and two at a time."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.lab import Lab
from examples.tdd_orchestrator.conftest import SUITE
from examples.tdd_orchestrator.registry import Registry
from examples.tdd_orchestrator.store import Row, Store

DOCUMENT = "# Greet\n\n## ada\n\n## bob\n"
# it counts its runs, and waits where a test has put a file
AGENT = """
read -r head
stage=${head%%: *} name=${head#*: }
echo $$ >LAB/pid
echo "$head" >>LAB/runs
while test -e "LAB/wait-$stage-$name"; do sleep 0.05; done
case $stage in
RED) echo "test -s hello/$name" >tests/$name.sh ;;
GREEN) echo "$name" >hello/$name ;;
REFACTOR) echo "clean $name" >hello/$name ;;
esac
"""
CONFIG = """
[project]
name = "hello"
test_root = "tests"

[tdd]
test_command = '{suite}'
worker = "command"
command = ["sh", "-c", '''{agent}''']
max_workers = 1
"""


@pytest.fixture
def folder(lab: Lab) -> Path:
    """Return a project's folder with settings and a document."""
    folder = lab.folder / "project"
    (folder / ".tdd").mkdir(parents=True)
    config = CONFIG.format(suite=SUITE, agent=AGENT.replace("LAB", str(lab.folder)))
    (folder / ".tdd" / "config.toml").write_text(config)
    (folder / "feature.md").write_text(DOCUMENT)
    return folder


@asynccontextmanager
async def command(lab: Lab, folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield the command line with arguments, killed at the end."""
    env = {
        **{"PATH": os.environ["PATH"], "HOME": str(lab.folder), "GITHUB_TOKEN": lab.token},
        **{"GITHUB_WORKER_URL": lab.worker_url, "GITHUB_WORKER_TOKEN": lab.worker_token},
        **{"STORAGE_URL": lab.store_url, "PYTHONPATH": str(Path.cwd())},
    }
    line = [sys.executable, "-m", "examples.tdd_orchestrator", *arguments]
    process = await asyncio.create_subprocess_exec(
        *line, cwd=folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def run_prd(lab: Lab) -> tuple[str, ...]:
    """Return the arguments that run the document."""
    return ("run-prd", "feature.md", "--repo", lab.repo_url, "--pr")


async def until(store: Store, is_so: Callable[[list[Row]], bool]) -> None:
    """Wait until the tasks are so."""
    async with asyncio.timeout(120):
        while not is_so(await store.tasks()):  # noqa: ASYNC110 (another process changes them)
            await asyncio.sleep(0.01)


async def check(lab: Lab, folder: Path) -> list[str]:
    """See that everything was done once, and return what the agents were asked."""
    (opened,) = lab.pull_requests
    log = [commit.subject for commit in reversed(lab.repository.log(opened.head))][1:]
    assert log == [f"{stage}: {name}" for name in ("ada", "bob") for stage in ("RED", "GREEN", "REFACTOR")]
    assert lab.repository.read(opened.head, "hello/ada") == b"clean ada\n"
    return (lab.folder / "runs").read_text().splitlines()


async def test_a_document_is_done_from_the_command_line(lab: Lab, folder: Path) -> None:
    """The last line is the pull request's URL; done again, it says so and does nothing."""
    for _ in range(2):
        async with command(lab, folder, *run_prd(lab)) as process:
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            assert output.decode().splitlines()[-1] == "https://github.com/octocat/hello-world/pull/1"
    assert len(await check(lab, folder)) == 6


@pytest.mark.parametrize("stage", ["RED", "GREEN", "REFACTOR"])
async def test_killed_while_an_agent_works_it_goes_on_there(lab: Lab, folder: Path, stage: str) -> None:
    """Its agent ends with it; started again, that stage alone is done again."""
    waiting = lab.folder / f"wait-{stage}-ada"
    waiting.touch()
    async with Store.open(folder / ".tdd" / "tdd.db") as store:
        async with command(lab, folder, *run_prd(lab)):
            await until(store, lambda tasks: bool(tasks) and tasks[0]["stage"] == stage.lower())
            while f"{stage}: ada" not in _read(lab.folder / "runs"):  # noqa: ASYNC110 (a file)
                await asyncio.sleep(0.01)
            pid = int((lab.folder / "pid").read_text())
        stat = Path(f"/proc/{pid}/stat")
        while stat.exists() and stat.read_text().rpartition(") ")[2][0] != "Z":  # noqa: ASYNC110 (a process)
            await asyncio.sleep(0.01)
        waiting.unlink()
        async with command(lab, folder, *run_prd(lab)) as process:
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
    asked = await check(lab, folder)
    assert sorted(asked.count(line) for line in set(asked)) == [1, 1, 1, 1, 1, 2]
    assert asked.count(f"{stage}: ada") == 2


@pytest.mark.parametrize("commits", [1, 2, 3])
async def test_killed_while_it_commits_it_goes_on_there(lab: Lab, folder: Path, commits: int) -> None:
    """After any commit, also between RED and GREEN of a task: each is made once, and no agent works again."""
    async with command(lab, folder, *run_prd(lab)):
        async with asyncio.timeout(120):
            while not _has_commits(lab, commits):  # noqa: ASYNC110 (another process pushes them)
                await asyncio.sleep(0.002)
    async with command(lab, folder, *run_prd(lab)) as process:
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
    asked = await check(lab, folder)
    assert all(asked.count(line) == 1 for line in asked if not line.startswith("REFACTOR: ada"))


async def test_a_second_document_is_refused_and_the_same_one_waits(lab: Lab, folder: Path) -> None:
    """Of two processes one works; another document is refused in words as long as that is not over."""
    waiting = lab.folder / "wait-GREEN-ada"
    waiting.touch()
    (folder / "other.md").write_text("# Other\n\n## eve\n")
    async with (
        Store.open(folder / ".tdd" / "tdd.db") as store,
        command(lab, folder, *run_prd(lab)) as first,
    ):
        await until(store, lambda tasks: bool(tasks) and tasks[0]["stage"] == "green")
        async with command(lab, folder, "run-prd", "other.md", "--repo", lab.repo_url) as other:
            output, _ = await other.communicate()
            assert (other.returncode, output.decode().strip()) == (
                1,
                "the project is at work on another document, “Greet”",
            )
        async with command(lab, folder, *run_prd(lab)) as second:
            assert second.stdout
            await second.stdout.readline()
            waiting.unlink()
            outputs = [await process.communicate() for process in (first, second)]
            assert (first.returncode, second.returncode) == (0, 0)
    assert all(b"/pull/1\n" in output for output, _ in outputs)
    assert len(await check(lab, folder)) == 6


async def test_a_server_that_is_told_to_end_leaves_the_run_for_the_next_one(lab: Lab, folder: Path) -> None:
    """On SIGTERM it ends its agent, says in the registry that it has stopped, and ends with status 0."""
    waiting = lab.folder / "wait-GREEN-ada"
    waiting.touch()
    serve = ("serve", "--port", "0")
    async with Store.open(folder / ".tdd" / "tdd.db") as store:
        async with command(lab, folder, *serve) as server, command(lab, folder, *run_prd(lab)) as watcher:
            await until(store, lambda tasks: bool(tasks) and tasks[0]["stage"] == "green")
            watcher.kill()
            server.send_signal(signal.SIGTERM)
            output, _ = await server.communicate()
            assert server.returncode == 0, output.decode()
        (registered,) = await Registry(lab.folder / ".tdd" / "registry.db").projects()
        assert registered.status == "stopped"
        waiting.unlink()
        async with command(lab, folder, *serve):
            await until(store, lambda tasks: all(task["status"] == "complete" for task in tasks))
            async with asyncio.timeout(60):
                while (await store.runs())[0]["status"] == "running":  # noqa: ASYNC110 (as above)
                    await asyncio.sleep(0.01)
    await check(lab, folder)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _has_commits(lab: Lab, count: int) -> bool:
    branches = [branch for branch in lab.repository.branches() if branch != "main"]
    return any(len(lab.repository.log(branch)) > count for branch in branches)
