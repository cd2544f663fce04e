"""Workers as processes, killed and stopped in the middle: every order is done once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.coding.task import Permission
from examples.lab import Lab
from examples.queue.crew import PATIENCE, Queue, lab_env, queue, start_worker

# It can be held in the middle of its work, by a file of the name `hold`.
WRITES = """
echo $$ >>{folder}/runs; while [ -e {folder}/hold ]; do sleep 0.05; done
cat >/dev/null; echo 'x = 1' >hello/theme.py; echo Added a theme"""
ASKS = """
echo $$ >>{folder}/runs
if grep -q 'The answer is' ; then echo Done >done.txt; echo Done; else echo 'QUESTION: SQL?'; fi"""
Process = subprocess.Popen[bytes]


class Reports:
    """Stands before the backend, and can keep what is reported from it; `came` tells that something did."""

    def __init__(self) -> None:
        self.kept, self.came = False, asyncio.Event()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the backend behind it."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if self.kept and scope.get("path", "").startswith("/api/v1/executions/"):
                self.came.set()
                await Response(status_code=503)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return answer


class Setting:
    """A lab, a backend, and processes that work for it."""

    def __init__(self, lab: Lab, backend: Queue, reports: Reports, processes: list[Process]) -> None:
        self.lab, self.backend, self.reports, self._processes = lab, backend, reports, processes

    def start(self, name: str, script: str = WRITES) -> Process:
        """Start a worker of a name."""
        env = lab_env(self.lab, script.format(folder=self.lab.folder))
        log = self.lab.folder / f"{name}.log"
        self._processes.append(start_worker(self.backend, log, "examples.queue.worker", **env))
        return self._processes[-1]

    async def enqueue(self, permission: Permission = Permission.SUPERVISED) -> str:
        """Put an order for the lab's repository into its queue."""
        return await self.backend.enqueue(repository_url=self.lab.repo_url, permission_level=permission)

    def agents(self) -> list[int]:
        """Return the process ids of the agents that were run."""
        runs = self.lab.folder / "runs"
        return [int(line) for line in runs.read_text().splitlines()] if runs.exists() else []

    def hold(self) -> None:
        """Let agents wait in the middle of their work."""
        (self.lab.folder / "hold").touch()

    def let_go(self) -> None:
        """Let agents go on."""
        (self.lab.folder / "hold").unlink()

    def check(self, told: dict[str, Any]) -> None:
        """Find an order done, and done once: one commit, one pull request, one completed execution."""
        assert told["status"] == "completed", told
        branch, alone = told["result"]["branch"], told["permission_level"] == "autonomous"
        assert len(self.lab.repository.log(branch)) == 2
        assert self.lab.repository.branches()[branch] == told["result"]["commit"]
        assert [opened.head for opened in self.lab.pull_requests].count(branch) == (0 if alone else 1)
        assert _ended(told)["completed"] == 1


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Yield a list of processes that are killed after the test."""
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
async def setting(lab: Lab, tmp_path: Path, processes: list[Process]) -> AsyncIterator[Setting]:
    """Yield a lab and a backend without workers, and end the agents whose workers were killed."""
    reports = Reports()
    async with queue(tmp_path, around=reports.around) as backend:
        made = Setting(lab, backend, reports, processes)
        yield made
        for agent in made.agents():
            with suppress(ProcessLookupError):
                os.killpg(agent, signal.SIGKILL)


async def test_a_hundred_orders_by_ten_workers_of_which_three_are_killed(
    tmp_path: Path, processes: list[Process]
) -> None:
    """Each order is completed by one execution, and no execution is lost but by those who are killed."""
    async with queue(tmp_path, lease=5.0) as backend:

        def start(name: str, last: int) -> None:
            log, program = tmp_path / f"{name}.log", ("examples.queue.counting", str(tmp_path))
            processes.append(start_worker(backend, log, *program, LAST=str(last)))

        ids = [await backend.enqueue() for _ in range(100)]
        for number in range(3):
            start(f"dying-{number}", 3)
        await _until(lambda: len([*tmp_path.glob("stuck-*")]) == 3)
        for number in range(7):
            start(f"living-{number}", 0)
        await _until(lambda: len([*tmp_path.glob("done-*")]) > 30)
        for process in processes[:3]:
            process.kill()
        told = [await backend.until(id, "completed", "failed") for id in ids]
        for process in processes[3:]:
            process.terminate()
        assert [await asyncio.to_thread(process.wait) for process in processes] == [-9] * 3 + [0] * 7
        assert {worker["name"] for worker in await backend.workers()} == {f"dying-{n}" for n in range(3)}
    assert [(order["status"], _ended(order)["completed"]) for order in told] == [("completed", 1)] * 100
    ended = sum(map(_ended, told), Counter[str]())
    assert ended.keys() == {"completed", "lost"}
    # A machine that stands still for a lease loses a claim as well: that order is begun again too.
    assert ended["lost"] >= 3
    assert 100 <= len([*tmp_path.glob("done-*")]) <= 100 + ended["lost"] - 3


async def test_a_worker_that_is_killed_while_its_agent_works(setting: Setting) -> None:
    """Its order is done by another one, beside the orders of all."""
    setting.hold()
    ids = [await setting.enqueue() for _ in range(4)]
    dying = setting.start("dying")
    await _until(lambda: len(setting.agents()) == 1)
    living = [setting.start("living-1"), setting.start("living-2")]
    await _until(lambda: len(setting.agents()) == 3)
    dying.kill()
    setting.let_go()
    await setting.backend.take_away(ids[0])
    told = [await setting.backend.until(id, "completed", "failed") for id in ids]
    for order in told:
        setting.check(order)
    assert _ended(told[0]) == {"lost": 1, "completed": 1}
    assert (len(setting.agents()), len(setting.lab.pull_requests)) == (5, 4)
    assert [process.poll() for process in living] == [None, None]


@pytest.mark.parametrize("permission", [Permission.AUTONOMOUS, Permission.SUPERVISED])
async def test_a_worker_that_is_killed_between_push_and_report(
    setting: Setting, permission: Permission
) -> None:
    """The next one reports what is there: no second agent, commit or pull request."""
    setting.reports.kept = True
    id = await setting.enqueue(permission)
    dying = setting.start("dying")
    await asyncio.wait_for(setting.reports.came.wait(), PATIENCE)
    assert len(setting.lab.repository.branches()) == 2
    dying.kill()
    dying.wait()
    setting.reports.kept = False
    await setting.backend.take_away(id)
    setting.start("living")
    told = await setting.backend.until(id, "completed", "failed")
    setting.check(told)
    assert told["result"]["files_modified"] == ["hello/theme.py"]
    assert (len(setting.agents()), _ended(told)) == (1, {"lost": 1, "completed": 1})


async def test_a_worker_that_is_killed_while_it_waits_for_an_answer(setting: Setting) -> None:
    """The answer comes when nobody waits for it; the next one has it, and nothing is asked again."""
    id = await setting.enqueue()
    dying = setting.start("dying", ASKS)
    asked = await setting.backend.question()
    dying.kill()
    dying.wait()
    await setting.backend.answer(asked, "SQL")
    await setting.backend.take_away(id)
    setting.start("living", ASKS)
    told = await setting.backend.until(id, "completed", "failed")
    setting.check(told)
    assert (len(setting.agents()), await setting.backend.redis.llen("worker_requests")) == (2, 0)


async def test_a_worker_that_stood_still_does_nothing_twice(setting: Setting) -> None:
    """Another one has done its order meanwhile; woken, it finds that out, and does the next one."""
    setting.hold()
    id = await setting.enqueue()
    asleep = setting.start("asleep")
    await _until(lambda: len(setting.agents()) == 1)
    asleep.send_signal(signal.SIGSTOP)
    setting.let_go()
    await setting.backend.take_away(id)
    awake = setting.start("awake")
    told = await setting.backend.until(id, "completed", "failed")
    awake.terminate()
    await asyncio.to_thread(awake.wait)
    asleep.send_signal(signal.SIGCONT)
    setting.check(await setting.backend.until(await setting.enqueue(), "completed", "failed"))
    assert await setting.backend.order(id) == told
    setting.check(told)


async def test_sigterm_lets_a_worker_finish(setting: Setting) -> None:
    """It ends with status 0 once its order is done, has claimed nothing new, and is not listed any more."""
    setting.hold()
    ids = [await setting.enqueue() for _ in range(2)]
    worker = setting.start("ending")
    await _until(lambda: len(setting.agents()) == 1)
    worker.terminate()
    await _until(lambda: "orders to finish: 1" in (setting.lab.folder / "ending.log").read_text())
    setting.let_go()
    assert await asyncio.to_thread(worker.wait) == 0
    setting.check(await setting.backend.order(ids[0]))
    assert (await setting.backend.order(ids[1]))["status"] == "pending"
    assert await setting.backend.workers() == []


def _ended(order: dict[str, Any]) -> Counter[str]:
    return Counter(execution["status"] for execution in order["executions"])


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 (other processes)
            await asyncio.sleep(0.05)
