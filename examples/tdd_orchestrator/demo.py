"""From a document of three tasks to a pull request on this machine, with the page to watch it on.

Claude Code does the work where its program is there, with a model where ANTHROPIC_API_KEY is set, and else
with a stand-in for one. Without the program a script does the work.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from examples.coding.agent import Agent, claude_code
from examples.lab import Lab, lab
from examples.serving import serving
from examples.tdd_orchestrator import document
from examples.tdd_orchestrator.__main__ import run_of, tell
from examples.tdd_orchestrator.api import application
from examples.tdd_orchestrator.config import Config, Project, Tdd
from examples.tdd_orchestrator.engine import Engine
from examples.tdd_orchestrator.plugins import WorkerPlugin
from examples.tdd_orchestrator.stages import Seat
from examples.tdd_orchestrator.store import Store
from github_worker_client import GitHubWorker, Secret
from github_worker_client.sessions import SessionStore
from tests.support.model import Say, UseTool

DOCUMENT = """\
---
title: A page that greets
---
Whoever visits the page is greeted in words that fit.

## Greet by night

`night(name)` in `hello/night.py` says "Good night, NAME!".

## Greet a crowd

`crowd(names)` in `hello/crowd.py` says "Hello, ADA and BOB!".

## Say goodbye

`goodbye(name)` in `hello/goodbye.py` says "Goodbye, NAME!".
"""
INSTALLED = ".venv-claude/claude"  # by scripts/install-claude
TEST = "def test_{name}():\n    from hello.{name} import {name}\n\n    assert {name}({given!r}) == {said!r}\n"
CODE = "def {name}(name):\n    return f'{words}, {{name}}!'\n"
LONG = "def crowd(names):\n    text = ' and '.join(names)\n    return f'Hello, {text}!'\n"
SHORT = "def crowd(names):\n    return f\"Hello, {' and '.join(names)}!\"\n"
WRITES = (
    (
        "RED: Greet by night",
        "tests/test_night.py",
        TEST.format(name="night", given="Ada", said="Good night, Ada!"),
    ),
    ("GREEN: Greet by night", "hello/night.py", CODE.format(name="night", words="Good night")),
    ("REFACTOR: Greet by night", "", ""),
    (
        "RED: Greet a crowd",
        "tests/test_crowd.py",
        TEST.format(name="crowd", given=["Ada", "Bob"], said="Hello, Ada and Bob!"),
    ),
    ("GREEN: Greet a crowd", "hello/crowd.py", LONG),
    ("REFACTOR: Greet a crowd", "hello/crowd.py", SHORT),
    (
        "RED: Say goodbye",
        "tests/test_goodbye.py",
        TEST.format(name="goodbye", given="Ada", said="Goodbye, Ada!"),
    ),
    ("GREEN: Say goodbye", "hello/goodbye.py", CODE.format(name="goodbye", words="Goodbye")),
    ("REFACTOR: Say goodbye", "", ""),
)
SCRIPT = """
import json, pathlib, sys, time
prompt = sys.stdin.read()
for head, path, text in json.loads(sys.argv[1]):
    if path and prompt.startswith(head + "\\n"):
        pathlib.Path(path).write_text(text)
        print("Wrote", path)
"""


def script(writes: object = WRITES) -> Agent:
    """Return an agent that knows what to write."""
    return Agent([sys.executable, "-c", SCRIPT, json.dumps(writes)])


def claude(here: Lab, program: str) -> Agent:
    """Return Claude Code with a model that says, one stage after another, what to write."""
    answers: list[Say | UseTool] = []
    for head, path, text in WRITES:
        if path and head.startswith("REFACTOR"):
            answers.append(UseTool("Read", {"file_path": path}))
        answers += [UseTool("Write", {"file_path": path, "content": text})] if path else []
        answers.append(Say(f"Wrote {path}" if path else "It is good as it is"))
    here.model.script(*answers)
    return claude_code("sk-ant-of-the-lab", program=program, base_url=here.model.origin)


def settings(**tdd: object) -> Config:
    """Return the settings of the lab's repository."""
    command = f"{sys.executable} -m pytest -q -p no:cacheprovider"
    given = {"test_command": command, "empty_status": (5,), **tdd}
    return Config(Project("hello", "python", "pytest", "hello", "tests"), Tdd(**given))  # type: ignore[arg-type]


def workers(here: Lab) -> list[WorkerPlugin]:
    """Return who does the work: two of them, but one where the stand-in's answers have an order."""
    installed = shutil.which("claude") or shutil.which(Path(INSTALLED).absolute())
    program = os.environ.get("CLAUDE_PROGRAM") or installed
    if program is None:
        return [script()] * 2
    if key := os.environ.get("ANTHROPIC_API_KEY"):
        return [claude_code(key, program=program, base_url=os.environ.get("ANTHROPIC_BASE_URL"))] * 2
    return [claude(here, program)]


async def show(here: Lab, plugins: list[WorkerPlugin]) -> None:
    """Do the document, and print what happens and what came of it."""
    (here.folder / "feature.md").write_text(DOCUMENT)
    run, tasks = run_of(document.load(here.folder / "feature.md"), here.repo_url, propose=True)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(here.folder / "tdd.db"))
        github = await stack.enter_async_context(GitHubWorker(here.worker_url, token=here.worker_token))
        seats = [Seat(f"w{number}", worker) for number, worker in enumerate(plugins, 1)]
        sessions = SessionStore(here.store_url)
        engine = Engine(store, github, sessions, settings(), Secret(here.token), seats)
        url = await stack.enter_async_context(serving(application(here.folder / "tdd.db", name="hello")))
        print(f"{DOCUMENT}\nThe page is at {url}/ until the demo ends.\n")
        await store.begin(run, tasks)
        telling = asyncio.create_task(tell(store, run["id"]))
        await engine.run(run["id"])
        await telling
    for opened in here.pull_requests:
        print(f"\n#{opened.number} {opened.title}: {opened.head} into {opened.base}\n\n{opened.body}\n")
        print(here.repository.git("log", "--stat", "--format=%h %s", f"main..{opened.head}").decode())


def main() -> None:
    """Show it."""
    with tempfile.TemporaryDirectory(prefix="example-tdd-") as folder, lab(Path(folder)) as here:
        asyncio.run(show(here, workers(here)))


if __name__ == "__main__":
    main()
