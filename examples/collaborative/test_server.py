"""People who edit at once: nothing that anybody wrote is lost, in the windows, the session or the commits."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from examples.collaborative.document import Edit, difference, transform
from examples.collaborative.server import Collaboration
from examples.lab import Lab
from examples.serving import serving
from github_worker_client import GitHubWorker, SessionInitialised
from github_worker_client.sessions import SessionStore

PEOPLE = {"ada-token": "ada", "grace-token": "grace"}
SESSION, FILE = "session-1", "README.md"


class Window:
    """A window as page.js is one: it shows `text`, and sends one edit at a time."""

    def __init__(self, socket: ClientConnection, name: str) -> None:
        self.socket, self.name = socket, name
        self.text = self.base = ""
        self.version = self.count = 0
        self.sent: list[Edit] | None = None
        self.mine = False
        self.heard: list[dict[str, Any]] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str, path: str = FILE) -> AsyncIterator[Self]:
        """Open a file in a window of its own."""
        async with connect(f"{url.replace('http', 'ws')}/ws/{SESSION}", proxy=None) as socket:
            window = cls(socket, token)
            await window.send(type="hello", token=token, window=token)
            await window.send(type="open", path=path)
            reading = asyncio.create_task(window._read())
            try:
                await window.hear("file")
                yield window
            finally:
                reading.cancel()

    async def send(self, **message: Any) -> None:
        """Send a message."""
        await self.socket.send(json.dumps(message))

    async def hear(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait until so many messages of a kind have come, and return the last one."""
        async with asyncio.timeout(60):
            while len(found := [told for told in self.heard if told["type"] == kind]) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found[-1]

    async def write(self, text: str) -> None:
        """Make the window's text this one, as a person who types does."""
        self.text = text
        await self._offer()

    async def settle(self) -> None:
        """Wait until all that was written is in the server's document."""
        async with asyncio.timeout(60):
            while self.sent or self.base != self.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _offer(self) -> None:
        if self.sent or self.base == self.text:
            return
        edit = difference(self.base, self.text)
        self.sent, self.count = [edit], self.count + 1
        place = {"position": edit.position, "removed": edit.removed, "text": edit.text}
        await self.send(type="edit", path=FILE, number=self.count, version=self.version, **place)

    async def _read(self) -> None:
        async for text in self.socket:
            told = json.loads(text)
            self.heard.append(told)
            if told["type"] == "file":
                self.base = self.text = told["text"]
                self.version = told["version"]
            elif told["type"] == "taken":
                self.mine = True
            elif told["type"] == "edit":
                self._take(told)
                await self._offer()

    def _take(self, told: dict[str, Any]) -> None:
        edit = Edit(told["position"], told["removed"], told["text"])
        self.version = told["version"]
        if self.mine:
            self.base = edit.apply(self.base)
            if told["last"]:
                self.sent, self.mine = None, False
            return
        local = [difference(self.base, self.text)] if self.base != self.text else []
        later, _ = transform(local, [edit])
        self.sent = self.sent and transform(self.sent, [edit])[0]
        self.text = self.base = edit.apply(self.base)
        for each in later:
            self.text = each.apply(self.text)


@asynccontextmanager
async def collaborating(lab: Lab, cooldown: float = 0.2) -> AsyncIterator[tuple[str, SessionInitialised]]:
    """Yield the URL of a server, and the session that people edit."""
    async with GitHubWorker(lab.worker_url, token=lab.worker_token) as worker:
        started = await worker.init_session(
            session_id=SESSION, repo_url=lab.repo_url, user_request="Greet", access_token=lab.token
        )
        store = SessionStore(lab.store_url)
        collaboration = Collaboration(
            worker, store, PEOPLE, lab.token, cooldown=cooldown, max_wait=1 + cooldown
        )
        async with serving(collaboration.application()) as url:
            yield url, started


async def test_two_people_and_commits_at_once_lose_nothing(lab: Lab) -> None:
    """Both write words all over a text while it is saved and committed: the last commit has them all."""
    rng = random.Random(7)  # noqa: S311
    words: list[str] = []
    async with (
        collaborating(lab) as (url, started),
        Window.open(url, "ada-token") as ada,
        Window.open(url, "grace-token") as grace,
    ):
        for number in range(60):
            window = rng.choice([ada, grace])
            words.append(f"<{window.name}-{number}>")
            place = rng.choice([n for n in range(len(window.text) + 1) if _is_between(window.text, n)])
            await window.write(window.text[:place] + words[-1] + window.text[place:])
            await asyncio.sleep(rng.random() * 0.1)
        await asyncio.gather(ada.settle(), grace.settle())
        assert ada.text == grace.text
    text = lab.repository.read(started.branch_name, FILE).decode()
    assert text == ada.text
    assert [word for word in words if word not in text] == []
    assert len(lab.repository.log(started.branch_name)) > 2


def _is_between(text: str, place: int) -> bool:
    return text[:place].count("<") == text[:place].count(">")


async def test_what_an_agent_writes_meanwhile_is_taken_in(lab: Lab) -> None:
    """The session is saved by somebody else while it is edited: both are in the windows and in the commit."""
    async with collaborating(lab, cooldown=3) as (url, started), Window.open(url, "ada-token") as ada:
        await ada.write("Ada begins.\n" + ada.text)
        async with SessionStore(lab.store_url).checkout(SESSION) as session:
            with (session.repository / FILE).open("a") as file:
                file.write("The agent ends.\n")
            (session.repository / "agent.txt").write_text("mine\n")
        await ada.write(ada.text.replace("greets", "greets everybody"))
        await ada.hear("committed")
        await ada.settle()
        assert ada.text.startswith("Ada begins.\n")
        assert ada.text.endswith("greets everybody.\nThe agent ends.\n")
    assert lab.repository.read(started.branch_name, FILE).decode() == ada.text
    assert lab.repository.read(started.branch_name, "agent.txt") == b"mine\n"


