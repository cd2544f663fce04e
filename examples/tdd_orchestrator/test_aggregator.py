"""Several projects: each announces itself, and one server shows them all and leads to each."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from examples.serving import serving
from examples.tdd_orchestrator import aggregator, api
from examples.tdd_orchestrator.registry import Registry
from examples.tdd_orchestrator.store import Store

RUN = {"id": "run-1", "document": "Greetings", "context": "", "repo_url": "https://x/y/z", "propose": 1}
TASKS = [{"key": "ada", "title": "Greet Ada", "description": "Say hello", "phase": 0}]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Return a registry without projects."""
    return Registry(tmp_path / "home" / "registry.db")


@asynccontextmanager
async def project(registry: Registry, folder: Path, name: str, key: str | None = None) -> AsyncIterator[str]:
    """Yield the URL of a project's orchestrator, which announces itself."""
    folder.mkdir(exist_ok=True)
    async with (
        serving(api.application(folder / "tdd.db", name=name, key=key), timeout_graceful_shutdown=1) as url,
        registry.announcing(name=name, path=folder, url=url),
    ):
        yield url


@asynccontextmanager
async def aggregating(registry: Registry, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the aggregator."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        serving(aggregator.application(registry, key), timeout_graceful_shutdown=1) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, headers=headers) as client,
    ):
        yield client


