"""The page in a real browser: a run up to its pull request, while its server comes and goes."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from examples.serving import serving
from examples.tdd_orchestrator.api import application
from examples.tdd_orchestrator.store import Store

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="scripts/test-examples installs chromium where it may"
)
expect.set_options(timeout=30_000)
RUN = {"id": "run-1", "document": "Greetings", "context": "", "repo_url": "https://x/y/z", "propose": 1}
TASKS = [
    {"key": "ada", "title": "Greet Ada", "description": "Say hello to <b>Ada</b>", "phase": 0},
    {"key": "bob", "title": "Greet Bob", "description": "Say hello to Bob", "phase": 1},
]
LINK = "https://x/y/z/pull/7"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Yield the store of an orchestrator that has done nothing yet."""
    async with Store.open(tmp_path / "tdd.db") as store:
        yield store


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Yield a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        await browser.close()


@asynccontextmanager
async def window(
    browser: Browser, *, allowed: tuple[str, ...] = (), **options: object
) -> AsyncIterator[Page]:
    """Yield a window in which no script fails, and nothing is complained of but what is `allowed`."""
    page = await (await browser.new_context(**options)).new_page()  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
    yield page
    assert [told for told in complaints if not any(part in told for part in allowed)] == []
    await page.context.close()


@asynccontextmanager
async def server(folder: Path, port: int = 0, key: str | None = None) -> AsyncIterator[str]:
    """Serve the store of a folder."""
    app = application(folder / "tdd.db", name="greeter", key=key)
    async with serving(app, port, timeout_graceful_shutdown=1) as url:
        yield url


async def test_a_run_is_watched_to_its_pull_request(browser: Browser, store: Store, tmp_path: Path) -> None:
    """Each task moves over the board as it is worked on, and the link is there at the end."""
    async with server(tmp_path) as url, window(browser) as page:
        await page.goto(url)
        await expect(page.get_by_role("heading", name="No document has been run yet")).to_be_visible()
        await expect(page.get_by_text("No worker has reported yet.")).to_be_visible()
        await expect(page.get_by_role("status")).to_have_text("live")
        await store.begin(RUN, TASKS)
        pending, working, passing, complete, blocked = (
            page.locator(f"#board [data-status={status}]")
            for status in ("pending", "in_progress", "passing", "complete", "blocked")
        )
        await expect(page.get_by_role("heading", name="Greetings")).to_be_visible()
        await expect(pending.get_by_role("button")).to_have_text(["Greet Ada", "Greet Bob"])

        await store.set_worker("w1", status="working", task="ada", stage="red")
        await store.set_task("ada", status="in_progress", stage="red", worker="w1", attempts=1)
        await expect(working.get_by_role("button")).to_have_text("Greet Ada")
        await expect(working.locator(".stages li")).to_have_text(
            ["red: running", "green: ahead", "refactor: ahead"]
        )
        await expect(page.locator("#workers li")).to_contain_text("Greet Ada")
        await store.attempted("ada", "red", attempt=1, ok=1, exit_status=1, output="1 failed", seconds=1.5)
        await store.set_task("ada", status="passing", stage="refactor")
        await expect(passing.locator(".stages li")).to_have_text(
            ["red: done", "green: done", "refactor: running"]
        )
        await store.set_task("ada", status="complete", stage=None, worker=None)
        await store.set_task("bob", status="blocked", stage="red", worker=None, error="no test failed")
        await expect(complete.get_by_role("button")).to_have_text("Greet Ada")
        await expect(page.get_by_role("log")).to_have_text("Greet Bob: blocked")
        await expect(blocked.locator(".error")).to_have_text("no test failed")
        await expect(page.locator("#metrics")).to_contain_text("1 of 1 attempt, 1.5 s each")

        await blocked.get_by_role("button", name="Try again").click()
        await expect(pending.get_by_role("button")).to_have_text("Greet Bob")
        await store.set_task("bob", status="complete")
        await store.set_run("run-1", status="completed", number=7, url=LINK)
        await expect(page.get_by_role("link", name="Pull request #7")).to_have_attribute("href", LINK)
        await expect(page).to_have_title("2/2 Greetings")


async def test_a_circuit_is_reset_by_a_click(browser: Browser, store: Store, tmp_path: Path) -> None:
    """It is shown at its level, and closed in the store when the page shows it closed."""
    for id_ in ("system", "worker:w10", "worker:w2", "stage:green", "stage:red"):
        await store.set_circuit(id_, state="closed")
    async with server(tmp_path) as url, window(browser) as page:
        await page.goto(url)
        await expect(page.locator("#circuits .level")).to_have_text(["System", "Workers", "Stages"])
        names = ["all work", "w2", "w10", "red", "green"]
        await expect(page.locator("#circuits strong")).to_have_text(names)
        await expect(page.get_by_role("button", name="Reset")).to_have_count(0)
        await store.set_circuit("stage:red", state="open", failures=5, retry_at="2999-01-01T00:00:00Z")
        await expect(page.locator("#circuits li", has_text="5 failures, tries again in")).to_be_visible()
        await page.get_by_role("button", name="Reset stage:red").click()
        await expect(page.locator("#circuits .chip")).to_have_text(["closed"] * 5)
    assert {circuit["state"] for circuit in await store.circuits()} == {"closed"}


