"""Who does the stages: Claude Code, any command, a person, or what else is a WorkerPlugin."""

from __future__ import annotations

import asyncio
import os
import pkgutil
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from examples.coding.agent import Agent, AgentResult, OnOutput, claude_code
from examples.tdd_orchestrator.config import ConfigError, Tdd

_LOOK = 0.5  # seconds


class WorkerPlugin(Protocol):
    """Does what a prompt says in a folder, which is its own; what it does there is tested, not believed."""

    async def run(self, prompt: str, folder: str | os.PathLike[str], on_output: OnOutput) -> AgentResult:
        """Do it, hand over each line that a person should see, and return how it went."""


class Person:
    """A person, who is told where the folder is and says by an empty file that it is done."""

    async def run(self, prompt: str, folder: str | os.PathLike[str], on_output: OnOutput) -> AgentResult:
        """Wait until the file is there."""
        began, done = time.monotonic(), Path(f"{os.fspath(folder)}.done")
        on_output(f"{prompt}\n\nWork in {folder}, then: touch {done}")
        while not done.exists():  # noqa: ASYNC110 (a person makes it)
            await asyncio.sleep(_LOOK)
        done.unlink()
        return AgentResult(True, "done by a person", time.monotonic() - began)


def bound(agent: Agent) -> Agent:
    """Return an agent that ends with this process even if that is killed, where the system can do so."""
    known = shutil.which("setpriv") if sys.platform == "linux" else None
    return replace(agent, command=[known, "--pdeathsig", "KILL", "--", *agent.command]) if known else agent


def plugin(settings: Tdd) -> WorkerPlugin:
    """Return the plugin that the settings name; raise ConfigError."""
    match settings.worker:
        case "claude":
            if not (key := os.environ.get("ANTHROPIC_API_KEY")):
                raise ConfigError("ANTHROPIC_API_KEY must be set for the worker “claude”")
            claude = claude_code(
                key,
                program=shutil.which(os.environ.get("CLAUDE_PROGRAM", "claude")) or "claude",
                base_url=os.environ.get("ANTHROPIC_BASE_URL"),
                model=settings.default_model,
                time_limit=settings.agent_seconds,
            )
            return bound(replace(claude, env={**claude.env, "PATH": os.environ.get("PATH", os.defpath)}))
        case "command":
            if not settings.command:
                raise ConfigError("the worker “command” needs a `command`")
            env = {"PATH": os.environ.get("PATH", os.defpath)}
            return bound(Agent(settings.command, env, settings.agent_seconds))
        case "person":
            return Person()
        case name:
            try:
                found: WorkerPlugin = pkgutil.resolve_name(name)
            except (ValueError, ImportError, AttributeError) as error:
                raise ConfigError(f"there is no worker {name!r}: {error}") from error
            return found