async def projects(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Return what the aggregator shows, by id."""
    return {each["id"]: each for each in (await client.get("/projects")).json()["projects"]}


async def test_projects_are_shown_as_they_are(registry: Registry, tmp_path: Path) -> None:
    """One that runs has its newest run; one that ended in order is stopped, one that was killed is down."""
    async with aggregating(registry) as client, project(registry, tmp_path / "a", "reader"):
        async with Store.open(tmp_path / "a" / "tdd.db") as store:
            await store.begin(RUN, TASKS)
        async with project(registry, tmp_path / "b", "writer"):
            assert (await projects(client))["writer"]["status"] == "running"
        (tmp_path / "c").mkdir()
        await registry.announce("killed", tmp_path / "c", "http://127.0.0.1:1", "running")
        shown = await projects(client)
    assert {id_: each["status"] for id_, each in shown.items()} == {
        **{"reader": "running", "writer": "stopped", "killed": "down"}
    }
    assert shown["reader"]["run"]["tasks"] == {"total": 1, "complete": 0, "blocked": 0}
    assert shown["reader"]["health"]["status"] == "healthy"


async def test_another_project_on_the_port_of_a_dead_one_is_not_taken_for_it(
    registry: Registry, tmp_path: Path
) -> None:
    """Who was killed left its address in the registry; who has the port now is another."""
    (tmp_path / "dead").mkdir()
    async with aggregating(registry) as client, project(registry, tmp_path / "a", "alive") as url:
        await registry.announce("dead", tmp_path / "dead", url, "running")
        assert (await projects(client))["dead"]["status"] == "down"
        await registry.announce("alive", tmp_path / "a", url, "running")
        shown = await projects(client)
    assert {id_: each["status"] for id_, each in shown.items()} == {"alive": "running", "dead": "stopped"}


async def test_two_projects_of_one_name_have_addresses_of_their_own(
    registry: Registry, tmp_path: Path
) -> None:
    """The second gets a number, which it keeps; one whose folder is gone is forgotten."""
    async with aggregating(registry) as client:
        async with project(registry, tmp_path / "a", "my app"), project(registry, tmp_path / "b", "my app"):
            first = await projects(client)
            assert first.keys() == {"my-app", "my-app-2"}
        shutil.rmtree(tmp_path / "a")
        async with project(registry, tmp_path / "b", "my app"):
            assert (await projects(client)).keys() == {"my-app-2"}


async def test_a_project_is_reached_through_the_aggregator(registry: Registry, tmp_path: Path) -> None:
    """Its page, its answers, its refusals and its events are its own; what it does not answer is said."""
    async with aggregating(registry) as client:
        async with project(registry, tmp_path / "a", "reader"):
            async with Store.open(tmp_path / "a" / "tdd.db") as store:
                await store.begin(RUN, TASKS)
                await store.set_task("ada", status="blocked")
            page = await client.get("/projects/reader/")
            assert "default-src 'self'" in page.headers["content-security-policy"]
            assert "script.js" in page.text
            for status, keys in (("blocked", ["ada"]), ("complete", [])):
                asked: dict[str, str | int] = {"status": status, "phase": 0}
                listed = (await client.get("/projects/reader/tasks", params=asked)).json()["tasks"]
                assert [task["key"] for task in listed] == keys
            assert (await client.post("/projects/reader/tasks/ada/retry")).json()["status"] == "pending"
            assert (await client.post("/projects/reader/tasks/ada/retry")).status_code == 409
            async with aconnect_sse(client, "GET", "/projects/reader/events") as stream:
                assert (await anext(stream.aiter_sse())).event == "snapshot"
        down = await client.get("/projects/reader/tasks")
        assert (down.status_code, down.json()["error"]["code"]) == (502, "project_down")
        assert (await client.get("/projects/nobody/tasks")).status_code == 404


async def test_the_key_opens_everything_but_the_page(registry: Registry, tmp_path: Path) -> None:
    """Nothing of a project is told without it; a project with another key is locked."""
    async with (
        aggregating(registry, "k") as client,
        project(registry, tmp_path / "a", "same", "k"),
        project(registry, tmp_path / "b", "other", "o"),
    ):
        shown = await projects(client)
        assert {id_: each["status"] for id_, each in shown.items()} == {"same": "running", "other": "locked"}
        assert (await client.get("/projects/same/runs")).is_success
        nobody = {"Authorization": ""}
        for path in ("/projects", "/events", "/projects/same/runs", "/projects/same/tasks/health"):
            assert (await client.get(path, headers=nobody)).status_code == 401, path
        for path in ("/", "/script.js", "/health", "/projects/same/", "/projects/same/style.css"):
            assert (await client.get(path, headers=nobody)).is_success, path


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
async def test_without_a_key_no_other_site_gets_in(registry: Registry, headers: dict[str, str]) -> None:
    """A browser that is on another site neither reads nor does anything here."""
    async with aggregating(registry) as client:
        assert (await client.get("/projects")).is_success
        assert (await client.post("/projects/x/circuits/system/reset", headers=headers)).status_code == 403
        assert (await client.get("/projects", headers=headers)).status_code == 403


async def test_many_announce_themselves_at_once(registry: Registry, tmp_path: Path) -> None:
    """Nobody is lost, whoever writes first."""
    folders = [tmp_path / f"p{number}" for number in range(10)]
    for folder in folders:
        folder.mkdir()
    announced = (registry.announce("same", folder, f"http://{folder.name}", "running") for folder in folders)
    await asyncio.gather(*announced)
    assert len({project.id for project in await registry.projects()}) == 10


@pytest.mark.skipif(
    shutil.which("chromium") is None, reason="scripts/test-examples installs chromium where it may"
)
async def test_the_page_shows_all_projects_and_leads_to_each(registry: Registry, tmp_path: Path) -> None:
    """From the overview to a project and back; one that goes down meanwhile is shown so."""
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415

    expect.set_options(timeout=30_000)
    async with AsyncExitStack() as lasting, async_playwright() as playwright:
        client = await lasting.enter_async_context(aggregating(registry))
        await lasting.enter_async_context(project(registry, tmp_path / "a", "reader"))
        async with Store.open(tmp_path / "a" / "tdd.db") as store:
            await store.begin(RUN, TASKS)
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = await browser.new_page()
        async with project(registry, tmp_path / "b", "writer"):
            await page.goto(str(client.base_url))
            await expect(page.locator("#projects .chip")).to_have_text(["running", "idle"])
            await expect(page.get_by_role("img", name="0 of 1 task complete")).to_be_visible()
        await expect(page.locator("#projects .chip")).to_have_text(["running", "stopped"])
        await page.get_by_role("link", name="reader").click()
        await expect(page.get_by_role("heading", name="Greetings")).to_be_visible()
        await expect(page.get_by_label("Project")).to_have_value("../reader/")
        await page.get_by_label("Project").select_option("All projects")
        await expect(page.get_by_role("heading", name="Projects")).to_be_visible()
        await browser.close()
