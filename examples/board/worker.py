"""A bot: polls the board, claims a task, lets the coder do it, comments each step, and puts it into review.

GitHub Worker does all that is git. The requests to it are named after the task and its round, so the next bot
goes on where one was killed, and nothing is done twice. On SIGTERM a bot finishes the task in hand.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count

from examples.board.board import Report
from examples.board.client import BoardClient, Claim, ClaimLost, Refused, Unreachable
from examples.coding.agent import Agent, hide
from examples.coding.task import AgentSaid, Coder, Event, StepBegan, Task, TaskFailed
from examples.coding.worker import coder_from_env
from github_worker_client import Secret

STEPS = {
    "prepare": "Preparing a branch",
    "code": "The agent works",
    "commit": "Committing what it did",
    "propose": "Opening a pull request",
}
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")  # what an agent needs to know of the way out
SECRETS = (
    *("TASKINFA_API_KEY", "GITHUB_TOKEN", "GITHUB_WORKER_TOKEN"),
    *("ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY"),
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bot:
    """Takes the tasks of `workspace`, and asks for one every `interval` seconds while there is none.

    `token` may push to the tasks' repositories and open pull requests; the agent never sees it.
    """

    board: BoardClient
    coder: Coder
    token: Secret
    name: str = "Bot-John"
    workspace: str = "default"
    interval: float = 5.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Do one task after another, until it is to stop; raise Refused."""
        _logger.info("%s waits for tasks of %s", self.name, self.workspace)
        while not stopping.is_set():
            try:
                claim = await self.board.claim(self.name, self.workspace)
            except Unreachable as error:
                _logger.warning("%s", error)
                claim = None
            if claim is not None:
                await self.work(claim)
                reap()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self.interval):
                    await stopping.wait()

    async def work(self, claim: Claim) -> None:
        """Do a task and report it; leave it as soon as the board says that it is this bot's no more."""
        _logger.info("%s: %s claims %r", claim.id, self.name, claim.title)
        steps: asyncio.Queue[str | None] = asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as together:
                together.create_task(self._hold(claim, steps))
                outcome = await self._code(claim, steps)
                steps.put_nowait(None)
            await self.board.report(claim, outcome)
            _logger.info("%s: %s: %s", claim.id, outcome.status, outcome.comment)
        except* ClaimLost:
            _logger.warning("%s: the claim is lost, and the work left to who has it now", claim.id)

    async def _hold(self, claim: Claim, steps: asyncio.Queue[str | None]) -> None:
        """Comment what begins, and say something so often that the claim does not run out."""
        for number in count(1):
            comment: str | None = ""
            with suppress(TimeoutError):
                async with asyncio.timeout(claim.lease / 3):
                    comment = await steps.get()
            if comment is None:
                return
            await self.board.report(claim, Report(comment=comment or None, number=number))

    async def _code(self, claim: Claim, steps: asyncio.Queue[str | None]) -> Report:
        def tell(event: Event) -> None:
            match event:
                case StepBegan():
                    steps.put_nowait(STEPS[event.step])
                case AgentSaid():
                    _logger.info("%s: agent: %s", claim.id, event.text)

        try:
            result = await self.coder.run(task_of(claim, self.token), tell)
        except TaskFailed as error:
            return Report(status="todo", comment=str(error), comment_type="error")
        told = [result.work.agent.summary, result.pull_request or "Nothing had to be changed."]
        return Report(
            status="review",
            comment="\n\n".join(told),
            comment_type="summary",
            pr_url=result.pull_request,
            pr_branch=result.branch,
        )


def task_of(claim: Claim, token: Secret) -> Task:
    """Return what the coder does for a claim: its session is the task's, its requests are of this round."""
    return Task(
        id=f"{claim.id}-{claim.round}",
        session_id=claim.id,
        repo_url=claim.repository_url,
        base=claim.base_branch,
        request=claim.title,
        title=claim.title,
        prompt=prompt_for(claim),
        token=token.reveal(),
    )


def prompt_for(claim: Claim) -> str:
    """Return what the agent is told: the task, and what people said of it."""
    said = [f"- {said['content']}" for said in claim.comments if said["author_type"] == "person"]
    parts = [f"# {claim.title}", claim.description, *(["## Comments", "\n".join(said)] if said else [])]
    parts += ["Edit the files in this folder. Do not commit: that is done for you. End with a summary."]
    return "\n\n".join(filter(None, parts))


def with_network(agent: Agent) -> Agent:
    """Return the agent with this process's words about proxies in its environment."""
    known = {name: os.environ[name] for name in NETWORK if name in os.environ}
    return replace(agent, env={**agent.env, **known})


def reap() -> None:
    """Collect what agents have left running and was ended, as process 1 of a container has to."""
    with suppress(ChildProcessError):
        while os.getpid() == 1 and os.waitpid(-1, os.WNOHANG)[0]:
            pass


async def main() -> None:
    """Run the bot that the environment configures, until SIGTERM or SIGINT."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel("WARNING")
    stopping = asyncio.Event()
    for stop in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stop, stopping.set)
    hide()
    secrets = {
        name: Secret(os.environ[name]) for name in SECRETS if os.environ.get(name)
    }  # masked in all texts
    try:
        coder, token = coder_from_env(), secrets["GITHUB_TOKEN"]
        board = BoardClient(os.environ["TASKINFA_API_URL"], secrets["TASKINFA_API_KEY"])
    except KeyError as error:
        sys.exit(f"{error.args[0]} must be set")
    bot = Bot(
        board,
        replace(coder, agent=with_network(coder.agent)),
        token,
        os.environ.get("BOT_NAME") or "Bot-John",
        os.environ.get("WORKSPACE_ID") or "default",
        float(os.environ.get("POLL_INTERVAL") or 5),
    )
    async with coder.worker, board:
        try:
            await bot.run(stopping)
        except* Refused as refused:
            sys.exit(str(refused.exceptions[0]))


if __name__ == "__main__":
    asyncio.run(main())
