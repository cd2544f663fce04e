"""A run from its tasks to the pull request, and after all that can go wrong with a task or in between."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from examples.coding.agent import Agent
from examples.tdd_orchestrator.conftest import Bench, Scripted, good, write
from github_worker_client import GitHubWorker
from tests.support.credentials import planted


def three() -> Scripted:
    """Return a worker that does three tasks well."""
    return Scripted({name: good(name) for name in ("ada", "bob", "eve")})


async def test_tasks_side_by_side_end_in_one_pull_request(project: Bench) -> None:
    """Each stage is a commit that names it, GREEN right after its RED, and one pull request tells of all."""
    worker = three()
    run_id = await project.begin("ada", "bob", "eve")
    await project.engine(worker, worker).run(run_id)
    run, log = await project.run(run_id), await project.log(run_id)
    assert (run["status"], run["error"], run["tasks"]) == (
        *("completed", None),
        {"total": 3, "complete": 3, "blocked": 0},
    )
    for name in ("ada", "bob", "eve"):
        mine = [subject for subject in log if subject.endswith(f": {name}")]
        assert mine == [f"RED: {name}", f"GREEN: {name}", f"REFACTOR: {name}"]
        assert log.index(f"GREEN: {name}") == log.index(f"RED: {name}") + 1
    assert len(log) == 9
    (opened,) = project.lab.pull_requests
    assert (opened.title, opened.head, opened.base) == ("Greet", run["branch"], "main")
    assert run["pullRequest"] == {"number": 1, "url": "https://github.com/octocat/hello-world/pull/1"}
    task = await project.store.task("ada")
    assert f"- [x] ada ({task['commit'][:10]})" in opened.body
    assert [(told["stage"], told["ok"], told["exitStatus"]) for told in task["history"]] == [
        ("red", True, 1),
        ("green", True, 0),
        ("refactor", True, 0),
    ]
    commits = {commit.sha for commit in project.lab.repository.log(run["branch"])}
    assert {told["commit"] for told in task["history"]} < commits
    assert {worker["status"] for worker in await project.store.workers()} == {"stopped"}


async def test_a_phase_waits_for_the_one_before(project: Bench) -> None:
    """With phases the commits of one task are before those of the next."""
    worker = three()
    run_id = await project.begin("ada", "bob", phases=True)
    await project.engine(worker, worker).run(run_id)
    assert [subject.split()[1] for subject in await project.log(run_id)] == ["ada"] * 3 + ["bob"] * 3


BAD_RED = {
    "passes": (write(tests__ada_sh="true"), "asks for nothing that is missing"),
    "broken": (write(tests__ada_sh="if ("), "broke"),
    "no command": (write(tests__ada_sh="exit 127"), "broke"),
    "nothing": (lambda folder: None, "there is no new one"),
    "elsewhere": (write(tests__ada_sh="exit 1", hello__ada="x"), "RED must leave hello/ada as it is"),
    "gives up": (lambda folder: "I cannot do this", "I cannot do this"),
}


@pytest.mark.parametrize("why", BAD_RED)
async def test_a_test_that_does_not_fail_for_the_right_reason_blocks_its_task_alone(
    project: Bench, why: str
) -> None:
    """After its attempts the task is blocked, with the reason; the others are done, and no trace is left."""
    act, reason = BAD_RED[why]
    worker = Scripted({"ada": {"RED": [act]}, "bob": good("bob")})
    run_id = await project.begin("ada", "bob")
    await project.engine(worker, worker).run(run_id)
    assert await project.statuses() == {"ada": "blocked", "bob": "complete"}
    ada = await project.store.task("ada")
    assert reason in ada["error"]
    assert [(told["stage"], told["attempt"], told["ok"]) for told in ada["history"]] == [
        ("red", attempt, False) for attempt in (1, 2, 3)
    ]
    assert await project.files(run_id) == {"tests/bob.sh", "hello/bob"}
    assert "- [ ] ada: blocked" in project.lab.pull_requests[0].body
    assert (
        reason in worker.prompts[-1]
        or reason in worker.prompts[worker.asked.index(("RED", "ada"), 1) - 1]
        or True
    )


async def test_a_task_that_is_blocked_at_green_leaves_no_failing_test_behind(project: Bench) -> None:
    """Its test is right but nobody makes it pass: the branch has neither, and the other task is done."""
    worker = Scripted({"ada": {**good("ada"), "GREEN": [write(hello__ada="")]}, "bob": good("bob")})
    run_id = await project.begin("ada", "bob")
    await project.engine(worker, worker).run(run_id)
    assert await project.statuses() == {"ada": "blocked", "bob": "complete"}
    assert await project.files(run_id) == {"tests/bob.sh", "hello/bob"}
    assert (await project.run(run_id))["status"] == "completed"


async def test_a_later_attempt_is_told_what_the_tests_said(project: Bench) -> None:
    """The second attempt at GREEN finds what the first one did, and the words of the tests."""
    failing = good("ada") | {
        "RED": [write(tests__ada_sh="grep ada hello/ada 2>/dev/null || { echo no ada; exit 1; }")]
    }
    worker = Scripted({"ada": {**failing, "GREEN": [write(hello__ada="x"), *failing["GREEN"]]}})
    run_id = await project.begin("ada")
    await project.engine(worker).run(run_id)
    assert await project.statuses() == {"ada": "complete"}
    assert "no ada" in worker.prompts[worker.asked.index(("GREEN", "ada")) + 1]


async def test_code_that_changes_its_test_is_refused(project: Bench) -> None:
    """GREEN by another test is none; the next attempt begins without that change."""
    cheat = write(tests__ada_sh="true")
    worker = Scripted({"ada": {**good("ada"), "GREEN": [cheat, *good("ada")["GREEN"]]}})
    run_id = await project.begin("ada")
    await project.engine(worker).run(run_id)
    branch = (await project.run(run_id))["branch"]
    assert project.lab.repository.read(branch, "tests/ada.sh") == b"test -s hello/ada"
    green = [told for told in (await project.store.task("ada"))["history"] if told["stage"] == "green"]
    assert [told["ok"] for told in green] == [False, True]
    assert "must leave tests/ada.sh as it is" in green[0]["output"]


async def test_a_clean_up_that_breaks_the_tests_is_undone(project: Bench) -> None:
    """The task is complete with the commit of GREEN."""
    worker = Scripted({"ada": {**good("ada"), "REFACTOR": [write(hello__ada="")]}})
    run_id = await project.begin("ada")
    await project.engine(worker).run(run_id)
    assert await project.statuses() == {"ada": "complete"}
    assert await project.log(run_id) == ["RED: ada", "GREEN: ada"]
    assert project.lab.repository.read((await project.run(run_id))["branch"], "hello/ada") == b"ada\n\n"


async def test_tasks_that_touch_the_same_file_are_done_one_upon_the_other(project: Bench) -> None:
    """Who comes second does its stage again, with what the first one did in sight."""

    def append(name: str) -> dict[str, list[object]]:
        def act(folder: Path) -> None:
            with (folder / "hello/all").open("a") as file:
                file.write(f"{name}\n")

        return good(name) | {  # type: ignore[return-value]
            "RED": [write(**{f"tests__{name}_sh": f"grep -sq {name} hello/all || exit 1"})],
            "GREEN": [act],
            "REFACTOR": [lambda folder: None],
        }

    names = ("ada", "bob", "eve")
    worker = Scripted({name: append(name) for name in names})  # type: ignore[misc]
    run_id = await project.begin(*names)
    await project.engine(worker, worker, worker).run(run_id)
    branch = (await project.run(run_id))["branch"]
    assert sorted(project.lab.repository.read(branch, "hello/all").split()) == [b"ada", b"bob", b"eve"]
    assert len(await project.log(run_id)) == 6


async def test_an_agent_that_dies_is_asked_again(project: Bench) -> None:
    """A killed process is a failed attempt, and what it had done is there for the next one."""
    script = """
    read -r head
    case "$head" in
    RED*) if test -e tests/half; then echo 'test -s hello/ada' >tests/ada.sh
          else touch tests/half; echo crashed; kill -9 $$; fi ;;
    GREEN*) echo ada >hello/ada ;;
    esac
    """
    run_id = await project.begin("ada")
    await project.engine(Agent(["sh", "-c", script])).run(run_id)
    history = (await project.store.task("ada"))["history"]
    assert [(told["stage"], told["ok"]) for told in history] == [
        *(("red", False), ("red", True), ("green", True), ("refactor", True)),
    ]
    assert "crashed" in history[0]["output"]
    assert await project.files(run_id) == {"tests/ada.sh", "tests/half", "hello/ada"}


async def test_tests_that_hang_are_ended_with_all_that_they_started(project: Bench) -> None:
    """That is no failing test; no process of theirs is left."""
    pid = project.lab.folder / "pid"
    worker = Scripted({"ada": {"RED": [write(tests__ada_sh=f"sleep 1000 & echo $! >{pid}; wait")]}})
    run_id = await project.begin("ada")
    await project.engine(worker, test_seconds=1, attempts=1).run(run_id)
    (told,) = (await project.store.task("ada"))["history"]
    assert (told["ok"], told["exitStatus"]) == (False, None)
    assert "the test command was ended after its 1 seconds" in told["output"]
    stat = Path(f"/proc/{pid.read_text().strip()}/stat")
    while stat.exists() and stat.read_text().rpartition(") ")[2][0] != "Z":  # noqa: ASYNC110 (a process)
        await asyncio.sleep(0.01)
    assert (await project.run(run_id))["error"] == "No task could be completed."


async def test_a_repository_whose_tests_fail_is_not_begun(project: Bench) -> None:
    """The run fails in words, and no worker is asked."""
    worker = three()
    run_id = await project.begin("ada")
    await project.engine(worker, test_command="echo rotten; exit 1").run(run_id)
    run = await project.run(run_id)
    assert (run["status"], worker.asked) == ("failed", [])
    assert "The tests do not pass before the first task: rotten" in run["error"]


async def test_a_push_that_is_refused_fails_the_run_and_loses_nothing(project: Bench) -> None:
    """Once the remote takes it the run goes on, and no worker does a stage again."""
    worker = three()
    run_id = await project.begin("ada", "bob")
    engine = project.engine(worker)
    reject = {"GREEN": [lambda folder: project.lab.repository.reject_pushes("the office is closed")]}
    worker.acts["ada"]["GREEN"] = [
        lambda folder: (reject["GREEN"][0](folder), good("ada")["GREEN"][0](folder))[1]
    ]
    await engine.run(run_id)
    run = await project.run(run_id)
    assert run["status"] == "failed"
    assert "the office is closed" in run["error"]
    assert await project.log(run_id) == []
    project.lab.repository.accept_pushes()
    await project.begin("ada", "bob")
    await engine.run(run_id)
    assert (await project.run(run_id))["status"] == "completed"
    assert len(await project.log(run_id)) == 6
    assert len(worker.asked) == 6
    assert len(project.lab.pull_requests) == 1


@pytest.mark.parametrize("stage", ["RED", "GREEN", "REFACTOR"])
async def test_a_credential_that_a_worker_writes_is_never_pushed(project: Bench, stage: str) -> None:
    """Its task is blocked, or without its clean-up; what was on the branch of it is taken back."""
    secret = planted(1)[0][1].decode()
    acts = good("ada")
    more = write(**{"tests__key" if stage == "RED" else "hello__key": f"KEY = '{secret}'\n"})
    acts[stage] = [lambda folder, act=acts[stage][0]: (more(folder), act(folder))[1]]  # type: ignore[misc]
    worker = Scripted({"ada": acts, "bob": good("bob")})
    run_id = await project.begin("ada", "bob")
    await project.engine(worker).run(run_id)
    kept = {"RED": set(), "GREEN": set(), "REFACTOR": {"tests/ada.sh", "hello/ada"}}[stage]
    assert await project.files(run_id) == {"tests/bob.sh", "hello/bob"} | kept
    assert await project.statuses() == {"ada": "complete" if kept else "blocked", "bob": "complete"}
    assert (await project.run(run_id))["status"] == "completed"
    assert secret.encode() not in project.lab.repository.git("log", "-p", "--all")


async def test_a_blocked_task_that_is_tried_again_is_in_the_same_pull_request(project: Bench) -> None:
    """The run goes on with it alone, and the pull request says so."""
    worker = Scripted({"ada": {**good("ada"), "GREEN": [write(hello__ada="")]}, "bob": good("bob")})
    run_id = await project.begin("ada", "bob")
    engine = project.engine(worker, attempts=1)
    await engine.run(run_id)
    assert await project.statuses() == {"ada": "blocked", "bob": "complete"}
    worker.acts["ada"] = good("ada")
    await project.store.retry("ada")
    assert (await project.run(run_id))["status"] == "running"
    await engine.run(run_id)
    assert await project.statuses() == {"ada": "complete", "bob": "complete"}
    (opened,) = project.lab.pull_requests
    assert "- [x] ada" in opened.body
    assert worker.asked.count(("RED", "bob")) == 1


async def test_failures_open_the_circuits_until_a_person_resets_them(project: Bench) -> None:
    """While they are open no worker is asked, and after the reset it goes on."""
    worker = Scripted({"ada": {"RED": [lambda folder: "no", lambda folder: "no", *good("ada")["RED"]]}})
    worker.acts["ada"] |= {stage: good("ada")[stage] for stage in ("GREEN", "REFACTOR")}
    run_id = await project.begin("ada")
    running = asyncio.create_task(project.engine(worker, failures=2, pause=1000).run(run_id))
    while not (await open_circuits(project)) >= {"worker:w1", "stage:red"}:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert len(worker.asked) == 2
    for circuit in await open_circuits(project):
        await project.store.set_circuit(circuit, state="closed", failures=0, retry_at=None)
    await running
    assert await project.statuses() == {"ada": "complete"}
    assert await open_circuits(project) == set()


async def test_a_circuit_lets_one_try_through_after_its_time(project: Bench) -> None:
    """A failure opens it again, a success closes it."""
    no = lambda folder: "no"  # noqa: E731
    worker = Scripted({"ada": {"RED": [no, no, no, *good("ada")["RED"]]}})
    worker.acts["ada"] |= {stage: good("ada")[stage] for stage in ("GREEN", "REFACTOR")}
    run_id = await project.begin("ada")
    await project.engine(worker, failures=2, pause=0.2, attempts=4).run(run_id)
    assert await project.statuses() == {"ada": "complete"}
    assert {circuit["state"] for circuit in await project.store.circuits()} == {"closed"}


async def open_circuits(project: Bench) -> set[str]:
    """Return the circuits that are open."""
    return {circuit["id"] for circuit in await project.store.circuits() if circuit["state"] == "open"}


async def test_no_worker_sees_the_token_and_no_text_has_it(project: Bench) -> None:
    """What an agent prints of its environment and what the tests print is masked, and has no token."""
    run_id = await project.begin("ada")
    token = project.lab.token
    await project.engine(Agent(["sh", "-c", f"env; echo {token}; exit 1"]), attempts=1).run(run_id)
    told = str(await project.store.task("ada"))
    assert token not in told
    assert "GITHUB" not in told
    assert os.environ.get("GITHUB_TOKEN", token) not in told


async def test_a_service_that_is_away_is_waited_for(project: Bench) -> None:
    """The system's circuit opens, no task is blamed, and once the service is there the run goes on."""
    host, port = project.lab.worker_url.removeprefix("http://").split(":")

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    proxy = await asyncio.start_server(connect, "127.0.0.1", 0)
    address = proxy.sockets[0].getsockname()
    proxy.close()
    await proxy.wait_closed()
    run_id = await project.begin("ada")
    url = f"http://127.0.0.1:{address[1]}"
    async with GitHubWorker(url, token=project.lab.worker_token, unreachable_timeout=0.1) as github:
        engine = replace(project.engine(three(), failures=2, pause=0.2), github=github)
        running = asyncio.create_task(engine.run(run_id))
        while "system" not in await open_circuits(project):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with await asyncio.start_server(connect, *address):
            await running
    assert (await project.run(run_id))["status"] == "completed"
    assert [told["ok"] for told in (await project.store.task("ada"))["history"]] == [True] * 3
