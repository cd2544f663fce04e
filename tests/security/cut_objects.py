"""Runs commit-and-push on a session with each of its loose objects cut at every length, and says its end.

It is a process of its own, which an object that libgit2 cannot read may keep for ever; its environment is the
worker's.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from github_worker.errors import JobError
from tests.operations.conftest import SESSION, JobRunner
from tests.support.sessions import SessionFolder, edit

_LOOSE = re.compile(r".*/\.git/objects/[0-9a-f]{2}/[0-9a-f]{38}")


async def _run() -> None:
    runner = JobRunner(dict(os.environ))
    sessions = SessionFolder(Path(urlsplit(os.environ["STORAGE_URL"]).path))
    whole = sessions.get(SESSION)
    for name in filter(_LOOSE.fullmatch, whole.members()):
        content = whole.read(name)
        for length in range(len(content)):
            sessions.put(SESSION, edit(whole.data, {name: content[:length]}))
            print(await _end(runner), flush=True)  # noqa: T201 (for the test)


async def _end(runner: JobRunner) -> str:
    try:
        await runner.commit()
    except JobError as error:
        return error.code
    return "completed"


if __name__ == "__main__":
    asyncio.run(_run())
