"""The website's prompts may have ten megabytes, and the coding worker sends them on as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from github_worker.contract import MAX_BODY_BYTES, CreateBranch, decode_request
from tests.callers.conftest import CodingWorker
from tests.conftest import WRITE_TOKEN
from tests.support.git_server import GitServer
from tests.support.memory import bounded_memory
from tests.support.model import Model, Say
from tests.support.worker import RestartLoop, Worker

_FIELDS = {"sessionId": "s-1", "githubAccessToken": WRITE_TOKEN, "baseBranch": "main"}
_SEEN = 20_000
_HALF = b"\\ud83d\\ude00"


@pytest.fixture
def worker_env(worker_env: dict[str, str]) -> dict[str, str]:
    """Return an environment with a model in it."""
    return worker_env | {"ANTHROPIC_API_KEY": "sk-ant-0123456789"}


def body(text: bytes) -> bytearray:
    """Return a create-branch whose user request is JSON as it is given."""
    return bytearray(json.dumps(_FIELDS).encode()[:-1] + b',"userRequest":"' + text + b'"}')


def fill(text: Callable[[int], bytes]) -> bytearray:
    """Return a body as large as one may be, of a text of so many bytes."""
    return body(text(MAX_BODY_BYTES - len(body(b""))))


def test_a_prompt_of_ten_megabytes_starts_a_branch(
    restart_loop: RestartLoop, git_server: GitServer, model: Model
) -> None:
    """The branch is made, and the model sees the first 20,000 characters."""
    origin = git_server.seed("octo", "demo", {"README.md": "# Demo\n"})
    model.script(Say.json(title="Offer A Dark Mode", slug="offer-dark-mode"))
    caller = CodingWorker(restart_loop.base_url)
    caller.call("clone-repository", sessionId="s-1", repoUrl=origin.url, accessToken=WRITE_TOKEN)
    words = "Offer a dark mode. ".ljust(_SEEN, "x") + "y" * 10_000_000
    made = caller.call("create-branch", **_FIELDS, userRequest=words)
    assert made["pushed"]
    assert made["branchName"] in origin.branches()
    [asked] = model.requests
    assert words[:_SEEN] in json.dumps(asked.body)
    assert "xy" not in json.dumps(asked.body)


@pytest.mark.parametrize(
    "text",
    [
        lambda size: b"x" * size,
        lambda size: "😀".encode().rjust(size, b"x"),
        lambda size: ("😀".encode() * size)[: size // 4 * 4],
        lambda size: b"x" + b"\\\\" * ((size - 1) // 2),
        *(lambda size, shift=shift: b"x" * shift + _HALF * ((size - shift) // 12) for shift in range(12)),
    ],
)
def test_a_long_prompt_is_cut_between_characters(text: Callable[[int], bytes]) -> None:
    """However it is written, it is decoded in little more memory than its body has."""
    whole = fill(text)
    with bounded_memory(4 * 2**20):
        request = decode_request(CreateBranch, whole)
    assert len(request.user_request) >= _SEEN
    assert json.loads(whole)["userRequest"].startswith(request.user_request)


@pytest.mark.parametrize(
    "body",
    [
        b'{"userRequest":[' + b"[]," * 3_000_000 + b"[]]}",
        b'{"claudeCredentials":[' + b"[]," * 3_000_000 + b"[]]}",
        b'{"sessionId":{' + b'"":0,' * 1_500_000 + b'"":0}}',
        b'{"sessionId":"' + b"x" * 10_000_000 + "😀".encode() + b'"}',
        b"{" + b'"sessionId":0,' * 600_000 + b'"sessionId":0}',
    ],
)
def test_a_body_of_anything_else_needs_no_memory_either(body: bytes) -> None:
    """Nothing is made of a value before its kind and its size are known."""
    with bounded_memory(4 * 2**20), pytest.raises(ValueError, match="`"):
        decode_request(CreateBranch, body)


def test_health_is_answered_while_large_bodies_are_read(worker: Worker) -> None:
    """Four callers at once send what is refused for a field alone; `/health` is answered between them."""
    refused = bytes(fill(lambda size: b"x" * size)).replace(b'"baseBranch": "main"', b'"baseBranch": "mai "')
    answers = 0

    def post() -> int:
        return httpx.post(
            f"{worker.base_url}/create-branch", content=refused, trust_env=False, timeout=30
        ).status_code

    with ThreadPoolExecutor(4) as callers, httpx.Client(trust_env=False) as client:
        posts = [callers.submit(post) for _ in range(8)]
        while not all(each.done() for each in posts):
            assert client.get(f"{worker.base_url}/health").json()["workerStatus"] == "idle"
            answers += 1
    assert {each.result() for each in posts} <= {400, 429}
    assert 400 in {each.result() for each in posts}
    assert answers > len(posts)