async def test_a_commit_is_in_the_name_of_who_edited_last(lab: Lab) -> None:
    """The trailer names that person, and everybody is told."""
    async with (
        collaborating(lab, cooldown=1) as (url, _),
        Window.open(url, "ada-token") as ada,
        Window.open(url, "grace-token") as grace,
    ):
        await ada.write("a" + ada.text)
        await grace.hear("edit")
        await grace.write("b" + grace.text)
        assert "Committed-by: grace" in (await ada.hear("committed"))["message"]


async def test_a_server_that_is_told_to_end_commits_first(lab: Lab) -> None:
    """What was edited a moment ago is pushed when the server has ended."""
    async with collaborating(lab, cooldown=1000) as (url, started), Window.open(url, "ada-token") as ada:
        await ada.write("last words\n")
        await ada.settle()
    assert lab.repository.read(started.branch_name, FILE) == b"last words\n"


async def test_a_push_that_is_refused_is_told_and_the_next_one_has_it(lab: Lab) -> None:
    """The reason is shown; with the next edit both are pushed."""
    async with collaborating(lab) as (url, started), Window.open(url, "ada-token") as ada:
        lab.repository.reject_pushes("the office is closed")
        await ada.write("one\n")
        assert "the office is closed" in (await ada.hear("committed"))["problem"]
        lab.repository.accept_pushes()
        await ada.write("one\ntwo\n")
        assert (await ada.hear("committed", 2))["problem"] is None
    assert lab.repository.read(started.branch_name, FILE) == b"one\ntwo\n"
    assert len(lab.repository.log(started.branch_name)) == 3


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", ".git/config", "hello/../.git/config", "a//b", ".GIT/config", "link", "data.bin"],
)
async def test_a_path_that_is_no_text_file_of_the_repository_is_refused(lab: Lab, path: str) -> None:
    """Neither git's own files nor what a link leads to is opened."""
    async with collaborating(lab) as (url, _):
        async with SessionStore(lab.store_url).checkout(SESSION) as session:
            (session.repository / "link").symlink_to("/etc/hostname")
            (session.repository / "data.bin").write_bytes(b"\x00\xff")
        async with connect(f"{url.replace('http', 'ws')}/ws/{SESSION}", proxy=None) as socket:
            await socket.send(json.dumps({"type": "hello", "token": "ada-token", "window": "w"}))
            await socket.send(json.dumps({"type": "open", "path": path}))
            told = [json.loads(await socket.recv()) for _ in range(2)]
        assert told[1]["type"] == "refused"


async def test_who_has_no_token_is_nobody(lab: Lab) -> None:
    """The window is closed before anything is told."""
    async with (
        collaborating(lab) as (url, _),
        connect(f"{url.replace('http', 'ws')}/ws/{SESSION}", proxy=None) as socket,
    ):
        await socket.send(json.dumps({"type": "hello", "token": "wrong", "window": "w"}))
        with pytest.raises(ConnectionClosed, match="nobody"):
            await socket.recv()


async def test_lines_keep_their_ends(lab: Lab) -> None:
    """A file with Windows' line ends is edited without them and saved with them."""
    lab.repository.commit({FILE: "one\r\ntwo\r\n"}, "Use Windows")
    async with collaborating(lab) as (url, started), Window.open(url, "ada-token") as ada:
        assert ada.text == "one\ntwo\n"
        await ada.write("one\nand\ntwo\n")
        await ada.hear("committed")
    assert lab.repository.read(started.branch_name, FILE) == b"one\r\nand\r\ntwo\r\n"


@pytest.mark.skipif(
    shutil.which("chromium") is None, reason="scripts/test-examples installs chromium where it may"
)
async def test_two_browsers_edit_one_file(lab: Lab) -> None:
    """Both type at once, and one loses its connection: both show the same, which is committed."""
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415

    async with collaborating(lab, cooldown=0.5) as (url, started), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
        pages = [await (await browser.new_context()).new_page() for _ in PEOPLE]
        for page, token in zip(pages, PEOPLE, strict=True):
            await page.goto(f"{url}/sessions/{SESSION}#{token}")
            await page.get_by_role("button", name=FILE).click()
            await expect(page.locator("#text")).to_be_enabled()
        ada, grace = pages
        await ada.locator("#text").press("Control+Home")
        await grace.locator("#text").press("Control+End")
        await asyncio.gather(
            ada.keyboard.type("ada was here. ", delay=20), grace.keyboard.type("grace was here.\n", delay=20)
        )
        await grace.evaluate("socket.close()")
        await grace.keyboard.type("And stayed.\n", delay=20)
        everything = "ada was here. # Hello\n\nA page that greets.\ngrace was here.\nAnd stayed.\n"
        for page in pages:
            await expect(page.locator("#text")).to_have_value(everything, timeout=60_000)
            await expect(page.locator("#state")).to_contain_text("committed", timeout=60_000)
        await browser.close()
    assert lab.repository.read(started.branch_name, FILE).decode() == everything
