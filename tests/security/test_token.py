"""The token goes to one place, and nowhere else is it kept or told."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from github_worker.contract import ModelCredentials
from github_worker.errors import HostNotAllowed
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.security.conftest import Attack
from tests.support.faults import Answer, Hang, Redirect
from tests.support.git_server import GitServer
from tests.support.model import Model, Say
from tests.support.repositories import Repository as Origin
from tests.support.sessions import SessionFolder
from tests.support.worker import Worker

KEY = "sk-ant-api03-" + "secret-of-the-model" * 2
FORMS = (WRITE_TOKEN, base64.b64encode(f"x-access-token:{WRITE_TOKEN}".encode()).decode(), KEY)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin_gets_no_token(
    status: int, runner: JobRunner, origin: Origin, evil: GitServer, git_server: GitServer
) -> None:
    """It is asked, if at all, without a token, and the job ends saying why."""
    evil.seed("octo", "demo")
    git_server.faults.add(Redirect(f"{evil.origin}/octo/demo.git", status), times=9)
    with pytest.raises(HostNotAllowed, match="must not go"):
        await runner.clone(origin.url)
    assert [request.authorization for request in evil.requests] == [None] * len(evil.requests)


@pytest.mark.parametrize("first", [0, 1])
async def test_a_push_that_is_redirected_gets_no_token_there(
    first: int, attack: Attack, git_server: GitServer
) -> None:
    """Not even once the repository's own server has seen it."""
    attack.evil.seed("octo", "demo")
    attack.change({"new.txt": "new\n"})
    target = Redirect(f"{attack.evil.origin}/octo/demo.git", 307)
    git_server.faults.add(target, "git-receive-pack" if first == 0 else "POST", times=9)
    result = await attack.runner.commit()
    assert not result.pushed
    assert [request.authorization for request in attack.evil.requests] == [None] * len(attack.evil.requests)


async def test_a_redirect_to_another_port_gets_no_token(
    runner: JobRunner, origin: Origin, git_server: GitServer, tmp_path: Path
) -> None:
    """The same host on another port is another origin, even where every host is allowed."""
    with GitServer(tmp_path / "port", {WRITE_TOKEN: "write"}) as neighbour:
        neighbour.seed("octo", "demo")
        git_server.faults.add(Redirect(f"{neighbour.origin}/octo/demo.git"), times=9)
        with pytest.raises(HostNotAllowed):
            await runner.clone(origin.url)
        assert not [request for request in neighbour.requests if request.authorization]


async def test_a_redirect_within_the_origin_is_followed(
    runner: JobRunner, origin: Origin, git_server: GitServer
) -> None:
    """A repository that was renamed on its server is cloned."""
    git_server.seed("octo", "renamed", {"moved.txt": "1\n"})
    git_server.faults.add(Redirect(f"{git_server.origin}/octo/renamed.git", 301), "/octo/demo")
    result = await runner.clone(origin.url)
    assert result.commit


async def test_a_submodules_host_is_not_asked(runner: JobRunner, origin: Origin, evil: GitServer) -> None:
    """Submodules stay as they are: nothing of theirs is fetched."""
    modules = f'[submodule "x"]\n\tpath = x\n\turl = {evil.origin}/octo/x.git\n'
    origin.fast_import(
        b"commit refs/heads/main\ncommitter A <a@example.com> 1 +0000\ndata 1\nx\n"
        b"from refs/heads/main^0\n"
        + f"M 160000 {'1' * 40} x\nM 100644 inline .gitmodules\ndata {len(modules)}\n{modules}\n".encode()
    )
    await runner.init(origin.url)
    assert (await runner.commit()).skipped
    assert evil.requests == []


@pytest.mark.parametrize("allowed", ["evil.example", "http://127.0.0.1:1", "127.0.0.1", "*"])
async def test_a_session_on_a_host_that_is_not_allowed(
    allowed: str, attack: Attack, git_server: GitServer
) -> None:
    """Scheme, host and port must all be allowed; nothing is asked where one is not."""
    attack.change({"new.txt": "new\n"})
    attack.runner.env |= {"GIT_ALLOWED_HOSTS": allowed}
    asked = len(git_server.requests)
    with pytest.raises(HostNotAllowed):
        await attack.commit()
    assert len(git_server.requests) == asked


async def test_what_a_remote_and_a_model_repeat_is_masked(attack: Attack, model: Model) -> None:
    """A hook that echoes the token, and a model that echoes its key, are shown without them."""
    model.script(Say.json(subject=f"Use {KEY} and {WRITE_TOKEN} for everything"))
    attack.origin.reject_pushes(f"token {WRITE_TOKEN} {quote(WRITE_TOKEN)} {FORMS[1]} is not welcome")
    attack.change({"new.txt": "new\n"})
    result = await attack.runner.commit(claude_credentials=ModelCredentials(KEY))
    assert "is not welcome" in result.push_error.message
    attack.assert_nothing_leaked()
    told = f"{result}{attack.runner.events}{gzip.decompress(attack.sessions.get(SESSION).data)!r}"
    for form in FORMS:
        assert form not in told


