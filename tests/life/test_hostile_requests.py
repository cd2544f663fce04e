"""Requests and connections without an end, sent by somebody who has no token."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from itertools import repeat
from pathlib import Path

import httpx
import pytest

from github_worker.contract import MAX_BODY_BYTES
from tests.life.conftest import StartWorker, events, job, scripted
from tests.support.worker import Worker

MIB = 2**20
ENDLESS = 96 * MIB  # sent at most; the kernel's buffers take some of it from whoever is cut off
CUT_OFF = 24 * MIB
GROWTH = 24 * MIB  # of the process; what was endless once took four times its own size
CHUNKED = b"%s HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERED = CHUNKED % b"GET /health"
REFUSED = CHUNKED % b"POST /commit-and-push"
HEADS = {
    "a header": (b"GET /health HTTP/1.1\r\nX: ", b"x" * 65536),
    "headers": (b"GET /health HTTP/1.1\r\n", b"a:\r\n" * 16384),
    "requests": (b"", b"GET /openapi.json HTTP/1.1\r\nHost: w\r\n\r\n" * 1024),
}
PARTS = {
    "trailers": (b"0\r\n", b"a:b\r\n" * 16384),
    "one trailer": (b"0\r\na: ", b"x" * 65536),
    "one extension": (b"5;a=", b"x" * 65536),
    "extensions": (b"", (b"1;" + b"x" * 1024 + b"\r\na\r\n") * 64),
    "a body": (b"fffffffff\r\n", b"x" * 65536),
}
ATTACKS = HEADS | {
    f"{name} of {who}": (head + beginning, piece)
    for who, head in {"GET": ANSWERED, "POST": REFUSED}.items()
    for name, (beginning, piece) in PARTS.items()
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Yield a worker that asks for a token which nobody here has."""
    log = tmp_path_factory.mktemp("guarded") / "worker.log"
    with scripted(log, {}, {"GITHUB_WORKER_TOKEN": "caller-token-0123456789"}) as worker:
        yield worker


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_part_of_a_request_is_endless(guarded: Worker, attack: str) -> None:
    """Whatever part of a request does not end, the connection does, and the memory does not grow."""
    before = memory(guarded)
    beginning, piece = ATTACKS[attack]
    with connect(guarded) as connection:
        connection.sendall(beginning)
        assert sent_until_cut_off(connection, piece) < CUT_OFF
    assert memory(guarded) - before < GROWTH
    assert health(guarded)["workerStatus"] == "idle"


@pytest.mark.parametrize("request_", [b"GET /health", b"POST /commit-and-push"])
def test_a_body_that_drips_after_its_answer_keeps_no_connection(guarded: Worker, request_: bytes) -> None:
    """What is answered is closed, unless the rest of its body comes at once."""
    with connect(guarded) as connection:
        connection.sendall(request_ + b" HTTP/1.1\r\nHost: w\r\nContent-Length: 1000\r\n\r\n")
        assert read_answer(connection)[0] in {200, 401}
        assert drips_until_cut_off(connection, b"x") < 100


def test_what_drips_between_requests_keeps_no_connection(guarded: Worker) -> None:
    """After an answer the next request has a time to come in, whatever comes in its place."""
    with connect(guarded) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: w\r\n\r\n")
        assert read_answer(connection)[0] == 200
        assert drips_until_cut_off(connection, b"\r\n") < 300


def test_a_refused_body_that_comes_whole_keeps_the_connection(guarded: Worker) -> None:
    """A client that sends what is allowed reads its refusal, and may ask again on the same connection."""
    head = b"POST /commit-and-push HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n" % MAX_BODY_BYTES
    with connect(guarded) as connection:
        for _ in range(2):
            connection.sendall(head)
            assert read_answer(connection)[0] == 401
            connection.sendall(b" " * MAX_BODY_BYTES)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: w\r\n\r\n")
        assert read_answer(connection)[0] == 200


def test_a_body_in_chunks_of_a_byte_is_read(start: StartWorker) -> None:
    """However small its chunks are, a body within its limit is one, and so are a few trailers."""
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in b"{}".ljust(100_000))
    with connect(start()) as connection:
        connection.sendall(REFUSED + chunks + b"0\r\nDigest: none\r\n\r\n")
        status, body = read_answer(connection)
    assert (status, b"sessionId" in body) == (400, True)


def test_bodies_that_wait_for_their_end_do_not_fill_the_memory(start: StartWorker) -> None:
    """Many bodies at once, none of them whole, get no more memory than a few."""
    worker = start({"body": 10.0})
    before = memory(worker)
    head = b"POST /commit-and-push HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n" % MAX_BODY_BYTES
    with ExitStack() as opened:
        for connection in (opened.enter_context(connect(worker)) for _ in range(30)):
            with suppress(ConnectionError):
                connection.sendall(head + b" " * (MAX_BODY_BYTES - 1))
        assert health(worker)["workerStatus"] == "idle"
        assert memory(worker) - before < 64_000_000


def test_connections_without_an_end_harm_no_job(start: StartWorker, tmp_path: Path) -> None:
    """Whoever opens more than there are descriptors for breaks neither the job nor the health check."""
    worker = start()
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (256, 256))
    body = job(("wait_for", str(tmp_path / "go-on")), ("open", 100))
    url = f"{worker.base_url}/commit-and-push"
    with ExitStack() as opened, httpx.stream("POST", url, json=body, trust_env=False, timeout=30) as answer:
        for number in range(600):
            connection = opened.enter_context(connect(worker))
            with suppress(ConnectionError):
                connection.sendall((ANSWERED + b"1\r\n", REFUSED, b"GET ", b"")[number % 4])
        assert health(worker)["workerStatus"] == "busy"
        (tmp_path / "go-on").touch()
        assert events(answer.read().decode())[-1]["type"] == "completed"


def memory(worker: Worker) -> int:
    """Return how many bytes of a process are in memory."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def health(worker: Worker) -> dict[str, str]:
    """Ask for the health on a connection of its own."""
    answer: dict[str, str] = httpx.get(f"{worker.base_url}/health", trust_env=False, timeout=10).json()
    return answer


def connect(worker: Worker) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", worker.port), 30)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Return the status and the body of the next answer."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


def sent_until_cut_off(connection: socket.socket, piece: bytes) -> int:
    """Send a piece again and again until the server closes, and return how many bytes that took."""
    sent = 0
    for each in repeat(piece, ENDLESS // len(piece)):
        try:
            connection.sendall(each)
        except ConnectionError:
            break
        sent += len(each)
    return sent


def drips_until_cut_off(connection: socket.socket, drip: bytes) -> int:
    """Send a drip every tenth of a second until the server closes, and return how many that took."""
    connection.settimeout(0.1)
    for number in range(1000):
        try:
            connection.sendall(drip)
            while connection.recv(65536):
                pass
            return number
        except TimeoutError:
            time.sleep(0)
        except ConnectionError:
            return number
    return 1000
