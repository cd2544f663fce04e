"""Bots at their board: what they do of a task, and what is left when one of them, or the board, is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.board.api import application
from examples.board.board import Board
from examples.board.client import BoardClient
from examples.board.test_board import Clock, add, client, show
from examples.board.worker import Bot
from examples.coding.agent import Agent
from examples.coding.task import Coder
from examples.lab import Lab
from examples.serving import serving
from github_worker_client import Backoff, GitHubWorker, Secret
from github_worker_client.sessions import SessionStore

KEY = "tk_0123456789abcdef"
LEASE = (
    0.6  # seconds of a bot between two words are a third of it; on the board's clock they pass as a test says
)
AT_ONCE = Backoff(first=0.05, longest=0.05)
WRITES = "echo run >>$LOG; cat >prompt.txt; echo 'x = 1' >hello/theme.py; echo Added a theme"
HANGS = "echo half >half.txt; echo $$ >$LOG.pid; exec sleep 1000"
Message = MutableMapping[str, Any]


class Gate:
    """The board with a door in front: shut, it answers 503; what is to be lost is done, but not answered."""

    def __init__(self, board: Any) -> None:
        self.shut = False
        self.lost: set[str] = set()
        self.asked: list[str] = []
        self.on_end: Callable[[], Awaitable[None]] | None = None
        self._board = board

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request through, or not."""
        body = b""
        while scope["type"] == "http":
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break

        async def again() -> Message:
            return {"type": "http.request", "body": body}

        async def nowhere(_: Message) -> None:
            pass

        kind = "end" if b'"status"' in body else scope.get("path", "").rpartition("/")[2]
        self.asked.append(kind)
        if kind == "end" and self.on_end is not None:
            await self.on_end()
        if self.shut:
            await _unavailable(send)
        elif kind in self.lost:
            self.lost.discard(kind)
            await self._board(scope, again, nowhere)
            await _unavailable(send)
        else:
            await self._board(scope, again if scope["type"] == "http" else receive, send)


class Setting:
    """A board behind its gate, and what bots need; `api` is a person's client."""

    def __init__(self, lab: Lab, stack: AsyncExitStack, github: GitHubWorker) -> None:
        self.lab, self.stack, self.github = lab, stack, github
        self.clock = Clock()
        board = Board(lab.folder / "board.db", LEASE, self.clock)
        self.gate = Gate(application(board, {KEY: "default", "tk_theirs": "other"}))
        self.url = ""
        self.api = httpx.AsyncClient()

    async def start(self) -> None:
        """Serve the board."""
        self.url = await self.stack.enter_async_context(serving(self.gate, lifespan="off"))
        self.api = await self.stack.enter_async_context(client(self.url, KEY))

    async def bot(self, script: str = WRITES, name: str = "Bot-John", workspace: str = "default") -> Bot:
        """Return a bot whose agent is a script."""
        board = await self.stack.enter_async_context(BoardClient(f"{self.url}/api", Secret(KEY), AT_ONCE))
        agent = Agent(["sh", "-c", script], {"LOG": self.log}, time_limit=60)
        coder = Coder(self.github, SessionStore(self.lab.store_url), agent)
        return Bot(board, coder, Secret(self.lab.token), name, workspace, interval=0.05)

    async def run(self, *bots: Bot, until: Callable[[], Awaitable[bool]]) -> None:
        """Let bots run until something is so; they finish what they have in hand."""
        stopping = asyncio.Event()
        async with asyncio.timeout(120), asyncio.TaskGroup() as together:
            for bot in bots:
                together.create_task(bot.run(stopping))
            while not await until():  # noqa: ASYNC110 (the board has no event)
                await asyncio.sleep(0.05)
            stopping.set()

    async def do(self, bot: Bot) -> None:
        """Let a bot do the next task."""
        claim = await bot.board.claim(bot.name, bot.workspace)
        assert claim is not None
        await bot.work(claim)

    async def process(self, script: str, **env: str) -> asyncio.subprocess.Process:
        """Start a bot as a process of its own."""
        known = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.lab.folder),
            "TASKINFA_API_URL": f"{self.url}/api",
            "TASKINFA_API_KEY": KEY,
            "GITHUB_TOKEN": self.lab.token,
            "GITHUB_WORKER_URL": self.lab.worker_url,
            "GITHUB_WORKER_TOKEN": self.lab.worker_token,
            "STORAGE_URL": self.lab.store_url,
            "POLL_INTERVAL": "0.05",
        }
        (self.lab.folder / "agent").write_text(f"LOG={self.log}\n{script}\n")
        known["AGENT_COMMAND"] = f"sh {self.lab.folder}/agent"
        program = (sys.executable, "-m", "examples.board.worker")
        return await asyncio.create_subprocess_exec(
            *program, env=known | env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )

    async def add(self, **fields: Any) -> str:
        """Put a task on the board."""
        return await add(self.api, **{"repository_url": self.lab.repo_url} | fields)

    async def has(self, status: str, count: int = 1) -> bool:
        """Tell whether so many tasks have a status."""
        listed = (await self.api.get("/tasks", params={"status": status})).json()["tasks"]
        return len(listed) == count

    async def said(self, id_: str) -> list[str]:
        """Return the comments on a task, each one's first line."""
        return [said["content"].partition("\n")[0] for said in (await show(self.api, id_))["comments"]]

    @property
    def log(self) -> str:
        """Where the agent writes down its runs."""
        return str(self.lab.folder / "runs")

    @property
    def runs(self) -> int:
        """How often the agent was run."""
        return len(Path(self.log).read_text().splitlines())


