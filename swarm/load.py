"""Callers: `python -m swarm.load` clones one repository into many sessions, or commits what was edited there.

It prints what each call saw.

It runs in a container, on the stack's network or outside it, and needs the client and its packages alone.
GITHUB_WORKER_TOKEN and GIT_TOKEN are the tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections import Counter
from contextvars import ContextVar

import httpx
from msgspec import Struct, field
from msgspec import json as msgspec_json

from github_worker_client import GitHubWorker, GitHubWorkerError


class Call(Struct):
    """A call as its caller saw it; times of day in seconds, `answers` the HTTP statuses it met.

    `commit` is the one that the session is at in the end.
    """

    session: str
    submitted: float
    ended: float = 0.0
    container: str = ""
    answers: dict[str, int] = field(default_factory=dict)
    commit: str = ""
    error: str | None = None

    @property
    def seconds(self) -> float:
        """From submit to result."""
        return self.ended - self.submitted


_PATIENCE = 600.0  # seconds: a slow machine is no lost job
current: ContextVar[Call] = ContextVar("current")


class Counting(httpx.AsyncHTTPTransport):
    """Notes what each try of a call is answered."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and note the status or that there was none."""
        call = current.get()
        try:
            response = await super().handle_async_request(request)
        except httpx.TransportError:
            call.answers["unreachable"] = call.answers.get("unreachable", 0) + 1
            raise
        status = str(response.status_code)
        call.answers[status] = call.answers.get(status, 0) + 1
        call.container = response.headers.get("X-Container-ID", "")
        return response


class Callers:
    """Calls the service at `base_url`."""

    def __init__(self, base_url: str, repository: str, commits: bool) -> None:
        token = os.environ["GITHUB_WORKER_TOKEN"]
        self._client = GitHubWorker(base_url, token, busy_timeout=_PATIENCE, transport=Counting())
        self._repository = repository
        self._job = self._commit if commits else self._clone

    async def call(self, session: str) -> Call:
        """Let a session's job be done, and print what was seen."""
        call = Call(session, time.time())
        current.set(call)
        try:
            call.commit = await self._job(session, os.environ["GIT_TOKEN"])
        except GitHubWorkerError as error:
            call.error = f"{error.code}: {error}"
        call.ended = time.time()
        print(msgspec_json.encode(call).decode(), flush=True)
        return call

    async def _clone(self, session: str, token: str) -> str:
        cloned = await self._client.clone_repository(
            session_id=session, repo_url=self._repository, access_token=token
        )
        return cloned.commit or ""

    async def _commit(self, session: str, token: str) -> str:
        committed = await self._client.commit_and_push(session_id=session, access_token=token)
        return committed.commit_hash or ""

    async def in_turn(self, sessions: list[str], callers: int) -> None:
        """Let so many callers go through the sessions, each one call after another."""
        left = iter(sessions)

        async def caller() -> None:
            for session in left:
                await self.call(session)

        await asyncio.gather(*(caller() for _ in range(callers)))

    async def at_rate(self, sessions: list[str], rate: float) -> None:
        """Call at random moments, `rate` times a second on average, whoever still waits."""
        chance = random.Random(sessions[0])
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(self.call(session))
                await asyncio.sleep(chance.expovariate(rate))


def read(output: str) -> list[Call]:
    """Read what a run of callers printed."""
    return [msgspec_json.decode(line, type=Call) for line in output.splitlines()]


def answers(calls: list[Call]) -> Counter[str]:
    """Add up what the calls were answered."""
    return sum((Counter(call.answers) for call in calls), Counter())


def main() -> None:
    """Run the callers that the arguments describe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("repository")
    parser.add_argument("--name", default="session", help="how the sessions' ids begin")
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--callers", type=int, help="so many, each one job after another")
    parser.add_argument("--commits", action="store_true", help="commit what was edited in the sessions")
    parser.add_argument("--rate", type=float, help="or so many jobs a second")
    arguments = parser.parse_args()
    sessions = [f"{arguments.name}-{number}" for number in range(arguments.jobs)]
    callers = Callers(arguments.base_url, arguments.repository, arguments.commits)
    if arguments.rate:
        asyncio.run(callers.at_rate(sessions, arguments.rate))
    else:
        asyncio.run(callers.in_turn(sessions, arguments.callers))


if __name__ == "__main__":
    main()
