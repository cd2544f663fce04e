"""The command line: init, ingest, run-prd, serve, registry serve."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvicorn

from examples.tdd_orchestrator import aggregator, api, config, document
from examples.tdd_orchestrator.config import ConfigError
from examples.tdd_orchestrator.document import Document, DocumentError
from examples.tdd_orchestrator.registry import Registry
from examples.tdd_orchestrator.service import database, engine_from_env, work
from examples.tdd_orchestrator.store import Refused, Row, Store

_LOOK = 0.2  # seconds
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_LAST_STREAMS = 2  # seconds that open streams are given at the end


def main() -> int:
    """Do what the arguments say; return the exit status."""
    logging.basicConfig(level="WARNING", format="%(message)s")
    logging.getLogger("examples").setLevel("INFO")
    arguments = _arguments()
    try:
        return asyncio.run(_run(arguments))
    except (ConfigError, DocumentError, Refused) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


async def _run(arguments: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task  # noqa: S101
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # so that it ends its agents
    return await arguments.command(arguments) or 0


async def init(arguments: argparse.Namespace) -> None:
    """Write settings that fit the project."""
    path = config.init(arguments.project)
    print(f"{path}: {config.detect(arguments.project).name}\n\n{path.read_text()}")


async def ingest(arguments: argparse.Namespace) -> None:
    """Show the tasks that are made of a document."""
    wanted = document.load(arguments.document)
    print(f"{wanted.title}\n\n{wanted.context}".rstrip())
    for phase in sorted({task.phase for task in wanted.tasks}):
        print(f"\nPhase {phase}")
        for task in wanted.tasks:
            if task.phase == phase:
                print(f"  - {task.title}: {task.description.partition(chr(10))[0]}".rstrip(": "))


async def run_prd(arguments: argparse.Namespace) -> int:
    """Do a document's tasks, and tell how it goes; the last line is the pull request's URL."""
    settings = config.load(arguments.project)
    base = arguments.base or settings.git.base_branch
    run, tasks = run_of(document.load(arguments.document), arguments.repo, base=base, propose=arguments.pr)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(database(arguments.project)))
        engine = await stack.enter_async_context(engine_from_env(store, settings))
        await store.begin(run, tasks)
        telling = asyncio.create_task(tell(store, run["id"]))
        await work(engine, arguments.project, until_over=run["id"])
        return 0 if await telling else 1


def run_of(
    wanted: Document, repo_url: str, *, base: str | None = None, propose: bool
) -> tuple[Row, list[Row]]:
    """Return the run that does a document on a repository, and its tasks, as the store has them."""
    run: Row = {"id": wanted.run_id(repo_url), "document": wanted.title, "context": wanted.context}
    run |= {"repo_url": repo_url, "base": base, "propose": propose}
    return run, wanted.rows(run["id"])


async def tell(store: Store, run_id: str) -> bool:
    """Print each change of a run until it is over; return whether all its tasks are complete."""
    shown: dict[str, Row] = {}
    while True:
        (run,) = [run for run in await store.runs() if run["id"] == run_id]
        for task in await store.tasks():
            old = shown.get(task["key"], {})
            if task["runId"] == run_id and any(task[name] != old.get(name) for name in ("status", "stage")):
                print(f"{task['status']:<12} {task['stage'] or '':<9} {task['title']}", flush=True)
            shown[task["key"]] = task
        if run["status"] != "running":
            break
        await asyncio.sleep(_LOOK)
    for task in shown.values():
        if task["runId"] == run_id and task["status"] == "blocked":
            print(f"\nblocked: {task['title']}: {task['error']}")
    print(run["error"] or (run["pullRequest"] or {}).get("url", run["branch"]))
    counts = run["tasks"]
    return bool(run["status"] == "completed" and counts["complete"] == counts["total"])


async def serve(arguments: argparse.Namespace) -> None:
    """Serve a project's API and page, do its runs, and announce it to the registry."""
    settings, key = config.load(arguments.project), _key(arguments)
    app = api.application(database(arguments.project), name=settings.project.name, key=key)
    url = _address(arguments)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(database(arguments.project)))
        engine = await stack.enter_async_context(engine_from_env(store, settings))
        announcing = Registry().announcing(name=settings.project.name, path=arguments.project, url=url)
        await stack.enter_async_context(announcing)
        together = await stack.enter_async_context(asyncio.TaskGroup())
        working = together.create_task(work(engine, arguments.project))
        await _serve(app, arguments)
        working.cancel()


async def serve_registry(arguments: argparse.Namespace) -> None:
    """Serve the page of all projects."""
    await _serve(aggregator.application(Registry(), _key(arguments)), arguments)


async def _serve(app: object, arguments: argparse.Namespace) -> None:
    print(f"{_address(arguments)}/", flush=True)
    settings = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_graceful_shutdown=_LAST_STREAMS,
    )
    for stop in (signal.SIGTERM, signal.SIGINT):  # which uvicorn raises again when it has ended
        asyncio.get_running_loop().add_signal_handler(stop, lambda: None)
    await uvicorn.Server(settings).serve()


def _address(arguments: argparse.Namespace) -> str:
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    return f"http://{host}:{arguments.port}"


def _key(arguments: argparse.Namespace) -> str | None:
    key = os.environ.get("TDD_API_KEY") or None
    if key is None and arguments.host not in _LOOPBACK:
        raise ConfigError(f"TDD_API_KEY must be set to listen on {arguments.host}")
    return key


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.tdd_orchestrator")
    commands = parser.add_subparsers(required=True)

    def command(
        name: str, function: object, *, port: int | None = None, at: Any = commands
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = at.add_parser(name, help=function.__doc__)
        added.set_defaults(command=function)
        if port:
            added.add_argument("--host", default="127.0.0.1")
            added.add_argument("--port", type=int, default=port)
        return added

    for added in (command("init", init), command("serve", serve, port=8420)):
        added.add_argument("--project", type=Path, default=Path())
    command("ingest", ingest).add_argument("document", type=Path)
    run = command("run-prd", run_prd)
    run.add_argument("document", type=Path)
    run.add_argument("--repo", required=True, metavar="URL")
    run.add_argument("--base", metavar="BRANCH", help="where it starts, and what it is to be merged into")
    run.add_argument("--pr", action="store_true", help="open a pull request at the end")
    run.add_argument("--project", "--target", type=Path, default=Path(), help="the folder that has .tdd")
    registry = commands.add_parser("registry", help="The page of all projects.").add_subparsers(required=True)
    command("serve", serve_registry, port=8421, at=registry)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
