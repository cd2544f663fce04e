"""The bots of examples/board in their containers: what they reach, what they may, and that they work."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from examples.lab import TOKEN, Forge
from swarm.conftest import CACHE, REPOSITORY, WORKER_TOKEN
from swarm.engine import ADDRESS, Engine
from swarm.image import import_base
from swarm.stack import wait_until

KEY = "tk_0123456789abcdef"
# What an agent finds out about its bot goes into the repository.
AGENT = "sh -c 'env >env.txt; cat /proc/1/environ >bot.txt 2>&1; echo Looked around'"
_SERVE = """
import http.server, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"the world")
for port in (80, 443, 8443):
    server = http.server.ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever).start()
"""
_ASK = """
import http.client, json, socket
def ask(kind, host, port):
    try:
        if kind == "connect":
            return socket.create_connection((host, port), timeout=5) and "connected"
        first = (host, port) if kind == "direct" else ("proxy", 8888)
        connection = http.client.HTTPConnection(*first, timeout=30)
        if kind == "tunnel":
            connection.set_tunnel(host, port)
        connection.request("GET", f"http://{host}:{port}/" if kind == "plain" else "/health")
        answer = connection.getresponse()
        return f"{answer.status} {answer.read().decode()}"
    except OSError as error:
        return str(error)
print(json.dumps([ask(*question) for question in QUESTIONS]))
"""
_WRITES = """
import os
for path in ("/x", "/app/x", "/app/examples/board/x", "/opt/venv/x", "/tmp/x", "/scratch/x"):
    try:
        open(path, "w").close()
        print(path)
    except OSError:
        pass
"""
_STATUS = "print(open('/proc/1/status').read())"


class Board:
    """compose.yml of the example, as it runs."""

    def __init__(self, engine: Engine, env: dict[str, str]) -> None:
        self._engine, self._env = engine, env

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` with its files."""
        files = (REPOSITORY / "examples/board/compose.yml", REPOSITORY / "swarm/board.yml")
        given = (part for file in files for part in ("--file", file))
        return self._engine.docker("compose", *given, *arguments, env=self._env)

    def python(self, program: str) -> str:
        """Run a program where a bot runs, as it does."""
        return self.compose("exec", "--no-TTY", "bot-john", "python", "-I", "-c", program)

    def ask(self, *questions: tuple[str, str, int]) -> list[str]:
        """Return what a bot is answered: `direct`, by the proxy (`plain`, `tunnel`), or to `connect`."""
        answers: list[str] = json.loads(self.python(f"QUESTIONS = {questions!r}\n{_ASK}"))
        return answers


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """Serve a repository, and GitHub's API beside it, to containers that may leave their network."""
    with Forge(tmp_path_factory.mktemp("forge"), host=ADDRESS) as forge:
        yield forge


@pytest.fixture(scope="module")
def board(engine: Engine, image: str, forge: Forge) -> Iterator[Board]:
    """Start the board, a bot and what they need; without the world, a host stands for all others."""
    import_base(engine, CACHE / "proxy", "board-proxy:test")
    dockerfile = REPOSITORY / "examples/board/Dockerfile"
    base = f"IMAGE=github-worker:{image}"
    build = ("build", "--target", "board", "--tag", "board:test", "--build-arg", base, "--file", dockerfile)
    engine.docker(*build, REPOSITORY)
    board = Board(
        engine,
        {
            "IMAGE": f"github-worker:{image}",
            "BOT_IMAGE": "board:test",
            "BOARD_IMAGE": "board:test",
            "PROXY_IMAGE": "board-proxy:test",
            "TASKINFA_API_KEY": KEY,
            "ANTHROPIC_API_KEY": "no-key",
            "AGENT_COMMAND": AGENT,
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_WORKER_TOKEN": WORKER_TOKEN,
            "GIT_ALLOWED_HOSTS": forge.origin,
            "GITHUB_API_URL": forge.origin,
            "STORAGE_URL": "file:///sessions",
            "STORE_KEY": "no-key",
        },
    )
    names = ("github.com", "example.com", "github.com.example.com", "notgithub.com")
    world = ("--network", "board_outside", *(f"--network-alias={name}" for name in names))
    run = ("run", "--detach", "--rm", "--name", "world", "--user", "0", "--no-healthcheck", *world)
    try:
        board.compose("up", "--detach", "--no-build", "bot-john")
        engine.docker(*run, f"github-worker:{image}", "python", "-c", _SERVE)
        yield board
    finally:
        engine.docker("rm", "--force", "world")
        board.compose("down", "--volumes", "--timeout", "10")


