"""A coding worker on this machine: a request goes in, its events and a pull request come out.

Claude Code does the work where `claude` and ANTHROPIC_API_KEY are there; else a script that writes a file.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path

import httpx

from examples.coding.agent import Agent, claude_code
from examples.coding.task import Coder
from examples.coding.worker import application
from examples.lab import Lab, lab
from examples.serving import serving
from github_worker_client import GitHubWorker
from github_worker_client.sessions import SessionStore

REQUEST = "Add a dark mode toggle"
SCRIPT = """
echo 'Looking at the page'; ls hello
printf 'THEMES = ("light", "dark")\\n' > hello/theme.py
echo 'Added hello/theme.py with two themes'
"""


def agent_at_hand(script: str = SCRIPT) -> Agent:
    """Return Claude Code if it can run here, else a script."""
    program, key = shutil.which("claude"), os.environ.get("ANTHROPIC_API_KEY")
    if program and key:
        return claude_code(key, program=program, base_url=os.environ.get("ANTHROPIC_BASE_URL"))
    return Agent(["sh", "-c", script])


async def show(here: Lab) -> None:
    """Send one task to a coding worker and print what it tells."""
    async with GitHubWorker(here.worker_url, token=here.worker_token) as worker:
        coder = Coder(worker, SessionStore(here.store_url), agent_at_hand())
        client = httpx.AsyncClient(timeout=httpx.Timeout(10, read=None))
        async with serving(application(coder)) as url, client:
            task = {
                "taskId": "task-1",
                "sessionId": "session-1",
                "repoUrl": here.repo_url,
                "userRequest": REQUEST,
                "accessToken": here.token,
            }
            print(f"POST {url}/execute: {REQUEST!r} in {here.repo_url}\n")
            async with client.stream("POST", f"{url}/execute", json=task) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        _print(json.loads(line[6:]))
    (opened,) = here.pull_requests
    print(f"\n#{opened.number} {opened.title}: {opened.head} into {opened.base}\n\n{opened.body}\n")
    print(here.repository.git("log", "--stat", "-1", opened.head).decode())


def _print(event: dict[str, object]) -> None:
    shown = {name: value for name, value in event.items() if name not in {"source", "timestamp", "timings"}}
    kind = shown.pop("type")
    print(f"  {kind:<16} {' '.join(str(value) for value in shown.values() if value is not None)}")


def main() -> None:
    """Show it."""
    with tempfile.TemporaryDirectory(prefix="example-coding-") as folder, lab(Path(folder)) as here:
        asyncio.run(show(here))


if __name__ == "__main__":
    main()
