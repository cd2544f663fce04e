"""Requests as clients may send them, handed over whole."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.life.conftest import events, job
from tests.supervisor.conftest import Start
from tests.support.worker import Worker

PATH = b"POST /commit-and-push HTTP/1.1\r\nHost: w\r\n"


@pytest.fixture
def service(start: Start) -> Worker:
    """Start a service of one worker."""
    return start(1)


def answer_to(service: Worker, *pieces: bytes) -> bytes:
    """Send pieces on a connection of their own and return all that comes."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_body_in_chunks(service: Worker) -> None:
    """Its framing is the acceptor's business."""

    def pieces() -> Iterator[bytes]:
        body = json.dumps(job()).encode()
        yield from (body[:10], body[10:11], body[11:])

    answer = httpx.post(f"{service.base_url}/commit-and-push", content=pieces(), trust_env=False, timeout=30)
    assert events(answer.text)[-1]["type"] == "completed"


def test_the_largest_body(service: Worker) -> None:
    """More than any buffer between two processes takes at once."""
    body = json.dumps(job()).encode()
    body += b" " * (1024 * 1024 - len(body))
    answer = httpx.post(f"{service.base_url}/commit-and-push", content=body, trust_env=False, timeout=30)
    assert events(answer.text)[-1]["type"] == "completed"


def test_a_client_that_waits_to_be_asked_for_its_body(service: Worker) -> None:
    """`Expect: 100-continue` is answered once, and then the job."""
    body = json.dumps(job()).encode()
    head = PATH + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = answer_to(service, head, body)
    assert answer.count(b"100 Continue") == 1
    assert events(answer.decode())[-1]["type"] == "completed"


def test_what_comes_after_a_request_is_not_another(service: Worker) -> None:
    """A connection that carries a job carries nothing else."""
    body = json.dumps(job()).encode()
    request = PATH + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = answer_to(service, request + request)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b'"type":"completed"') == 1


def test_answers_before_a_job_on_one_connection(service: Worker) -> None:
    """A client may ask how things are, and then start a job on the same connection."""
    with httpx.Client(base_url=service.base_url, trust_env=False, timeout=30) as client:
        assert client.get("/health").status_code == 200
        assert client.post("/commit-and-push", json={"sessionId": 1}).status_code == 400
        assert events(client.post("/commit-and-push", json=job()).text)[-1]["type"] == "completed"
        assert events(client.post("/commit-and-push", json=job()).text)[-1]["type"] == "completed"


def test_a_job_s_answer_has_the_headers_of_a_stream(service: Worker) -> None:
    """Which process answers makes no difference."""
    answer = httpx.post(f"{service.base_url}/commit-and-push", json=job(), trust_env=False, timeout=30)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["X-Container-ID"]
