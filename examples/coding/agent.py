"""An agent's command in a folder: its words as they come, its end by a time limit, and how it went."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from github_worker_client import scrub

OnOutput = Callable[[str], None]
LONGEST_LINE = 1 << 20  # characters; a longer line is told in part
_LAST_WORDS = 1.0  # seconds to read what the agent had said when it ended
_PR_SET_DUMPABLE = 4  # of prctl(2)
_SUMMARY = 2_000  # characters


@dataclass(frozen=True)
class AgentResult:
    """How an agent's run went; `duration` is in seconds, `cost` in US dollars where the agent tells it."""

    success: bool
    summary: str
    duration: float
    cost: float | None = None


class Reader(Protocol):
    """Understands what an agent prints, line by line."""

    def read(self, line: str) -> str | None:
        """Return what a person should see of a line, if anything."""

    def result(self, exit_status: int, duration: float) -> AgentResult:
        """Return how it went, once the agent has ended."""


class PlainText:
    """Reads an agent that prints text and tells its success by its exit status."""

    def __init__(self) -> None:
        self._last = ""

    def read(self, line: str) -> str:
        """Return the line, and remember it: the last one is the summary."""
        self._last = line.strip() or self._last
        return line

    def result(self, exit_status: int, duration: float) -> AgentResult:
        """Return success for the exit status 0."""
        return AgentResult(exit_status == 0, self._last or f"exit status {exit_status}", duration)


class StreamJson:
    """Reads Claude Code's `--output-format stream-json`: one JSON message a line, the last one the result."""

    def __init__(self) -> None:
        self._final: dict[str, Any] = {}
        self._plain = PlainText()

    def read(self, line: str) -> str | None:
        """Return the text that is said, or the name of the tool that is used."""
        try:
            message = json.loads(line)
        except ValueError:
            return self._plain.read(line)
        if message.get("type") == "result":
            self._final = message
        if message.get("type") != "assistant":
            return None
        return "\n".join(filter(None, map(_words, message["message"]["content"]))) or None

    def result(self, exit_status: int, duration: float) -> AgentResult:
        """Return what the last message says; an agent that ends without one has failed."""
        if not self._final:
            return AgentResult(False, self._plain.result(exit_status, duration).summary, duration)
        success = exit_status == 0 and not self._final.get("is_error")
        summary = str(self._final.get("result") or self._final.get("subtype"))
        return AgentResult(success, summary, duration, self._final.get("total_cost_usd"))


@dataclass(frozen=True)
class Agent:
    """A command that reads its prompt from standard input and edits the folder that it is started in.

    - `env`: the whole of its environment, beside PATH, HOME and TMPDIR.
    - `time_limit`: seconds; past them the command and all that it has started are killed.
    """

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    time_limit: float = 600.0
    reader: Callable[[], Reader] = PlainText

    async def run(self, prompt: str, folder: str | os.PathLike[str], on_output: OnOutput) -> AgentResult:
        """Run the command in `folder`, hand over each line that it prints, and return how it went.

        Cancelling kills it too. What is handed over, and the result, have the secrets of this process masked.
        """
        began, reader = time.monotonic(), self.reader()
        with tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as home:
            try:
                process, output = await self._start(prompt, folder, home)
            except OSError as error:
                return AgentResult(
                    False, f"the agent cannot be started: {error.strerror}: {self.command[0]}", 0
                )
            listening = asyncio.create_task(_listen(output, reader, on_output))
            try:
                async with asyncio.timeout(self.time_limit):
                    exit_status = await process.wait()
            except TimeoutError:
                limit = f"the agent was ended after its {self.time_limit:g} seconds"
                return AgentResult(False, limit, time.monotonic() - began)
            finally:
                await _end(process)
                heard, _ = await asyncio.wait([listening], timeout=_LAST_WORDS)
                listening.cancel()  # what has left the group may hold the pipe open
        for listener in heard:
            listener.result()
        result = reader.result(exit_status, time.monotonic() - began)
        return AgentResult(result.success, _shorten(scrub(result.summary)), result.duration, result.cost)

    async def _start(
        self, prompt: str, folder: str | os.PathLike[str], home: str
    ) -> tuple[asyncio.subprocess.Process, BinaryIO]:
        # a pipe and a file of our own: asyncio's would not tell the end before all who hold them have ended
        read, write = os.pipe()
        output = os.fdopen(read, "rb")
        with os.fdopen(write, "wb") as end, tempfile.TemporaryFile() as words:
            words.write(prompt.encode())
            words.seek(0)
            try:
                process = await asyncio.create_subprocess_exec(
                    *self.command,
                    cwd=folder,
                    env={"PATH": os.defpath, "LANG": "C.UTF-8", **self.env, "HOME": home, "TMPDIR": home},
                    stdin=words,
                    stdout=end,
                    stderr=end,
                    start_new_session=True,
                )
            except BaseException:
                output.close()
                raise
        return process, output


def hide() -> None:
    """Keep this process's environment and memory from its agents, which run as the same user."""
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def claude_code(
    api_key: str,
    *,
    program: str = "claude",
    base_url: str | None = None,
    model: str | None = None,
    tools: Sequence[str] = ("Read", "Edit", "Write", "Glob", "Grep"),
    time_limit: float = 600.0,
) -> Agent:
    """Return Claude Code without a terminal, which may use `tools` and nothing else.

    Settings, hooks and servers that the repository brings are not obeyed: whoever can push to it could
    otherwise run commands here.
    """
    allowed = ",".join(tools)
    command = [program, "-p", "--output-format", "stream-json", "--verbose"]
    command += ["--tools", allowed, "--allowedTools", allowed, "--permission-mode", "acceptEdits"]
    command += ["--setting-sources", "user", "--strict-mcp-config", *(("--model", model) if model else ())]
    env = {"ANTHROPIC_API_KEY": api_key, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    if base_url:
        env["ANTHROPIC_BASE_URL"] = base_url
    return Agent(command, env, time_limit, StreamJson)


async def _listen(output: BinaryIO, reader: Reader, on_output: OnOutput) -> None:
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), output
    )
    try:
        async for line in _lines(stream):
            if (words := reader.read(line)) is not None:
                on_output(scrub(words))
    finally:
        transport.close()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    rest = b""
    while piece := await stream.read(1 << 16):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line[:LONGEST_LINE].decode(errors="replace")
        rest = rest[:LONGEST_LINE]
    if rest:
        yield rest.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also what a command that ended has left behind
    await process.wait()


def _shorten(summary: str) -> str:
    """Take out the middle of a long summary: what an agent concludes, or asks, is at its end."""
    half = _SUMMARY // 2
    return summary if len(summary) <= _SUMMARY else f"{summary[:half]}\n…\n{summary[-half:]}"


def _words(block: Mapping[str, Any]) -> str | None:
    match block.get("type"):
        case "text":
            return str(block["text"])
        case "tool_use":
            return f"{block['name']} {block['input'].get('file_path', '')}".rstrip()
        case _:
            return None
