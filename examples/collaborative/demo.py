"""A collaborative session on this machine: two people edit one file at once, and their work is committed.

With `--stay` the server stays up, and the pages of both people can be opened in a browser.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from examples.collaborative.server import Collaboration
from examples.lab import Lab, lab
from examples.serving import serving
from github_worker_client import GitHubWorker
from github_worker_client.sessions import SessionStore

PEOPLE = {"ada-token": "ada", "grace-token": "grace"}
SESSION = "session-1"
FILE = "README.md"


async def show(here: Lab, *, stay: bool) -> None:
    """Let two people edit the README at once, and show what was committed."""
    async with GitHubWorker(here.worker_url, token=here.worker_token) as worker:
        started = await worker.init_session(
            session_id=SESSION,
            repo_url=here.repo_url,
            user_request="Write a greeting",
            access_token=here.token,
        )
        store = SessionStore(here.store_url)
        cooldown = 30.0 if stay else 1.0
        collaboration = Collaboration(worker, store, PEOPLE, here.token, cooldown=cooldown)
        async with serving(collaboration.application()) as url:
            if stay:
                print(
                    *(f"{name}: {url}/sessions/{SESSION}#{token}" for token, name in PEOPLE.items()), sep="\n"
                )
                await asyncio.Event().wait()
            await asyncio.gather(
                *(
                    edit(url.replace("http", "ws"), token, f"{name} was here.\n")
                    for token, name in PEOPLE.items()
                )
            )
    print(f"\ngit log --stat -1 {started.branch_name}, and the README:\n")
    print(here.repository.git("log", "--stat", "-1", started.branch_name).decode())
    print(here.repository.read(started.branch_name, FILE).decode())


async def edit(url: str, token: str, text: str) -> None:
    """Open the README, write a line at its beginning, and wait until it is committed."""
    async with connect(f"{url}/ws/{SESSION}", proxy=None) as window:
        await _send(window, type="hello", token=token, window=token)
        await _send(window, type="open", path=FILE)
        opened = await until(window, "file")
        await _send(
            window,
            type="edit",
            path=FILE,
            number=1,
            version=opened["version"],
            position=0,
            removed=0,
            text=text,
        )
        await until(window, "committed")


async def until(window: ClientConnection, kind: str) -> dict[str, Any]:
    """Print what a window hears, up to a message of a kind."""
    async for text in window:
        message: dict[str, Any] = json.loads(text)
        print(f"  {json.dumps(message)}")
        if message["type"] == kind:
            return message
    raise ConnectionError("the server is gone")


async def _send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


def main() -> None:
    """Show it."""
    parser = argparse.ArgumentParser(prog="scripts/example collaborative", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="keep the server up for a browser")
    stay = parser.parse_args().stay
    with tempfile.TemporaryDirectory(prefix="example-collaborative-") as folder, lab(Path(folder)) as here:
        try:
            asyncio.run(show(here, stay=stay))
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
