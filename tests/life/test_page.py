"""The page for a person who opens the service in a browser."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from github_worker import __version__
from github_worker.contract import REQUESTS
from tests.life.conftest import StartWorker
from tests.life.test_exit import running
from tests.support.worker import Worker

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HOSTILE = '<script>alert("1")</script><img src=//evil.example onerror=x>&amp;'


class Page(HTMLParser):
    """A page as a browser sees it: its tags and their attributes, its style, what is to be read on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str | None]] = {}
        self.style = self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value)

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if self.tags[-1:] == ["style"] and not self.style:
            self.style = data
        else:
            self.words += data


def open_page(worker: Worker) -> Page:
    """Open the worker in a browser."""
    answer = httpx.get(worker.base_url, headers=BROWSER, trust_env=False)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return Page(answer.text)


def test_a_browser_gets_a_page_about_the_worker(idle: Worker) -> None:
    """It says what it is and that it is idle, names every endpoint, and links to all that can be read."""
    page = open_page(idle)
    assert "idle: it waits for its job" in page.words
    assert __version__ in page.words
    assert [operation for operation in REQUESTS if f"POST /{operation}" not in page.words] == []
    links = [link for link in page.attributes["href"] if link]
    assert {"/health", "/status", "/openapi.json"} == set(links)
    for link in links:
        assert httpx.get(f"{idle.base_url}{link}", trust_env=False).status_code == 200


def test_the_page_needs_no_script_and_no_other_host(idle: Worker) -> None:
    """The browser is told to run and to load nothing but the style that is there."""
    answer = httpx.get(idle.base_url, headers=BROWSER, trust_env=False)
    page = Page(answer.text)
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} == set(policy[2:])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "//" not in answer.text
    assert set(page.tags).isdisjoint({"script", "img", "link", "iframe", "form", "object"})
    assert {name for name in page.attributes if name.startswith("on") or name in {"src", "style"}} == set()


def test_what_is_on_the_page_is_escaped(start: StartWorker) -> None:
    """A build's name from outside, and an operator's warning, are text and nothing else."""
    page = open_page(start(BUILD_IMAGE_TAG=HOSTILE, HOST="0.0.0.0"))  # noqa: S104 (for the length of a test)
    assert HOSTILE in page.words
    assert "no token is configured" in page.words
    assert {"script", "img"}.isdisjoint(page.tags)


def test_the_page_says_what_the_worker_does(start: StartWorker, tmp_path: Path) -> None:
    """The job that it has, and after a signal that it takes no more."""
    worker = start()
    with running(worker, ("wait_for", str(tmp_path / "go-on"))):
        assert "busy with commit-and-push" in open_page(worker).words
        worker.terminate()
        while "draining" not in (words := open_page(worker).words):
            assert "busy" in words
        assert "it was told to stop" in words
        (tmp_path / "go-on").touch()
    assert worker.wait(10) == 0


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "application/json, text/plain;q=0.9"])
def test_a_program_that_asks_for_the_root_is_told_the_endpoints(client: httpx.Client, accept: str) -> None:
    """Who accepts no HTML gets the 404 that every other path without an endpoint has."""
    answer = client.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert "POST /init-session" in answer.json()["availableEndpoints"]
    assert answer.headers["Vary"] == "Accept"