@pytest.fixture
async def setting(lab: Lab) -> AsyncIterator[Setting]:
    """Yield a board, and a lab for its bots."""
    async with AsyncExitStack() as stack:
        github = await stack.enter_async_context(GitHubWorker(lab.worker_url, token=lab.worker_token))
        setting = Setting(lab, stack, github)
        await setting.start()
        yield setting


STEPS = ["Preparing a branch", "The agent works", "Committing what it did", "Opening a pull request"]


async def test_a_task_goes_from_todo_to_review(setting: Setting) -> None:
    """Its steps are comments, the last one has the agent's summary, and the task has its pull request."""
    id_ = await setting.add(description="With two themes")
    await setting.do(await setting.bot())
    task, (opened,) = await show(setting.api, id_), setting.lab.pull_requests
    assert await setting.said(id_) == [*STEPS, "Added a theme"]
    assert (task["status"], task["bot_name"], task["pr_branch"]) == ("review", "Bot-John", opened.head)
    assert task["pr_url"] == "https://github.com/octocat/hello-world/pull/1"
    assert (opened.title, opened.body) == ("Add a theme", "Added a theme")
    prompt = setting.lab.repository.read(opened.head, "prompt.txt").decode()
    assert prompt.startswith("# Add a theme\n\nWith two themes\n")


async def test_ten_bots_do_many_tasks_each_once(setting: Setting) -> None:
    """Each has one run of the agent, one commit, one pull request, and is in review."""
    ids = [await setting.add(title=f"Theme {number}") for number in range(12)]
    bots = [await setting.bot(name=f"Bot-{number}") for number in range(10)]
    await setting.run(*bots, until=lambda: setting.has("review", len(ids)))
    lab = setting.lab
    assert sorted(opened.title for opened in lab.pull_requests) == sorted(f"Theme {n}" for n in range(12))
    assert [len(lab.repository.log(opened.head)) for opened in lab.pull_requests] == [2] * 12
    assert setting.runs == 12
    assert [await setting.said(id_) for id_ in ids] == [[*STEPS, "Added a theme"]] * 12


async def test_a_bot_that_is_killed_at_work_loses_nothing(setting: Setting) -> None:
    """Its claim runs out, and the next bot does the task."""
    id_ = await setting.add()
    process = await setting.process(HANGS)
    agent = Path(f"{setting.log}.pid")
    while not agent.exists() or not agent.read_text():  # noqa: ASYNC110 (a file)
        await asyncio.sleep(0.05)
    process.kill()
    await process.communicate()
    os.kill(int(agent.read_text()), signal.SIGKILL)  # in a container it ends with its bot
    other = await setting.bot(name="Bot-Gordon")
    assert await other.board.claim("Bot-Gordon", "default") is None
    setting.clock.now += LEASE
    await setting.do(other)
    (opened,) = setting.lab.pull_requests
    assert (await show(setting.api, id_))["status"] == "review"
    assert "Bot-John was not heard of any more" in await setting.said(id_)
    assert "half.txt" not in setting.lab.repository.files(opened.head)


