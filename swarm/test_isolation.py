"""What a container can do and know, and what is left of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

from github_worker.sandbox import landlock_version
from github_worker_client import GitHubWorker
from swarm.conftest import GIT_TOKEN, STORE_KEY, WORKER_TOKEN
from swarm.figures import Figures
from swarm.load import Call, current
from swarm.stack import Stack, wait_until
from tests.support.faults import Hang, Moment
from tests.support.git_server import GitServer

_FILES = "import os; print([f for d, _, fs in os.walk('/scratch') for f in fs if f != '.lock'])"
_STATUS = "print(open('/proc/1/status').read())"
_LIMITS = "print(open('/proc/1/limits').read())"
_WRITES = """
for path in ('/x', '/app/x', '/opt/venv/x', '/tmp/x', '/scratch/x'):
    try:
        open(path, 'w').close()
        print(path)
    except OSError:
        pass
"""
_HEALTH = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:5002/health').read().decode())"
_SECRETS = "import os; print({oct(s.st_mode & 0o777) + str(s.st_uid) for s in map(os.stat, \
['/run/secrets/' + n for n in os.listdir('/run/secrets')])})"


async def test_what_a_killed_job_leaves_is_gone_for_the_next(
    stack: Stack, client: GitHubWorker, git_server: GitServer
) -> None:
    """Its successor has other scratch space, empty, and its volume goes with its container."""
    origin = git_server.seed("owner", "held", {"random.bin": os.urandom(1_000_000)})
    git_server.faults.add(Hang(Moment.ANSWER, after=100_000), "POST /owner/held.git/git-upload-pack")
    stack.wait_until_ready()
    call = Call("held", 0.0)
    current.set(call)
    job = asyncio.create_task(
        client.clone_repository(session_id="held", repo_url=origin.url, access_token=GIT_TOKEN)
    )
    await asyncio.to_thread(wait_until, lambda: _has_files(stack, call.container), "files of the job")
    volume, slot = _volume(stack, call.container), _slot(stack, call.container)

    os.kill(stack.pids()[call.container], signal.SIGKILL)
    job.cancel()
    await asyncio.wait({job})
    wait_until(lambda: call.container not in stack.pids(), "the container's end")
    stack.wait_until_ready()
    (after,) = (each for each in stack.pids() if _slot(stack, each) == slot)
    assert stack.python(after, _FILES) == "[]\n"
    assert _volume(stack, after) != volume
    wait_until(lambda: volume not in stack.engine.docker("volume", "ls", "--quiet"), "the volume's end")


def test_no_secret_can_be_inspected(stack: Stack) -> None:
    """Neither the service nor a container shows one, nor does the process's environment."""
    stack.wait_until_ready()
    shown = json.dumps([stack.service(), stack.containers()])
    shown += "".join(Path(f"/proc/{pid}/environ").read_text() for pid in stack.pids().values())
    assert "GITHUB_WORKER_TOKEN_FILE" in shown
    assert not [secret for secret in (WORKER_TOKEN, GIT_TOKEN, STORE_KEY) if secret in shown]


def test_a_container_can_write_its_scratch_space_alone(stack: Stack) -> None:
    """The root is read-only; secrets are the worker's own files."""
    container = next(iter(stack.pids()))
    assert stack.python(container, _WRITES).split() == ["/scratch/x"]
    assert stack.python(container, _SECRETS).strip() == "{'0o40010001'}"


def test_a_container_has_no_privileges(stack: Stack) -> None:
    """The process is not root, has no capabilities and can gain none."""
    lines = stack.python(next(iter(stack.pids())), _STATUS).splitlines()
    status = dict(line.partition(":\t")[::2] for line in lines)
    assert status["Uid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_a_container_has_descriptors_for_its_job(stack: Stack) -> None:
    """How many files a process may open is the stack's word, not the engine's."""
    lines = stack.python(next(iter(stack.pids())), _LIMITS).splitlines()
    assert [line.split()[3:5] for line in lines if line.startswith("Max open files")] == [["4096"] * 2]


def test_a_container_is_confined(stack: Stack, figures: Figures) -> None:
    """The engine's filter of system calls lets Landlock through, so what the kernel has holds."""
    said = json.loads(stack.python(next(iter(stack.pids())), _HEALTH))["sandbox"]
    figures.add("sandbox", f"{said}; engine {stack.engine.get('/version')['Version']}")
    try:
        version = landlock_version()
    except OSError:
        version = 0
    assert said.startswith("none: " if version < 2 else f"landlock {version}, no-new-privs")


def _has_files(stack: Stack, container: str) -> bool:
    return bool(container) and stack.python(container, _FILES) != "[]\n"


def _volume(stack: Stack, container: str) -> str:
    (mount,) = [mount for mount in _described(stack, container)["Mounts"] if mount["Type"] == "volume"]
    return str(mount["Name"])


def _slot(stack: Stack, container: str) -> str:
    name: str = _described(stack, container)["Config"]["Labels"]["com.docker.swarm.task.name"]
    return name.split(".")[1]


def _described(stack: Stack, container: str) -> Any:
    return stack.engine.get(f"/containers/{container}/json")
