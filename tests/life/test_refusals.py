"""What is refused before a job starts, and leaves the worker idle."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.worker import Worker

REPOSITORY = {"repoUrl": "https://github.com/o/r"}
SESSION = {"sessionId": "s1"}
TOKEN = {"githubAccessToken": "git-token-0123456789"}
PLACE = {"owner": "o", "repo": "r"}
VALID: dict[str, dict[str, Any]] = {
    "clone-repository": SESSION | REPOSITORY,
    "create-branch": SESSION | TOKEN | {"userRequest": "Add dark mode", "baseBranch": "main"},
    "commit-and-push": SESSION | TOKEN,
    "init-session": SESSION | REPOSITORY | TOKEN | {"userRequest": "Add dark mode"},
    "create-pull-request": PLACE | TOKEN | {"head": "a", "base": "main"},
    "merge-pull-request": PLACE | TOKEN | {"pullNumber": 1},
    "auto-pull-request": PLACE | TOKEN | {"branch": "a", "base": "main"},
    "sync-branch": SESSION,
    "switch-branch": SESSION | {"branch": "a"},
    "inspect-session": SESSION,
}
NOT_A_BRANCH: tuple[Any, ...] = ("", "a..b", "-a", "a b", "a.lock", "refs/heads/a", "a\n", 1, [])
NOTHING = (" ", ";,", "'")  # which git would leave nothing of
WRONG: dict[str, tuple[Any, ...]] = {
    "sessionId": ("", "..", "a..b", "/a", "a/b", "-a", "a" * 129, "a\n", 1, None, {}),
    "repoUrl": (
        "",
        "github.com/o/r",
        "https://user:pass@github.com/o/r",
        "https://github.com/o",
        "https://github.com/o/r/x",
        "https://github.com/o/..",
        "https://evil.example/o/r",
        "http://github.com/o/r",
        "git@evil.example:o/r",
        "file:///etc/passwd",
        "ssh://git@github.com/o/r",
        "https://github.com/o/r?x=1",
        1,
    ),
    "branch": NOT_A_BRANCH,
    "baseBranch": NOT_A_BRANCH,
    "head": NOT_A_BRANCH,
    "base": NOT_A_BRANCH,
    "directory": (
        "",
        ".",
        "..",
        "a/..",
        "./a",
        "/a",
        "a/",
        "a//b",
        "a\\b",
        ".git",
        "a/.GIT",
        "a\x00",
        "a/" * 8 + "a",
        1,
    ),
    "githubAccessToken": ("", " ", "a\nb", 1, {}, []),
    "accessToken": ("", " ", "a\nb", 1, {}, []),
    "claudeCredentials": ("", 1, [], "a\nb"),
    "depth": (0, -1, 1.5, "1", True, 2**31),
    "allBranches": ("true", 1),
    "submodules": ("all", "true", 1, []),
    "onSecret": ("ask", True),
    "draft": ("true", 1),
    "waitForChecks": ("true", 1),
    "userRequest": ("", 1),
    "message": ("", 1),
    "userId": ("", "a\nb", "a" * 257, 1, *NOTHING),
    "author": (
        *("me", {"name": "a"}, {"name": "a", "email": "b\n"}, {"name": "a", "email": "b", "x": 1}),
        *({"name": "a", "email": "b", place: wrong} for place in ("name", "email") for wrong in NOTHING),
    ),
    "owner": ("", "a/b", "-a", 1),
    "repo": ("", "a/b", "..", 1),
    "pullNumber": (0, -1, "1", 1.5),
    "mergeMethod": ("octopus", 1),
    "title": (1, ["a"]),
    "body": (1, "x" * 65_537),
    "commitTitle": (1, ["a"]),
    "commitMessage": ("", 1),
    "requestId": ("", "a b", "a" * 129, "é", 1),
}
CLONE = ("repoUrl", "branch", "directory", "depth", "allBranches", "submodules")
NAMED = ("claudeCredentials", "githubAccessToken")
FIELDS: dict[str, tuple[str, ...]] = {
    "clone-repository": ("sessionId", *CLONE, "accessToken", "requestId"),
    "create-branch": ("sessionId", "userRequest", "baseBranch", "repoUrl", *NAMED, "requestId"),
    "commit-and-push": ("sessionId", *NAMED, "userId", "author", "message", "onSecret", "requestId"),
    "init-session": ("sessionId", *CLONE, "userRequest", *NAMED, "requestId"),
    "create-pull-request": ("owner", "repo", "head", "base", "title", "body", "draft", *NAMED),
    "merge-pull-request": (*PLACE, "pullNumber", "mergeMethod", "commitTitle", "commitMessage", *TOKEN),
    "auto-pull-request": (*PLACE, "branch", "base", "title", "body", "waitForChecks", *NAMED),
}


# Of a library's complaint, which is no sentence: its types, its paths, and any pattern.
PROGRAMMERS_WORDS = re.compile(r"`(?:str|int|bool|object|array|null)\b|\$|regex|\^|\(\?|\\|Expected")


@pytest.fixture(autouse=True)
def _still_idle(client: httpx.Client) -> Iterator[None]:
    yield
    assert client.get("/health").json()["workerStatus"] == "idle"


def assert_refused(response: httpx.Response, status: int, code: str, mentioned: str) -> None:
    """Check that a refusal has its status, its code, a telling message, and the worker's name."""
    body = response.json()
    assert (response.status_code, body["error"]) == (status, code)
    assert mentioned in body["message"]
    assert body["containerId"] == response.headers["X-Container-ID"] == socket.gethostname()