async def test_a_bot_that_is_killed_before_its_report_did_nothing_in_vain(setting: Setting) -> None:
    """All was pushed: the next bot runs no agent, commits nothing, and reports the same pull request."""
    id_ = await setting.add()
    process = await setting.process(WRITES)

    async def kill() -> None:
        process.kill()
        await process.wait()
        setting.gate.shut = True

    setting.gate.on_end = kill
    await process.communicate()
    setting.gate.on_end, setting.gate.shut = None, False
    assert (await show(setting.api, id_))["status"] == "in_progress"
    before = setting.lab.repository.branches()
    setting.clock.now += LEASE
    await setting.do(await setting.bot(name="Bot-Gordon"))
    (opened,) = setting.lab.pull_requests
    assert setting.lab.repository.branches() == before
    assert (setting.runs, len(setting.lab.repository.log(opened.head))) == (1, 2)
    assert (await show(setting.api, id_))["pr_url"].endswith("/pull/1")
    assert (await setting.said(id_))[-1] == "Added a theme"


async def test_an_agent_that_dies_leaves_its_work_to_the_next(setting: Setting) -> None:
    """The comment says in which session it is; after a rest another bot goes on from there."""
    id_ = await setting.add()
    await setting.do(await setting.bot("echo half >half.txt; echo crashed; kill -9 $$"))
    assert (await setting.said(id_))[-1] == f"code: crashed; what the agent did is in the session {id_}"
    assert (await show(setting.api, id_))["status"] == "todo"
    setting.clock.now += LEASE
    await setting.do(await setting.bot())
    (opened,) = setting.lab.pull_requests
    assert {"half.txt", "hello/theme.py"} <= set(setting.lab.repository.files(opened.head))
    assert (await show(setting.api, id_))["status"] == "review"


async def test_what_cannot_be_pushed_is_pushed_later(setting: Setting) -> None:
    """Refused three times it is blocked, and its work kept; put back, it is pushed by no second agent."""
    id_ = await setting.add()
    setting.lab.repository.reject_pushes("the office is closed")
    bot = await setting.bot()
    for expected in ("todo", "todo", "blocked"):
        await setting.do(bot)
        assert (await show(setting.api, id_))["status"] == expected
        assert "the office is closed" in (await show(setting.api, id_))["comments"][-1]["content"]
        setting.clock.now += LEASE
    setting.lab.repository.accept_pushes()
    await setting.api.patch(f"/tasks/{id_}", json={"status": "todo"})
    await setting.do(bot)
    (opened,) = setting.lab.pull_requests
    assert (setting.runs, len(setting.lab.repository.log(opened.head))) == (1, 2)
    assert (await show(setting.api, id_))["status"] == "review"


async def test_a_bot_waits_for_a_board_that_is_not_there(setting: Setting) -> None:
    """It asks again until the board is back, and then takes its task."""
    await setting.add()
    setting.gate.shut = True

    async def is_done() -> bool:
        if setting.gate.asked.count("claim") == 3:
            setting.gate.shut = False
        return not setting.gate.shut and await setting.has("review")

    await setting.run(await setting.bot(), until=is_done)


async def test_a_board_that_goes_away_at_work_hears_of_it_all_the_same(setting: Setting) -> None:
    """The bot works on meanwhile; what it had to say comes once, and in its order."""
    id_ = await setting.add()

    async def go_away() -> None:
        setting.gate.shut = not setting.gate.shut and setting.gate.asked.count("end") == 1

    setting.gate.on_end = go_away
    setting.gate.lost = {"end"}
    bot = await setting.bot()
    claim = await bot.board.claim(bot.name, bot.workspace)
    assert claim is not None
    setting.gate.lost |= {claim.claim}  # the answer to its first word
    await bot.work(claim)
    assert setting.gate.asked.count("end") == 3
    assert await setting.said(id_) == [*STEPS, "Added a theme"]
    assert (await show(setting.api, id_))["status"] == "review"


