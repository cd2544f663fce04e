"""What works of a configuration: a line for each part, as it is found."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Awaitable, Mapping

from msgspec import structs

from github_worker.cli.command import DONE, FAILED, Call, CommandFailed
from github_worker.cli.local import try_worker
from github_worker.cli.reach import reach_api, reach_app, reach_forge, reach_host, reach_repository
from github_worker.cli.store_probe import probe_store
from github_worker.cli.text import clean, size
from github_worker.cli.verdict import Verdict, fails, note, works
from github_worker.errors import ConfigurationError, JobError
from github_worker.naming.namer import Namer, preload
from github_worker.settings import Settings, from_env, read_secret
from github_worker.web.address import CannotListen, listen
from github_worker.web.app import warning_for
from github_worker_client import GitHubWorker, GitHubWorkerError

_PATIENCE = 10.0  # seconds for each answer from elsewhere
_COLOURS = {"ok": "32", "note": "33", "failed": "31"}
_INDENT, _LEAST = 23, 40  # columns: before a text, and of it
_REQUEST = "Add a dark mode toggle"


def check_all(call: Call) -> int:
    """Check everything and tell it line by line; return the exit status."""
    return asyncio.run(_tell_all(call))


async def _tell_all(call: Call) -> int:
    status = DONE
    async for part, verdict in _find_all(call):
        print(_draw_line(call, part, verdict), flush=True)  # noqa: T201 (this is the command line)
        if verdict.mark == "failed":
            status = FAILED
    return status


def _draw_line(call: Call, part: str, verdict: Verdict) -> str:
    """Write a verdict: in a terminal in colours, and indented where it is longer than a line."""
    mark, text = f"{verdict.mark:6}", clean(verdict.text)
    if sys.stdout.isatty():
        width = max(shutil.get_terminal_size().columns - _INDENT, _LEAST)
        text = f"\n{' ' * _INDENT}".join(textwrap.wrap(text, width))
        if not call.env.get("NO_COLOR"):
            mark = f"\033[{_COLOURS[verdict.mark]}m{mark}\033[0m"
    return f"{mark}  {part:13}  {text}"


async def _find_all(call: Call) -> AsyncIterator[tuple[str, Verdict]]:
    """Yield the parts and what is found of each."""
    try:
        settings = _limit(from_env(call.env))
        token = read_secret(call.env, "GITHUB_TOKEN")
    except ConfigurationError as error:
        yield "configuration", fails(str(error))
        return
    yield "configuration", works("every variable can be read")
    if warning := warning_for(settings):
        yield "configuration", note(warning)
    yield "scratch space", _check_scratch(settings)
    yield "port", await _check_port(settings)
    yield "sandbox", await _check_sandbox(call.env)
    for verdict in await asyncio.to_thread(lambda: list(probe_store(settings))):
        yield "session store", structs.replace(verdict, text=f"{_name_store(settings)}: {verdict.text}")
    for host in settings.git_allowed_hosts:
        yield "git host", await _judge(reach_host(settings, host))
    if call.options.repo_url:
        yield "repository", await _judge(reach_repository(settings, call.options.repo_url, token))
    yield "GitHub's API", await _judge(reach_forge(settings, token))
    if settings.github_app is not None:
        yield "GitHub App", await _judge(reach_app(settings, settings.github_app))
    for origin, forge in settings.forges.items():
        if settings.allows(origin) and "*" not in settings.git_allowed_hosts:
            yield f"{forge.kind}'s API", await _judge(reach_api(settings, forge.url))
    yield "model", await _check_model(settings)


def _name_store(settings: Settings) -> str:
    return settings.storage_worker_url or settings.storage_url or "a folder of this machine"


def _limit(settings: Settings) -> Settings:
    """Wait less long for answers than a job does."""
    return structs.replace(
        settings,
        storage_timeout=min(settings.storage_timeout, _PATIENCE),
        git_timeout=min(settings.git_timeout, _PATIENCE),
    )


async def _judge(reach: Awaitable[Verdict]) -> Verdict:
    """Await a verdict; an error of a job's is one too."""
    try:
        return await reach
    except JobError as error:
        return fails(str(error))


def _check_scratch(settings: Settings) -> Verdict:
    try:
        with tempfile.TemporaryFile(dir=settings.tmp_dir) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        return fails(f"TMP_DIR {settings.tmp_dir} cannot be written to: {error.strerror}")
    free = size(shutil.disk_usage(settings.tmp_dir).free)
    return works(f"{settings.tmp_dir} can be written to, and has {free} free")


async def _check_port(settings: Settings) -> Verdict:
    try:
        for listener in listen(settings.host, settings.port):
            listener.close()
    except CannotListen as error:
        return await _find_neighbour(settings) or fails(str(error))
    return works(f"{settings.host}:{settings.port} is free")


async def _find_neighbour(settings: Settings) -> Verdict | None:
    """Say that it is a GitHub Worker that has the port, if it is one."""
    try:
        async with GitHubWorker(f"http://127.0.0.1:{settings.port}", silence_timeout=_PATIENCE) as client:
            health = await client.health()
    except GitHubWorkerError:
        return None
    return note(f"{settings.port} is a GitHub Worker's already, which is {health.worker_status}")


async def _check_sandbox(env: Mapping[str, str]) -> Verdict:
    """Start a worker as it would be, but for its port, and ask how far it is confined."""
    try:
        worker = await try_worker(env)
    except CommandFailed as error:
        return fails(str(error))
    return works(worker.sandbox) if worker.sandbox.startswith("landlock") else note(worker.sandbox)


async def _check_model(settings: Settings) -> Verdict:
    if settings.anthropic_api_key is None:
        return note("no ANTHROPIC_API_KEY: names are made without a model, unless a request has a key")
    await asyncio.to_thread(preload)  # which a worker does while it is idle
    name = await Namer(settings).name_session(_REQUEST, None)
    if name.fallback:
        return fails(f"{settings.naming_model}: {name.fallback}; names and messages are made without it")
    return works(f"{settings.naming_model} calls {_REQUEST!r} {name.title!r}")