@pytest.mark.parametrize(("operation", "field"), [(o, f) for o, body in VALID.items() for f in body])
def test_a_missing_field_is_named(client: httpx.Client, operation: str, field: str) -> None:
    """What an endpoint requires and does not get is named."""
    body = {name: value for name, value in VALID[operation].items() if name != field}
    assert_refused(client.post(f"/{operation}", json=body), 400, "invalid_request", f"`{field}`")


@pytest.mark.parametrize(
    ("operation", "field"), [(o, field) for o, fields in FIELDS.items() for field in fields]
)
def test_every_wrong_value_of_a_field_is_refused_by_its_name(
    client: httpx.Client, operation: str, field: str
) -> None:
    """A field that has a wrong type or value is named, whatever the value; an optional one may be empty."""
    for wrong in WRONG[field][WRONG[field][0] == "" and field not in VALID[operation] :]:
        response = client.post(f"/{operation}", json=VALID[operation] | {field: wrong})
        assert_refused(response, 400, "invalid_request", field)
        assert not PROGRAMMERS_WORDS.search(response.json()["message"])


@pytest.mark.parametrize("operation", VALID)
def test_an_unknown_field_is_named(client: httpx.Client, operation: str) -> None:
    """A field that the endpoint does not know is refused, not ignored."""
    response = client.post(f"/{operation}", json=VALID[operation] | {"colour": "blue"})
    assert_refused(response, 400, "invalid_request", "colour")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'"a"', b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(client: httpx.Client, body: bytes) -> None:
    """Anything but a JSON object is a 400."""
    response = client.post("/clone-repository", content=body)
    assert_refused(response, 400, "invalid_request", "the body must be a JSON object")


def test_the_token_under_both_names_is_refused(client: httpx.Client) -> None:
    """The two names are one field."""
    body = VALID["commit-and-push"] | {"accessToken": "git-token-0123456789"}
    assert_refused(client.post("/commit-and-push", json=body), 400, "invalid_request", "accessToken")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Basic caller-token-0123456789",
        "caller-token-0123456789",
        "Bearer é",
    ],
)
def test_a_job_without_a_valid_token_is_refused(client: httpx.Client, authorization: str | None) -> None:
    """No job starts for whoever lacks the service's token."""
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    response = httpx.post(f"{client.base_url}/commit-and-push", headers=headers, trust_env=False)
    assert_refused(response, 401, "unauthorized", "token")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("token", ["caller-token-0123456789", "next-token-0123456789"])