async def test_a_server_that_was_away_is_found_again(browser: Browser, store: Store, tmp_path: Path) -> None:
    """The page says so; once it is back, what happened meanwhile is shown, and what happens from then on."""
    await store.begin(RUN, TASKS)
    async with window(browser, allowed=("ERR_",)) as page:
        async with server(tmp_path) as url:
            await page.goto(url)
            await expect(page.get_by_role("status")).to_have_text("live")
        await expect(page.get_by_role("status")).to_have_text("reconnecting")
        await store.set_task("ada", status="complete")
        await store.set_circuit("stage:red", state="open", failures=3)
        async with server(tmp_path, urlsplit(url).port or 0):
            await expect(page.get_by_role("status")).to_have_text("live")
            await expect(page.locator("#board [data-status=complete] li.card")).to_have_count(1)
            await page.get_by_role("button", name="Reset stage:red").click()
            await expect(page.locator("#circuits .chip")).to_have_text("closed")
            await store.set_run("run-1", status="completed", number=7, url=LINK)
            await expect(page.get_by_role("link", name="Pull request #7")).to_be_visible()


@pytest.mark.usefixtures("store")
async def test_a_connection_that_has_gone_silent_is_given_up(browser: Browser, tmp_path: Path) -> None:
    """When not even a ping has come for long, as after a laptop's sleep, the page connects again."""
    async with server(tmp_path) as url, window(browser) as page:
        await page.clock.install()
        await page.goto(url)
        await expect(page.get_by_role("status")).to_have_text("live")
        await page.clock.pause_at(time.time() + 3600)  # its time limit has passed, nothing of the server's
        await expect(page.get_by_role("status")).to_have_text("reconnecting")
        await page.clock.resume()
        await expect(page.get_by_role("status")).to_have_text("live")


async def test_it_is_used_by_keyboard(browser: Browser, store: Store, tmp_path: Path) -> None:
    """Enter opens a task's history, Escape closes it; the focus goes with a task, other cards stay."""
    await store.begin(RUN, TASKS)
    await store.attempted(
        "bob", "green", attempt=1, ok=0, exit_status=1, output="<i>1 failed</i>", seconds=1.5
    )
    async with server(tmp_path) as url, window(browser) as page:
        await page.goto(url)
        await expect(page.get_by_role("button", name="Greet Bob")).to_be_visible()
        for _ in range(2):
            await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Greet Bob")).to_be_focused()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Greet Bob")
        await expect(dialog).to_contain_text("Green attempt 1 fails, exit status 1, 1.5 s", ignore_case=True)
        await dialog.locator("summary").press("Enter")
        await expect(dialog.get_by_text("<i>1 failed</i>")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await page.locator("li.card", has_text="Ada").evaluate("card => { card.title = 'the same'; }")
        await store.set_task("bob", status="in_progress", stage="green")
        moved = page.locator("#board [data-status=in_progress]").get_by_role("button", name="Greet Bob")
        await expect(moved).to_be_focused()
        await expect(page.locator("li.card", has_text="Ada")).to_have_attribute("title", "the same")


async def test_the_key_is_asked_for_once(browser: Browser, store: Store, tmp_path: Path) -> None:
    """A wrong one is asked for again; the right one is kept for the tab, and is not in the address."""
    async with server(tmp_path, key="s3cret") as url, window(browser, allowed=("401",)) as page:
        await page.goto(url)
        await expect(page.get_by_role("status", include_hidden=True)).to_have_text("locked")
        await page.get_by_label("TDD_API_KEY").fill("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("That was not it.")).to_be_visible()
        await page.get_by_label("TDD_API_KEY").fill("s3cret")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_have_text("live")
        await page.reload()
        await expect(page.get_by_role("status")).to_have_text("live")
        assert "s3cret" not in page.url


@pytest.mark.parametrize("width", [390, 1400])
async def test_it_fits(browser: Browser, store: Store, tmp_path: Path, width: int) -> None:
    """Whatever is told, nothing is wider than the window."""
    long = "x" * 200
    await store.begin(RUN | {"document": long, "repo_url": f"https://{long}"}, [TASKS[0] | {"title": long}])
    await store.set_task("ada", status="blocked", stage="red", error=long)
    await store.set_worker("w1", status="working", task="ada", stage="red")
    await store.set_circuit("stage:red", state="open", failures=5, retry_at="2999-01-01T00:00:00Z")
    async with (
        server(tmp_path) as url,
        window(browser, viewport={"width": width, "height": 800}) as page,
    ):
        await page.goto(url)
        await expect(page.locator("li.card")).to_have_count(1)
        assert await page.evaluate("document.documentElement.scrollWidth") == width
