"""A real run that is watched in a real browser, by the command line's processes; their worker is a script."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from playwright.async_api import async_playwright, expect

from examples.lab import Lab

ROOT = Path(__file__).parents[2]
DOCUMENT = """\
---
title: Greetings
---
Words for all.

## Greet Ada

She comes in.

## Greet Bob

So does he.
"""
CONFIG = """\
[project]
name = "greeter"
language = "python"
source_root = "hello"
test_root = "tests"

[tdd]
test_command = "{python} -m pytest -q -p no:cacheprovider"
worker = "command"
command = ["{python}", "{agent}", "{gate}"]
max_workers = 1
failures = 1
pause = 3600
"""
AGENT = '''\
"""Does what is asked; in the folder of the gate a file can let it wait or fail once."""

import pathlib, re, sys, time

stage, name = re.match(r"(\\w+): Greet (\\w+)", sys.stdin.read()).groups()
gate = pathlib.Path(sys.argv[1])
end = time.monotonic() + 120
while (gate / f"wait-{stage}-{name}").exists() and time.monotonic() < end:
    time.sleep(0.05)
if (gate / f"fail-{stage}-{name}").exists():
    (gate / f"fail-{stage}-{name}").unlink()
    sys.exit(1)
low = name.lower()
if stage == "RED":
    text = f"def test_{low}():\\n    from hello.{low} import words\\n\\n"
    text += f"    assert words() == 'Hello, {name}!'\\n"
    pathlib.Path(f"tests/test_{low}.py").write_text(text)
elif stage == "GREEN":
    pathlib.Path(f"hello/{low}.py").write_text(f"def words():\\n    return 'Hello, {name}!'\\n")
'''


def project(folder: Path) -> Path:
    """Make a project's settings and its document in a folder; return the gate of its worker."""
    gate = folder / ".tdd" / "gate"
    gate.mkdir(parents=True)
    (folder / "feature.md").write_text(DOCUMENT)
    (folder / ".tdd" / "agent.py").write_text(AGENT)
    settings = CONFIG.format(python=sys.executable, agent=folder / ".tdd" / "agent.py", gate=gate)
    (folder / ".tdd" / "config.toml").write_text(settings)
    return gate


def environment(lab: Lab, home: Path) -> dict[str, str]:
    """Return what the command line finds in the environment."""
    service = {"GITHUB_WORKER_URL": lab.worker_url, "GITHUB_WORKER_TOKEN": lab.worker_token}
    about = {"GITHUB_TOKEN": lab.token, "STORAGE_URL": lab.store_url, "HOME": str(home)}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **service, **about}


@asynccontextmanager
async def command(lab: Lab, folder: Path, *arguments: str) -> AsyncIterator[Process]:
    """Run a command in a project's folder; in the end it is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.tdd_orchestrator", *arguments),
        cwd=folder,
        env=environment(lab, folder),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(url: str) -> None:
    """Wait until a server is there."""
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while True:
            try:
                (await client.get(f"{url}/health")).raise_for_status()
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


@pytest.mark.skipif(
    shutil.which("chromium") is None, reason="scripts/test-examples installs chromium where it may"
)
async def test_a_run_is_watched_over_a_server_that_is_killed(lab: Lab, tmp_path: Path) -> None:
    """From the first task to the link: a circuit is reset by a click, and the server is killed."""
    folder = tmp_path / "greeter"
    gate = project(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, serve = f"http://127.0.0.1:{port}", ("serve", "--port", str(port))
    for name in ("wait-RED-Ada", "fail-RED-Ada", "wait-GREEN-Bob"):
        (gate / name).touch()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = await browser.new_page()
        column = {
            status: page.locator(f"#board [data-status={status}]") for status in ("in_progress", "complete")
        }
        async with command(lab, folder, *serve):
            await answers(url)
            await page.goto(url)
            await expect(page.get_by_text("No document has been run yet")).to_be_visible()
            async with command(
                lab, folder, "run-prd", "feature.md", "--repo", lab.repo_url, "--pr"
            ) as starting:
                card = column["in_progress"].get_by_role("button", name="Greet Ada")
                await expect(card).to_be_visible(timeout=60_000)
                await expect(page.locator("#workers li").first).to_contain_text("working")
                starting.send_signal(signal.SIGINT)  # its worker ends with it, and the server goes on
                await starting.wait()
            (gate / "wait-RED-Ada").unlink()
            reset = page.get_by_role("button", name="Reset stage:red")
            await expect(reset).to_be_visible(timeout=60_000)
            await expect(page.locator("#circuits li", has_text="red")).to_contain_text(
                "1 failure, tries again in"
            )
            await reset.click()
            await page.get_by_role("button", name="Reset worker:w1").click()
            await expect(column["complete"].get_by_role("button", name="Greet Ada")).to_be_visible(
                timeout=60_000
            )
            await expect(column["in_progress"].locator(".meta")).to_contain_text(
                "green by w1", timeout=60_000
            )
        await expect(page.get_by_role("status")).to_have_text("reconnecting")
        (gate / "wait-GREEN-Bob").unlink()
        async with command(lab, folder, *serve):
            await expect(page.get_by_role("status")).to_have_text("live", timeout=60_000)
            link = page.get_by_role("link", name="Pull request #")
            await expect(link).to_be_visible(timeout=60_000)
            await expect(column["complete"].locator("li.card")).to_have_count(2)
            (pull_request,) = lab.pull_requests
            await expect(link).to_have_text(f"Pull request #{pull_request.number} ↗")
        await browser.close()
    subjects = [commit.message.splitlines()[0] for commit in lab.repository.log(pull_request.head)]
    assert [subject for subject in reversed(subjects) if "Greet" in subject] == [
        *("RED: Greet Ada", "GREEN: Greet Ada", "RED: Greet Bob", "GREEN: Greet Bob")
    ]
