"""Busy replicas, replicas that restart, streams that break."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from github_worker_client import (
    Backoff,
    JobFailed,
    StreamBroken,
    WorkerBusy,
    WorkerUnavailable,
)
from github_worker_client.testing import (
    Answer,
    StandInWorker,
    Stream,
    busy,
    cut_off,
    drops,
    fails,
    hangs,
    progress,
    shutting_down,
)
from tests.client.conftest import Connect
from tests.support.balancer import Balancer
from tests.support.clock import HastyClock

SLOW = Backoff(first=8.0, longest=8.0)
REQUEST: dict[str, Any] = {"session_id": "s1", "access_token": "token-of-the-test"}


def _request_ids(stand_in: StandInWorker) -> list[str]:
    return [request.body["requestId"] for request in stand_in.requests]


@pytest.mark.parametrize("answer", [busy(), shutting_down(), drops()], ids=["busy", "leaving", "dropped"])
async def test_a_replica_that_cannot_is_left_for_another(
    stand_in: StandInWorker, connect: Connect, answer: Answer
) -> None:
    """The job is asked for until a replica takes it, under one id."""
    stand_in.play(*[answer] * 5)
    assert (await connect().commit_and_push(**REQUEST)).pushed
    assert len(_request_ids(stand_in)) == 6
    assert len(set(_request_ids(stand_in))) == 1


async def test_each_try_has_a_connection_of_its_own(stand_in: StandInWorker, connect: Connect) -> None:
    """A balancer of connections can give each try to another replica."""
    stand_in.play(busy(), busy(), busy())
    async with Balancer(int(stand_in.base_url.rpartition(":")[2])) as balancer:
        client = connect(base_url=balancer.base_url)
        await client.commit_and_push(**REQUEST)
        await client.health()
        assert balancer.connections == 5


async def test_replicas_that_restart_are_waited_for(stand_in: StandInWorker, connect: Connect) -> None:
    """Refused connections are no failure while there is time."""
    with stand_in.unreachable():
        call = asyncio.create_task(connect().commit_and_push(**REQUEST))
        await asyncio.sleep(0.05)
        assert not call.done()
    assert (await call).pushed


async def test_busy_for_too_long_is_an_error(stand_in: StandInWorker, connect: Connect) -> None:
    """After `busy_timeout` the caller is told, and may try again later."""
    clock = HastyClock()
    began = clock.now()
    stand_in.play(*[busy(retry_after=7)] * 1000)
    with pytest.raises(WorkerBusy) as caught:
        await connect(busy_timeout=60.0, backoff=SLOW, clock=clock).commit_and_push(**REQUEST)
    assert (caught.value.code, caught.value.retryable, caught.value.retry_after) == ("busy", True, 7.0)
    assert 53.0 <= clock.now() - began <= 60.0
    assert 9 <= len(stand_in.requests) <= 18  # 3.5 to 7 s apart, as the worker proposed


async def test_an_address_where_nobody_ever_was(stand_in: StandInWorker, connect: Connect) -> None:
    """It is probably wrong: the caller is told soon, with the address."""
    clock = HastyClock()
    began = clock.now()
    with stand_in.unreachable(), pytest.raises(WorkerUnavailable, match=stand_in.base_url) as caught:
        await connect(busy_timeout=60.0, clock=clock).commit_and_push(**REQUEST)
    assert (caught.value.code, caught.value.retryable) == ("unavailable", True)
    assert 9.9 <= clock.now() - began <= 10.0


async def test_nobody_for_too_long_is_an_error(stand_in: StandInWorker, connect: Connect) -> None:
    """Where somebody was once, replicas may be restarting: the caller is told after `busy_timeout`."""
    clock = HastyClock()
    client = connect(busy_timeout=60.0, backoff=SLOW, clock=clock)
    await client.commit_and_push(**REQUEST)
    began = clock.now()
    with stand_in.unreachable(), pytest.raises(WorkerUnavailable):
        await client.commit_and_push(**REQUEST)
    assert 52.0 <= clock.now() - began <= 60.0


async def test_a_replica_that_drops_requests_is_somebody(stand_in: StandInWorker, connect: Connect) -> None:
    """What accepts connections may be a worker that restarts."""
    clock = HastyClock()
    began = clock.now()
    stand_in.play(*[drops()] * 100)
    with pytest.raises(WorkerUnavailable):
        await connect(busy_timeout=60.0, backoff=SLOW, clock=clock).commit_and_push(**REQUEST)
    assert 52.0 <= clock.now() - began <= 60.0


async def test_retry_after_caps_the_wait(stand_in: StandInWorker, connect: Connect) -> None:
    """A worker that will be free in a moment is not left waiting for a long backoff."""
    stand_in.play(busy(retry_after=0))
    client = connect(backoff=Backoff(first=1000.0, longest=1000.0))
    assert (await client.commit_and_push(**REQUEST)).pushed


@pytest.mark.parametrize(
    "broken",
    [
        cut_off(),
        cut_off(progress("analyzing")),
        Stream((progress("analyzing"),)),
        hangs(progress("analyzing")),
    ],
    ids=["cut off early", "cut off", "ended early", "silent"],
)
async def test_a_broken_stream_is_asked_for_again(
    stand_in: StandInWorker, connect: Connect, broken: Answer
) -> None:
    """The same request id gives the outcome of the job whose stream was lost."""
    stand_in.play(broken, broken)
    client = connect(silence_timeout=1.0)  # what a busy machine may take for an answer, and no more
    assert (await client.commit_and_push(**REQUEST)).pushed
    assert len(_request_ids(stand_in)) == 3
    assert len(set(_request_ids(stand_in))) == 1


async def test_the_callers_request_id_is_kept(stand_in: StandInWorker, connect: Connect) -> None:
    """A caller that stores its id can ask again after a crash of its own."""
    stand_in.play(cut_off())
    await connect().commit_and_push(**REQUEST, request_id="mine")
    assert _request_ids(stand_in) == ["mine", "mine"]


async def test_a_stream_that_stays_broken_is_an_error(stand_in: StandInWorker, connect: Connect) -> None:
    """The error says under which id the outcome can be asked for."""
    stand_in.play(*[cut_off()] * 10)
    with pytest.raises(StreamBroken) as caught:
        await connect(stream_attempts=3).commit_and_push(**REQUEST)
    assert _request_ids(stand_in) == [caught.value.request_id] * 3


async def test_nobody_to_ask_again_is_a_broken_stream(stand_in: StandInWorker, connect: Connect) -> None:
    """Once a job was started its outcome is unknown, so busy replicas are not the error."""
    stand_in.play(cut_off(), *[busy(retry_after=1)] * 10_000)
    with pytest.raises(StreamBroken) as caught:
        await connect(busy_timeout=60.0, backoff=SLOW, clock=HastyClock()).commit_and_push(**REQUEST)
    assert caught.value.request_id == _request_ids(stand_in)[0]
    assert isinstance(caught.value.__cause__, WorkerBusy)


async def test_a_retryable_error_is_the_callers_to_retry(stand_in: StandInWorker, connect: Connect) -> None:
    """The client does not decide that a job is worth a second try."""
    stand_in.play(fails("remote_unavailable", retryable=True))
    with pytest.raises(JobFailed):
        await connect().commit_and_push(**REQUEST)
    assert len(stand_in.requests) == 1
