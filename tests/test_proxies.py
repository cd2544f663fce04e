"""The way out through a proxy: a real one on loopback, which notes where it is asked to connect to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from github_worker.contract import ModelCredentials, RepositoryUrl
from github_worker.errors import JobError
from github_worker.forge.pull_request import FullName
from github_worker.git.clone import default_branch
from github_worker.github.client import open_github
from github_worker.github.pull_requests import PullRequests
from github_worker.naming import Namer
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.settings import from_env


class Proxy:
    """Refuses every connection, and keeps the lines that asked for them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request's head and refuse it."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.lines.append(head.decode().splitlines()[0])
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def proxy() -> Proxy:
    """Return a proxy that nobody has asked yet."""
    return Proxy()


@pytest.fixture
async def proxied(proxy: Proxy) -> AsyncIterator[dict[str, str]]:
    """Yield an environment whose way out is the proxy."""
    async with await asyncio.start_server(proxy.answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield {"HTTPS_PROXY": f"http://user:pass-word-123@127.0.0.1:{port}"}


async def test_the_model_is_asked_through_it(proxied: dict[str, str], proxy: Proxy) -> None:
    """What fails there is a fallback, which tells nothing of the proxy's password."""
    namer = Namer(from_env(proxied | {"ANTHROPIC_BASE_URL": "https://model.example"}))
    named = await namer.name_session("Add a dark mode", ModelCredentials("sk-ant-api03-0123456789"))
    assert set(proxy.lines) == {"CONNECT model.example:443 HTTP/1.1"}
    assert named.fallback
    assert "pass-word-123" not in named.fallback


async def test_github_is_asked_through_it(proxied: dict[str, str], proxy: Proxy) -> None:
    """The proxy refuses, so the job's error says that GitHub cannot be reached."""
    settings = from_env(proxied | {"GITHUB_API_URL": "https://api.example", "JOB_TIMEOUT": "2"})
    async with open_github(settings, Secret("token-0123456789"), Report(lambda event: None)) as github:
        with pytest.raises(JobError) as raised:
            await PullRequests(github, FullName("octo", "demo")).get(1)
    assert set(proxy.lines) == {"CONNECT api.example:443 HTTP/1.1"}
    assert "pass-word-123" not in str(raised.value)


async def test_an_empty_repositorys_default_is_asked_through_it(
    proxied: dict[str, str], proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """The proxy refuses, so the default is not known, and the log tells nothing of the proxy's password."""
    caplog.set_level("INFO")
    url = RepositoryUrl.parse("https://git.example/octo/empty")
    assert await default_branch(url, Secret("token-0123456789"), from_env(proxied)) is None
    assert proxy.lines == ["CONNECT git.example:443 HTTP/1.1"]
    assert "default is not known" in caplog.text
    assert "pass-word-123" not in caplog.text


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("https://api.github.com", True),
        ("http://127.0.0.1:3000", False),
        ("https://git.internal", False),
        ("https://git.internal:8443", False),
        ("https://internal.example", True),
    ],
)
def test_what_goes_through_it(url: str, through: bool) -> None:
    """https does, but for the hosts that need no proxy."""
    settings = from_env({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,.internal"})
    assert bool(settings.proxy_for(url)) is through