def test_either_of_two_tokens_is_valid(client: httpx.Client, token: str) -> None:
    """While a token is being replaced, the old one and the new one are taken."""
    response = client.post("/commit-and-push", json={}, headers={"Authorization": f"bearer {token}"})
    assert_refused(response, 400, "invalid_request", "sessionId")


def test_an_unknown_path_lists_the_endpoints(client: httpx.Client) -> None:
    """A 404 says what there is."""
    response = client.get("/health/")
    for endpoint in ("POST /clone-repository", "POST /auto-pull-request", "GET /status", "GET /openapi.json"):
        assert_refused(response, 404, "not_found", endpoint)
        assert endpoint in response.json()["availableEndpoints"]


def test_a_wrong_method_says_which_is_right(client: httpx.Client) -> None:
    """A 405 carries the methods that there are."""
    response = client.get("/clone-repository")
    assert_refused(response, 405, "method_not_allowed", "POST /clone-repository")
    assert response.headers["Allow"] == "POST"


def test_a_body_that_says_it_is_too_large_is_not_read(idle: Worker) -> None:
    """A Content-Length over 10 MiB is refused before a byte of the body has come."""
    with knock(idle, b"Content-Length: 10485761") as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_that_grows_too_large_is_refused(client: httpx.Client) -> None:
    """A body of unknown length is read up to 10 MiB."""
    chunks = (b" " * 65536 for _ in range(161))
    assert_refused(client.post("/commit-and-push", content=chunks), 413, "payload_too_large", "10,485,760")


def test_a_body_of_ten_mebibytes_is_read(client: httpx.Client) -> None:
    """The limit itself is allowed."""
    response = client.post("/commit-and-push", content=b"{}".ljust(10 * 1024 * 1024))
    assert_refused(response, 400, "invalid_request", "sessionId")


def test_a_body_that_does_not_come_is_not_waited_for(idle: Worker) -> None:
    """A slow sender is refused after a while."""
    with knock(idle, b"Content-Length: 10") as connection:
        connection.sendall(b"{")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_leaves_within_its_body_is_forgotten(idle: Worker) -> None:
    """A body that ends early starts nothing, and is no error of the worker."""
    with knock(idle, b"Content-Length: 10") as connection:
        connection.sendall(b"{")
    assert not [line for line in idle.log_lines() if line.get("level") == "error"]


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 400_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 400_000])
def test_a_head_that_does_not_end_is_refused(idle: Worker, head: bytes) -> None:
    """A request line or a header of any length is not kept in memory."""
    with socket.create_connection(("127.0.0.1", idle.port), 10) as connection:
        began = time.monotonic()
        for offset in range(0, len(head), 40_000):
            try:
                connection.sendall(head[offset : offset + 40_000])
            except ConnectionError:
                break
            time.sleep(0.01)  # so that the pieces arrive as pieces
        assert connection_ends(connection)
        assert time.monotonic() - began < 5


def test_what_is_not_http_is_refused_by_name(idle: Worker) -> None:
    """The server's own refusals say which container they are from."""
    with socket.create_connection(("127.0.0.1", idle.port), 10) as connection:
        connection.sendall(b"\x16\x03\x01\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert f"x-container-id: {socket.gethostname()}".encode() in answer.lower()


def knock(worker: Worker, header: bytes) -> socket.socket:
    """Send the head of a request, and return the connection."""
    connection = socket.create_connection(("127.0.0.1", worker.port), 10)
    token = b"Authorization: Bearer caller-token-0123456789"
    lines = (b"POST /commit-and-push HTTP/1.1", b"Host: worker", token, header, b"", b"")
    connection.sendall(b"\r\n".join(lines))
    return connection


def connection_ends(connection: socket.socket) -> bool:
    """Read until the server closes."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    return True
