"""An agent's command: what is heard of it, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from examples.coding.agent import LONGEST_LINE, Agent, StreamJson, claude_code
from github_worker_client import Secret


def shell(script: str, **more: object) -> Agent:
    """Return an agent that is a script."""
    return Agent(["sh", "-c", script], **more)  # type: ignore[arg-type]  # of the caller's choice


async def test_an_agent_reads_its_prompt_and_is_heard_line_by_line(tmp_path: Path) -> None:
    """The prompt is its standard input, whatever its length; the last line is the summary."""
    said: list[str] = []
    result = await shell("wc -c; echo done; pwd >where").run("x" * 1_000_000, tmp_path, said.append)
    assert said == ["1000000", "done"]
    assert (result.success, result.summary) == (True, "done")
    assert (tmp_path / "where").read_text().strip() == str(tmp_path)


async def test_an_agent_that_fails_says_so(tmp_path: Path) -> None:
    """Its exit status is its success, its last words are the summary."""
    result = await shell("echo no idea >&2; exit 3").run("", tmp_path, print)
    assert (result.success, result.summary) == (False, "no idea")


async def test_an_agent_that_does_not_exist_is_a_failure_in_words(tmp_path: Path) -> None:
    """The command is named."""
    result = await Agent(["no-such-agent"]).run("", tmp_path, print)
    assert not result.success
    assert "no-such-agent" in result.summary


async def test_an_agent_sees_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment is made from nothing, its home is empty and gone afterwards."""
    monkeypatch.setenv("GITHUB_TOKEN", "of-the-worker")
    said: list[str] = []
    await shell("env; ls -A $HOME; echo $HOME", env={"MINE": "1"}).run("", tmp_path, said.append)
    names = {line.partition("=")[0] for line in said if "=" in line}
    assert names <= {"PATH", "LANG", "MINE", "HOME", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"}
    assert not Path(said[-1]).exists()


async def test_the_time_limit_ends_all_that_an_agent_has_started(tmp_path: Path) -> None:
    """Its children are gone too, and what it did until then is there."""
    script = "echo begun >file; (sleep 1000 & echo $! >pid; wait) & wait"
    result = await shell(script, time_limit=0.5).run("", tmp_path, print)
    assert not result.success
    assert "0.5 seconds" in result.summary
    assert (tmp_path / "file").read_text() == "begun\n"
    await _gone(int((tmp_path / "pid").read_text()))


async def test_what_an_agent_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    """A background process does not keep the task waiting, and does not go on after it."""
    result = await shell("sleep 1000 & echo $! >pid; echo ready").run("", tmp_path, print)
    assert result.summary == "ready"
    await _gone(int((tmp_path / "pid").read_text()))


async def test_cancelling_ends_the_agent(tmp_path: Path) -> None:
    """A cancelled run leaves no process."""
    running = asyncio.create_task(shell("echo $$ >pid; sleep 1000").run("", tmp_path, print))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():  # noqa: ASYNC110 (a file)
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await _gone(int((tmp_path / "pid").read_text()))


async def test_secrets_are_masked_in_what_an_agent_prints(tmp_path: Path) -> None:
    """Neither the lines nor the summary have them."""
    secret, said = Secret("gh-secret-0123456789"), list[str]()
    result = await shell(f"echo the token is {secret.reveal()}").run("", tmp_path, said.append)
    assert said == ["the token is ***"]
    assert result.summary == "the token is ***"


async def test_an_endless_line_is_bounded(tmp_path: Path) -> None:
    """A line of 20 MB is told in part, and the next one is heard."""
    said: list[str] = []
    await shell("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end").run("", tmp_path, said.append)
    assert len(said[0]) <= LONGEST_LINE
    assert said[-1] == "end"


async def test_a_long_summary_keeps_its_end(tmp_path: Path) -> None:
    """What an agent concludes comes last, so the middle is what is left out."""
    message = {"type": "result", "result": "It began so.\n" + "x" * 10_000 + "\nAnd that is the verdict."}
    (tmp_path / "said").write_text(json.dumps(message))
    result = await shell("cat said", reader=StreamJson).run("", tmp_path, print)
    assert result.summary.startswith("It began so.\n")
    assert result.summary.endswith("\nAnd that is the verdict.")
    assert len(result.summary) < 2_100


def test_claude_code_is_told_what_it_may_do() -> None:
    """Its tools are listed, the repository's settings are not obeyed, and the key is in no argument."""
    agent = claude_code("sk-ant-0123456789", tools=("Read", "Edit"))
    assert agent.command[agent.command.index("--allowedTools") + 1] == "Read,Edit"
    assert agent.command[agent.command.index("--setting-sources") + 1] == "user"
    assert "sk-ant-0123456789" not in " ".join(agent.command)


def test_an_agent_that_ends_without_its_result_has_failed() -> None:
    """Claude Code's last message is its result; without one it was killed, or never came so far."""
    reader = StreamJson()
    assert reader.read("Invalid API key") == "Invalid API key"
    assert reader.result(0, 1.0).success is False
    assert reader.result(0, 1.0).summary == "Invalid API key"


async def _gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while (stat := Path(f"/proc/{pid}/stat")).exists() and stat.read_text().rpartition(") ")[2][0] != "Z":
        assert time.monotonic() < deadline, f"the process {pid} still runs"
        await asyncio.sleep(0.01)
