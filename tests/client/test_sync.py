"""The blocking client: the async one's methods, for callers without an event loop."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import github_worker_client
from github_worker_client import (
    AnyEvent,
    CommitAndPush,
    Committed,
    Completed,
    InvalidRequest,
    JobFailed,
    Secret,
    WorkerUnavailable,
)
from github_worker_client.sync import GitHubWorker
from github_worker_client.testing import StandInWorker, busy, fails, hangs
from tests.client.conftest import IMPATIENT


@pytest.fixture
def client(stand_in: StandInWorker) -> Iterator[GitHubWorker]:
    """A blocking client of the stand-in."""
    with GitHubWorker(stand_in.base_url, backoff=IMPATIENT) as client:
        yield client


def test_a_job_is_run(stand_in: StandInWorker, client: GitHubWorker) -> None:
    """The result and the events are the async client's."""
    events: list[AnyEvent] = []
    stand_in.play(busy())
    done = client.commit_and_push(session_id="s1", access_token="t", on_event=events.append)
    assert isinstance(done, Committed)
    assert isinstance(events[-1], Completed)


def test_errors_are_raised(stand_in: StandInWorker, client: GitHubWorker) -> None:
    """They are those of the async client."""
    with pytest.raises(InvalidRequest, match="sessionId"):
        client.clone_repository(session_id="../x", repo_url="https://example.com/o/r")
    stand_in.play(fails("push_rejected", "No."))
    with pytest.raises(JobFailed, match="No"):
        client.commit_and_push(session_id="s1", access_token="t")


def test_events_are_iterated(client: GitHubWorker) -> None:
    """The last one is the outcome; leaving early is no error."""
    request = CommitAndPush(session_id="s1", access_token=Secret("t"))
    assert isinstance(list(client.stream(request))[-1], Completed)
    for _ in client.stream(request):
        break


def test_threads_share_a_client(client: GitHubWorker) -> None:
    """Their calls run side by side."""
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(client.commit_and_push, session_id=f"s{n}", access_token="t") for n in range(16)]
    assert all(job.result().pushed for job in jobs)


def test_closing_ends_what_runs(stand_in: StandInWorker) -> None:
    """A call of another thread ends too, and so does the client's own thread."""
    client = GitHubWorker(stand_in.base_url)
    stand_in.play(hangs())
    ended = threading.Event()

    def call() -> None:
        try:
            client.commit_and_push(session_id="s1", access_token="t")
        except BaseException:
            ended.set()

    thread = threading.Thread(target=call)
    thread.start()
    while not stand_in.requests:
        time.sleep(0.01)
    client.close()
    client.close()
    thread.join(5)
    assert ended.is_set()
    assert not any(thread.name == "github-worker" for thread in threading.enumerate())


def test_nobody_there_is_told(stand_in: StandInWorker) -> None:
    """A client whose options are the async one's."""
    with (
        stand_in.unreachable(),
        GitHubWorker(stand_in.base_url, unreachable_timeout=0.0) as client,
        pytest.raises(WorkerUnavailable, match=stand_in.base_url),
    ):
        client.commit_and_push(session_id="s1", access_token="t")


def test_every_method_is_there() -> None:
    """With the arguments and the words of the async one."""
    for name, method in inspect.getmembers(github_worker_client.GitHubWorker, inspect.isfunction):
        if name.startswith("_") or name == "aclose":
            continue
        twin = getattr(GitHubWorker, name)
        assert not inspect.iscoroutinefunction(twin)
        assert twin.__doc__
        assert list(inspect.signature(twin).parameters) == list(inspect.signature(method).parameters)