@pytest.mark.parametrize("more", [3961, 3970, 3990, 3999])
async def test_no_end_of_a_token_is_left_of_long_words(attack: Attack, more: int) -> None:
    """Of what a remote says the last part is shown, and a cut through the token leaves nothing of it."""
    attack.origin.reject_pushes(f"{WRITE_TOKEN}{'.' * (more - 1)}")
    attack.change({"new.txt": "new\n"})
    result = await attack.runner.commit()
    assert result.push_error.message.endswith("....")
    told = f"{result}{attack.runner.events}"
    assert not [at for at in range(len(WRITE_TOKEN) - 5) if WRITE_TOKEN[at : at + 6] in told]


# The real process


@pytest.fixture
def body(origin: Origin) -> dict[str, Any]:
    """Return a request that starts a session."""
    return {
        "sessionId": SESSION,
        "repoUrl": origin.url,
        "userRequest": f"Add a page; my key is {KEY}",
        "githubAccessToken": WRITE_TOKEN,
        "claudeCredentials": KEY,
    }


def start(worker: Worker, body: dict[str, Any]) -> str:
    """Run a job and return its stream."""
    return httpx.post(f"{worker.base_url}/init-session", json=body, trust_env=False, timeout=30).text


def test_a_process_shows_no_token_while_it_works(
    worker: Worker, body: dict[str, Any], git_server: GitServer, worker_env: dict[str, str]
) -> None:
    """Neither its arguments, nor its environment, nor a file has one; it has no child, and dumps no core."""
    git_server.faults.add(Hang(), "git-upload-pack")
    job = threading.Thread(target=start, args=(worker, body))
    job.start()
    git_server.faults.wait_until_struck()
    process = Path(f"/proc/{worker.pid}")
    shown = [(process / name).read_bytes() for name in ("cmdline", "environ")]
    shown += [file.read_bytes() for file in Path(worker_env["TMP_DIR"]).rglob("*") if file.is_file()]
    limits = (process / "limits").read_text()
    children = "".join(path.read_text() for path in process.glob("task/*/children"))
    git_server.faults.release()
    job.join()
    assert children == ""
    assert not [text for text in shown for form in FORMS if form.encode() in text]
    (cores,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert cores.split()[4:6] == ["0", "0"]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("sandbox", ["auto", "off"])
def test_a_sealed_process_cannot_be_dumped(tmp_path: Path, sandbox: str) -> None:
    """Not even where the kernel pipes dumps to a program, which no limit stops."""
    program = """
import ctypes, os, pathlib
from github_worker.sandbox import confine
from github_worker.settings import from_env

confine(from_env(os.environ), pathlib.Path(os.environ["TMP_DIR"]))
print(ctypes.CDLL(None).prctl(3))
"""
    env = {"TMP_DIR": str(tmp_path), "SANDBOX": sandbox}
    assert subprocess.check_output([sys.executable, "-c", program], env=env) == b"0\n"


def test_a_job_tells_no_token(
    worker: Worker, body: dict[str, Any], model: Model, sessions: SessionFolder, worker_env: dict[str, str]
) -> None:
    """Its stream, its log, the session and what is left on the disk have none; the model is told none."""
    model.script(Say.json(title=f"Use {KEY} Here", slug=f"use-{WRITE_TOKEN}"))
    stream = start(worker, body)
    assert worker.wait() == 0
    assert '"type":"completed"' in stream
    kept = gzip.decompress(sessions.get(SESSION).data).decode("latin-1")
    prompts = "".join(request.prompt for request in model.requests)
    assert prompts
    for text in (stream, worker.log.read_text(), kept, prompts):
        assert not [form for form in FORMS if form in text]
    assert os.listdir(worker_env["TMP_DIR"]) == []


def test_a_result_tells_no_token(worker: Worker, body: dict[str, Any], origin: Origin) -> None:
    """A branch that is named like it is masked, in every event and in the log."""
    origin.git("branch", f"use-{WRITE_TOKEN}", "main")
    fields = {name: body[name] for name in ("sessionId", "repoUrl", "githubAccessToken")}
    request = fields | {"branch": f"use-{WRITE_TOKEN}", "requestId": f"id-{WRITE_TOKEN}"}
    stream = httpx.post(f"{worker.base_url}/clone-repository", json=request, trust_env=False, timeout=30).text
    assert worker.wait() == 0
    assert stream.count('"branch":"use-***"') == 2
    assert [text for text in (stream, worker.log.read_text()) if WRITE_TOKEN in text] == []


def test_a_job_that_fails_tells_no_token(
    worker: Worker, body: dict[str, Any], git_server: GitServer, sessions: SessionFolder
) -> None:
    """A server that answers with the token, and a traceback of the failure, are scrubbed."""
    for fault in (Answer(500, WRITE_TOKEN.encode()), Answer(200, f"# {WRITE_TOKEN}\n".encode())):
        git_server.faults.add(fault, times=1)
    stream = start(worker, body)
    assert worker.wait() == 0
    for text in (stream, worker.log.read_text()):
        assert not [form for form in FORMS if form in text]