async def test_a_bot_that_has_lost_its_task_ends_its_agent(setting: Setting) -> None:
    """A person took it away: the agent is ended, and nothing is pushed or said."""
    id_ = await setting.add()
    bot = await setting.bot(HANGS)
    working = asyncio.create_task(setting.do(bot))
    agent = Path(f"{setting.log}.pid")
    while not agent.exists() or not agent.read_text():  # noqa: ASYNC110 (a file)
        await asyncio.sleep(0.05)
    await setting.api.patch(f"/tasks/{id_}", json={"status": "backlog"})
    await working
    assert not Path(f"/proc/{agent.read_text().strip()}").exists()
    assert setting.lab.pull_requests == []
    assert (await show(setting.api, id_))["status"] == "backlog"


async def test_a_claim_is_renewed_as_long_as_the_agent_works(setting: Setting) -> None:
    """Nobody else gets the task meanwhile."""
    await setting.add()
    other = await setting.bot(name="Bot-Gordon")
    working = asyncio.create_task(setting.do(await setting.bot(f"touch {setting.log}.on; {HANGS}")))
    while not Path(f"{setting.log}.on").exists():  # noqa: ASYNC110 (a file)
        await asyncio.sleep(0.05)
    for _ in range(3):
        said = len(setting.gate.asked)
        while len(setting.gate.asked) < said + 2:  # noqa: ASYNC110 (a list)
            await asyncio.sleep(0.05)
        setting.clock.now += LEASE * 0.9
        assert await other.board.claim("Bot-Gordon", "default") is None
    working.cancel()
    await asyncio.wait([working])


async def test_a_task_that_comes_back_from_review_gets_another_commit(setting: Setting) -> None:
    """A person asked for more: the agent is told, and its second commit is in the same pull request."""
    id_ = await setting.add()
    await setting.do(await setting.bot())
    await setting.api.post(f"/tasks/{id_}/comments", json={"content": "Make it darker"})
    await setting.api.patch(f"/tasks/{id_}", json={"status": "todo"})
    await setting.do(await setting.bot("cat >prompt.txt; echo 'x = 2' >hello/theme.py; echo Darker"))
    (opened,) = setting.lab.pull_requests
    assert len(setting.lab.repository.log(opened.head)) == 3
    assert b"- Make it darker" in setting.lab.repository.read(opened.head, "prompt.txt")
    assert (opened.body, (await show(setting.api, id_))["status"]) == ("Darker", "review")


async def test_a_task_that_needs_no_change_is_reviewed_without_a_pull_request(setting: Setting) -> None:
    """The comment says so."""
    id_ = await setting.add()
    await setting.do(await setting.bot("echo It is there already"))
    task = await show(setting.api, id_)
    assert (task["status"], task["pr_url"], setting.lab.pull_requests) == ("review", None, [])
    assert task["comments"][-1]["content"] == "It is there already\n\nNothing had to be changed."


async def test_no_token_comes_to_the_board(setting: Setting) -> None:
    """An agent that came by one cannot tell it, and its environment has none."""
    id_ = await setting.add()
    await setting.do(await setting.bot(f"env >env.txt; echo {setting.lab.token} {KEY}"))
    (opened,) = setting.lab.pull_requests
    assert setting.lab.token not in str(await show(setting.api, id_))
    assert KEY not in str(await show(setting.api, id_))
    assert b"TOKEN" not in setting.lab.repository.read(opened.head, "env.txt")


async def test_a_bot_that_is_told_to_stop_finishes_its_task(setting: Setting) -> None:
    """After SIGTERM its task comes into review, the next one is left to others, and it ends well."""
    await setting.add()
    await setting.add()
    process = await setting.process(f"{WRITES}; kill -TERM $PPID")
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    assert await setting.has("review")
    assert await setting.has("todo")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"TASKINFA_API_KEY": "tk_nobodys"}, "401"),
        ({"WORKSPACE_ID": "other"}, "the API key is not of the workspace other"),
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN must be set"),
    ],
)
async def test_a_bot_that_is_not_configured_says_so_and_ends(
    setting: Setting, env: dict[str, str], words: str
) -> None:
    """It does not ask on for ever with a key that is refused; its task is left to others."""
    await setting.add()
    process = await setting.process(WRITES, **env)
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert words in output.decode()
    assert await setting.has("todo")


async def _unavailable(send: Callable[[Message], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": []})
    await send({"type": "http.response.body", "body": b""})