def test_a_bot_reaches_what_it_needs(board: Board) -> None:
    """The board and GitHub Worker beside it, and through the proxy what the list names."""
    answers = board.ask(
        ("direct", "board", 3000), ("direct", "github-worker", 5002), ("tunnel", "github.com", 443)
    )
    assert answers[0].startswith("404 ")  # the board has no /health; it answers
    assert answers[1].startswith("200 ")
    assert answers[2] == "200 the world"


def test_a_bot_reaches_nothing_else_through_the_proxy(board: Board) -> None:
    """Another host, one whose name is like an allowed one, another port, an address: all are refused."""
    questions = [
        *(
            ("tunnel", host, 443)
            for host in ("example.com", "github.com.example.com", "notgithub.com", ADDRESS)
        ),
        *(("tunnel", "github.com", port) for port in (80, 8443)),
        *(("plain", host, 80) for host in ("example.com", ADDRESS, "store", "board")),
    ]
    for question, answer in zip(questions, board.ask(*questions), strict=True):
        assert "403" in answer, question


def test_a_bot_reaches_nothing_else_past_the_proxy(board: Board, engine: Engine) -> None:
    """Neither an allowed host, nor its address, nor this machine, by the network's gateway or otherwise."""
    networks = engine.get("/containers/world/json")["NetworkSettings"]["Networks"]
    (inside,) = engine.get("/networks/board_inside")["IPAM"]["Config"]
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        hosts = [("github.com", 443), ("example.com", 443), (networks["board_outside"]["IPAddress"], 443)]
        hosts += [(inside["Gateway"], port), (ADDRESS, port)]
        answers = board.ask(*(("connect", host, number) for host, number in hosts))
    assert "connected" not in answers, answers


def test_a_bot_has_no_rights(board: Board) -> None:
    """It is not root, has no capabilities and can gain none, and writes its scratch space alone."""
    status = dict(line.partition(":\t")[::2] for line in board.python(_STATUS).splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert board.python(_WRITES).split() == ["/scratch/x"]


def test_a_bot_does_its_task_there(board: Board, forge: Forge) -> None:
    """A task becomes a pull request, and its agent finds no token, in its environment or in its bot's."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url="http://127.0.0.1:3000/api", headers=headers, trust_env=False) as api:
        asked = {"title": "Look around", "repository_url": forge.repository.url, "status": "todo"}
        id_ = api.post("/tasks", json=asked).raise_for_status().json()["task"]["id"]

        def show() -> Any:
            return api.get(f"/tasks/{id_}").raise_for_status().json()["task"]

        def has_ended() -> bool:
            return any(said["comment_type"] != "progress" for said in show()["comments"])

        wait_until(has_ended, "the end of the task")
        task = show()
    assert task["status"] == "review", task
    (opened,) = forge.github.repository.pulls.values()
    found = {name: forge.repository.read(opened.head, name).decode() for name in ("env.txt", "bot.txt")}
    assert "HTTPS_PROXY=http://proxy:8888" in found["env.txt"].split()
    assert not [secret for secret in (TOKEN, KEY, WORKER_TOKEN) if secret in str(found)]
    assert "Permission denied" in found["bot.txt"]


def test_the_verbs_of_the_readme_are_commands(board: Board) -> None:
    """A bot's status and log are shown, and it ends well when it is told to."""
    assert "bot-john" in board.compose("ps", "--format", "{{.Service}}")
    assert "Bot-John waits for tasks of default" in board.compose("logs", "bot-john")
    board.compose("stop", "bot-john")
    assert "(0)" in board.compose("ps", "--all", "--format", "{{.Status}}", "bot-john")
