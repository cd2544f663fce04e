"""A board with two bots on this machine: tasks go from todo to review, one of them twice."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

from examples.board.api import application
from examples.board.board import Board
from examples.board.client import BoardClient
from examples.board.worker import Bot
from examples.coding.demo import agent_at_hand
from examples.coding.task import Coder
from examples.lab import Lab, lab
from examples.serving import serving
from github_worker_client import GitHubWorker, Secret
from github_worker_client.sessions import SessionStore

KEY = "tk_of_the_demo"
TASKS = [
    {"title": "Add a dark mode toggle", "status": "todo"},
    {"title": "Greet in two languages", "status": "todo", "priority": "high"},
    {"title": "Rewrite it all", "status": "backlog"},
]
SCRIPT = """
prompt=$(cat)
name=$(echo "$prompt" | sed -n '1s/[^A-Za-z]//gp')
{ echo "# $name"; echo "$prompt" | sed -n 's/^- /# /p'; } >hello/$name.py
echo "Wrote hello/$name.py"
"""


async def show(here: Lab) -> None:
    """Let two bots do what is to do, send one task back from review, and print the board as it changes."""
    async with AsyncExitStack() as stack:
        board = application(Board(here.folder / "board.db"), {KEY: "default"})
        url = f"{await stack.enter_async_context(serving(board))}/api"
        headers = {"Authorization": f"Bearer {KEY}"}
        api = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers))
        github = await stack.enter_async_context(GitHubWorker(here.worker_url, token=here.worker_token))
        coder = Coder(github, SessionStore(here.store_url), agent_at_hand(SCRIPT))
        ids = [await _add(api, here, task) for task in TASKS]
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as bots:
            for name in ("Bot-John", "Bot-Gordon"):
                client = await stack.enter_async_context(BoardClient(url, Secret(KEY)))
                bot = Bot(client, coder, Secret(here.token), name, interval=0.2)
                bots.create_task(bot.run(stopping))
            await _watch(api, lambda: _are_in_review(api, ids[:2]))
            print("\nAda: Make it darker, please")
            await api.post(
                f"/tasks/{ids[0]}/comments", json={"content": "Make it darker", "author_name": "Ada"}
            )
            await api.patch(f"/tasks/{ids[0]}", json={"status": "todo"})
            await _watch(api, lambda: _are_in_review(api, ids[:1]))
            stopping.set()
        await _print(api, ids[0])
    for opened in here.pull_requests:
        print(f"\n#{opened.number} {opened.title}: {opened.head} into {opened.base}\n")
        print(here.repository.git("log", "--stat", f"main..{opened.head}").decode())


async def _add(api: httpx.AsyncClient, here: Lab, task: dict[str, str]) -> str:
    answer = await api.post("/tasks", json=task | {"repository_url": here.repo_url})
    return str(answer.raise_for_status().json()["task"]["id"])


async def _watch(api: httpx.AsyncClient, is_done: Callable[[], Awaitable[bool]]) -> None:
    shown = ""
    while True:
        ended = await is_done()
        tasks = (await api.get("/tasks")).json()["tasks"]
        lines = "\n".join(f"  {_line(task)}" for task in tasks)
        if lines != shown:
            print(f"\n{lines}")
            shown = lines
        if ended:
            return
        await asyncio.sleep(0.1)


async def _are_in_review(api: httpx.AsyncClient, ids: list[str]) -> bool:
    tasks = (await api.get("/tasks", params={"status": "review"})).json()["tasks"]
    return {task["id"] for task in tasks} >= set(ids)


async def _print(api: httpx.AsyncClient, id_: str) -> None:
    task = (await api.get(f"/tasks/{id_}")).json()["task"]
    print(f"\n{task['title']}")
    for said in task["comments"]:
        print(f"  {said['author_name']:<11} {said['content'].replace(chr(10), ' ')}")


def _line(task: dict[str, Any]) -> str:
    bot, pull_request = task["bot_name"] or "", task["pr_url"] or ""
    return f"{task['title']:<24} {task['status']:<12} {bot:<11} {pull_request}".rstrip()


def main() -> None:
    """Show it."""
    with tempfile.TemporaryDirectory(prefix="example-board-") as folder, lab(Path(folder)) as here:
        asyncio.run(show(here))


if __name__ == "__main__":
    main()
