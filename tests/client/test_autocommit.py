"""AutoCommit against a stand-in worker, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from msgspec import structs

from github_worker_client import (
    AutoCommit,
    Backoff,
    Committed,
    Credentials,
    GitHubWorkerError,
    JobFailed,
    NotCommitted,
    PushError,
    StreamBroken,
)
from github_worker_client.testing import StandInWorker, completes, cut_off, fails
from tests.client.conftest import Connect
from tests.client.test_client import COMMITTED
from tests.support.clock import FakeClock


class _Caller:
    """The hooks of a collaborative worker; `told` are the commits that it heard of."""

    def __init__(self) -> None:
        self.saved: list[str] = []
        self.told: asyncio.Queue[tuple[str, Committed]] = asyncio.Queue()
        self.tokens = iter(range(1000))
        self.may_save = asyncio.Event()
        self.may_save.set()
        self.saving = asyncio.Event()
        self.faults: list[BaseException] = []
        self.deaf: list[Exception] = []

    async def save(self, session_id: str) -> None:
        """Save, when it may."""
        self.saved.append(session_id)
        self.saving.set()
        await self.may_save.wait()
        if self.faults:
            raise self.faults.pop(0)

    async def committed(self, session_id: str, result: Committed) -> None:
        """Hear of a commit."""
        if self.deaf:
            raise self.deaf.pop(0)
        self.told.put_nowait((session_id, result))

    def credentials(self, session_id: str, user_id: str | None) -> Credentials:
        """Give another token each time."""
        return Credentials(f"token-{next(self.tokens)}-of-{user_id}")


Start = Callable[..., AutoCommit]


@pytest.fixture
def caller() -> _Caller:
    """The hooks, which do as they should."""
    return _Caller()


@pytest.fixture
def clock() -> FakeClock:
    """The time, which stands still."""
    return FakeClock()


@pytest.fixture
async def start(connect: Connect, caller: _Caller, clock: FakeClock) -> AsyncIterator[Start]:
    """Start AutoCommits that are cancelled, not flushed, when the test is over."""
    async with AsyncExitStack() as stack:

        def start(**options: Any) -> AutoCommit:
            settings: dict[str, Any] = {
                "credentials": caller.credentials,
                "save": caller.save,
                "committed": caller.committed,
                "clock": clock,
                "backoff": Backoff(first=10.0, longest=60.0),
            }
            auto = AutoCommit(connect(stream_attempts=1), **(settings | options))
            stack.push_async_callback(_abandon, auto)
            return auto

        yield start


async def _abandon(auto: AutoCommit) -> None:
    closing = asyncio.create_task(auto.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)


def _tasks() -> list[str]:
    return [name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("auto-commit")]


def _request_ids(stand_in: StandInWorker) -> list[str]:
    return [request.body["requestId"] for request in stand_in.requests]


async def test_an_edit_is_committed_after_the_cooldown(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """Storage is given the edits first, then the commit is made, then the caller is told."""
    auto = start()
    auto.touch("s1", "ada")
    assert await clock.waits.get() == 300.0
    assert (caller.saved, stand_in.requests) == ([], [])
    clock.advance(300.0)
    session_id, result = await caller.told.get()
    assert (session_id, result.pushed, caller.saved) == ("s1", True, ["s1"])
    assert stand_in.requests[0].body | {"requestId": ""} == {
        "requestId": "",
        "sessionId": "s1",
        "githubAccessToken": "token-0-of-ada",
        "userId": "ada",
    }


async def test_a_commit_does_with_credentials_what_it_is_told(
    stand_in: StandInWorker, start: Start, caller: _Caller
) -> None:
    """Without a word of it, the worker's own setting counts."""
    for choice in (None, "leave-out"):
        auto = start(on_secret=choice)
        auto.touch("s1")
        await auto.flush()
    assert [request.body.get("onSecret") for request in stand_in.requests] == [None, "leave-out"]


async def test_a_commit_does_what_git_lfs_does_if_it_is_told(
    stand_in: StandInWorker, start: Start, caller: _Caller
) -> None:
    """Without a word of it, the worker's own setting counts."""
    for choice in (None, True):
        auto = start(lfs=choice)
        auto.touch("s1")
        await auto.flush()
    assert [request.body.get("lfs") for request in stand_in.requests] == [None, True]


async def test_edits_put_the_commit_off(start: Start, caller: _Caller, clock: FakeClock) -> None:
    """The cooldown runs from the last edit."""
    auto = start()
    auto.touch("s1")
    assert await clock.waits.get() == 300.0
    clock.advance(200.0)
    auto.touch("s1")
    clock.advance(100.0)
    assert await clock.waits.get() == 200.0
    assert caller.saved == []
    clock.advance(200.0)
    await caller.told.get()


async def test_edits_cannot_put_the_commit_off_for_ever(
    start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """After `max_wait` the first edit is committed, however busy the session is."""
    auto = start(max_wait=500.0)
    auto.touch("s1")
    await clock.waits.get()
    clock.advance(290.0)
    auto.touch("s1")
    clock.advance(10.0)
    assert await clock.waits.get() == 200.0
    auto.touch("s1")
    clock.advance(200.0)
    await caller.told.get()


async def test_sessions_do_not_wait_for_each_other(start: Start, caller: _Caller, clock: FakeClock) -> None:
    """One session in the middle of its commit does not hold up another."""
    auto = start()
    caller.may_save.clear()
    auto.touch("s1")
    auto.touch("s2")
    await clock.waits.get()
    await clock.waits.get()
    clock.advance(300.0)
    await caller.saving.wait()
    await asyncio.sleep(0)
    assert sorted(caller.saved) == ["s1", "s2"]
    caller.may_save.set()
    assert {(await caller.told.get())[0] for _ in range(2)} == {"s1", "s2"}


async def test_an_edit_during_a_commit_is_committed_after_it(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """One commit in flight per session, and its own cooldown for what came meanwhile."""
    auto = start()
    caller.may_save.clear()
    auto.touch("s1", "ada")
    await clock.waits.get()
    clock.advance(300.0)
    await caller.saving.wait()
    auto.touch("s1", "bob")
    clock.advance(100.0)
    caller.may_save.set()
    await caller.told.get()
    assert await clock.waits.get() == 200.0
    assert len(stand_in.requests) == 1
    clock.advance(200.0)
    await caller.told.get()
    assert [request.body["userId"] for request in stand_in.requests] == ["ada", "bob"]
    assert len(set(_request_ids(stand_in))) == 2


async def test_a_session_at_rest_costs_nothing(start: Start, caller: _Caller, clock: FakeClock) -> None:
    """After the commit nothing of the session is kept."""
    auto = start()
    auto.touch("s1")
    assert auto.pending == {"s1"}
    await auto.flush()
    await asyncio.sleep(0)
    assert auto.pending == frozenset()
    assert _tasks() == []


async def test_a_failed_job_is_tried_again_as_a_new_one(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """The outcome was a failure, so the next try is a commit of its own, with fresh credentials."""
    stand_in.play(fails("authentication_failed"), fails("authentication_failed"))
    auto = start()
    auto.touch("s1", "ada")
    await clock.waits.get()
    clock.advance(300.0)
    assert 5.0 <= await clock.waits.get() <= 10.0
    clock.advance(10.0)
    assert 10.0 <= await clock.waits.get() <= 20.0
    clock.advance(20.0)
    await caller.told.get()
    assert len(set(_request_ids(stand_in))) == 3
    tokens = [request.body["githubAccessToken"] for request in stand_in.requests]
    assert tokens == ["token-0-of-ada", "token-1-of-ada", "token-2-of-ada"]


async def test_a_success_ends_the_backoff(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """A failure long after it waits as a first one does."""
    stand_in.play(fails("internal"), fails("internal"))
    auto = start()
    auto.touch("s1")
    for wait in (300.0, 10.0):
        await clock.waits.get()
        clock.advance(wait)
    await clock.waits.get()
    caller.may_save.clear()
    caller.saving.clear()
    clock.advance(20.0)
    await caller.saving.wait()
    auto.touch("s1")
    stand_in.play(completes(COMMITTED), fails("internal"))
    caller.may_save.set()
    await caller.told.get()
    assert await clock.waits.get() == 300.0
    clock.advance(300.0)
    assert 5.0 <= await clock.waits.get() <= 10.0


async def test_a_lost_outcome_is_asked_for_under_the_same_id(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """The worker may have made the commit, so a new id could make it twice."""
    stand_in.play(cut_off(), cut_off())
    auto = start()
    auto.touch("s1", "ada")
    await clock.waits.get()
    clock.advance(300.0)
    for _ in range(2):
        await clock.waits.get()
        clock.advance(60.0)
    await caller.told.get()
    assert len(_request_ids(stand_in)) == 3
    assert len(set(_request_ids(stand_in))) == 1


async def test_edits_after_a_lost_outcome_get_a_commit_of_their_own(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """The outcome that is asked for again does not speak of them."""
    stand_in.play(cut_off())
    auto = start()
    auto.touch("s1", "ada")
    await clock.waits.get()
    clock.advance(300.0)
    await clock.waits.get()
    auto.touch("s1", "bob")
    clock.advance(10.0)
    await caller.told.get()
    await clock.waits.get()
    clock.advance(300.0)
    await caller.told.get()
    first, again, second = _request_ids(stand_in)
    assert first == again != second
    assert [request.body["userId"] for request in stand_in.requests] == ["ada", "ada", "bob"]


async def test_a_save_that_fails_keeps_the_edit(
    stand_in: StandInWorker,
    start: Start,
    caller: _Caller,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is committed that storage does not have; the failure is logged."""
    caller.faults.append(OSError("disk full"))
    auto = start()
    auto.touch("s1")
    await clock.waits.get()
    clock.advance(300.0)
    assert 5.0 <= await clock.waits.get() <= 10.0
    assert stand_in.requests == []
    assert "s1 is not committed" in caplog.text
    assert "disk full" in caplog.text
    clock.advance(10.0)
    await caller.told.get()
    assert caller.saved == ["s1", "s1"]


async def test_a_hook_that_is_cancelled_keeps_the_edit(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """What a hook awaits may be cancelled by someone else; that is a failure like any other."""
    caller.faults.append(asyncio.CancelledError())
    auto = start()
    auto.touch("s1")
    with pytest.raises(NotCommitted, match="a hook was cancelled"):
        await auto.flush()
    await auto.flush()
    assert len(stand_in.requests) == 1


async def test_credentials_that_fail_keep_the_edit(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """They may be async, and may be missing for a while."""
    available = iter([False, True])

    async def credentials(session_id: str, user_id: str | None) -> Credentials:
        if not next(available):
            raise LookupError("no token yet")
        return Credentials("a-token", {"apiKey": "a-key"})

    auto = start(credentials=credentials)
    auto.touch("s1")
    await clock.waits.get()
    clock.advance(300.0)
    await clock.waits.get()
    clock.advance(10.0)
    await caller.told.get()
    (request,) = stand_in.requests
    assert request.body["claudeCredentials"] == '{"apiKey": "a-key"}'


async def test_a_committed_hook_that_fails_is_told_again(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """The commit is made, so it is only the caller who has to hear of it again."""
    caller.deaf.append(ConnectionError("no listener"))
    auto = start()
    auto.touch("s1")
    await clock.waits.get()
    clock.advance(300.0)
    await clock.waits.get()
    clock.advance(10.0)
    _, result = await caller.told.get()
    assert result.pushed
    assert (len(stand_in.requests), caller.saved) == (1, ["s1"])


async def test_flush_commits_without_waiting(stand_in: StandInWorker, start: Start, caller: _Caller) -> None:
    """What is pending in the sessions named is committed when it returns."""
    auto = start()
    auto.touch("s1")
    auto.touch("s2")
    await auto.flush("s1", "unknown")
    assert [request.body["sessionId"] for request in stand_in.requests] == ["s1"]
    await auto.flush()
    assert [request.body["sessionId"] for request in stand_in.requests] == ["s1", "s2"]


async def test_flush_during_a_commit_waits_for_the_next_too(
    stand_in: StandInWorker, start: Start, caller: _Caller
) -> None:
    """The edits that came during the commit are in the one after it."""
    auto = start()
    caller.may_save.clear()
    auto.touch("s1", "ada")
    first = asyncio.create_task(auto.flush())
    await caller.saving.wait()
    auto.touch("s1", "bob")
    second = asyncio.create_task(auto.flush())
    await asyncio.sleep(0)
    caller.may_save.set()
    await asyncio.gather(first, second)
    assert [request.body["userId"] for request in stand_in.requests] == ["ada", "bob"]


async def test_flush_does_not_end_with_an_older_edits_lost_outcome(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """Edits that came after the lost attempt are committed before it returns."""
    stand_in.play(cut_off())
    auto = start()
    auto.touch("s1", "ada")
    with pytest.raises(NotCommitted) as caught:
        await auto.flush()
    assert isinstance(caught.value.errors["s1"], StreamBroken)
    auto.touch("s1", "bob")
    await auto.flush()
    assert [request.body["userId"] for request in stand_in.requests] == ["ada", "ada", "bob"]


async def test_flush_tells_what_failed(stand_in: StandInWorker, start: Start, clock: FakeClock) -> None:
    """The error names the session and holds the reason; the edit is pending, and not tried again at once."""
    stand_in.play(fails("secret_detected", "a secret in config.py"))
    auto = start()
    auto.touch("s1")
    await clock.waits.get()
    with pytest.raises(NotCommitted, match=r"s1: a secret in config\.py") as caught:
        await auto.flush()
    assert isinstance(caught.value.errors["s1"], JobFailed)
    assert auto.pending == {"s1"}
    assert await clock.waits.get() == 300.0
    assert len(stand_in.requests) == 1
    await auto.flush()
    assert len(stand_in.requests) == 2


async def test_a_flush_that_is_given_up_leaves_the_commit_running(
    stand_in: StandInWorker, start: Start, caller: _Caller
) -> None:
    """A caller's timeout does not take the commit away from others."""
    auto = start()
    caller.may_save.clear()
    auto.touch("s1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await auto.flush()
    caller.may_save.set()
    await caller.told.get()
    assert len(stand_in.requests) == 1


async def test_close_commits_what_is_pending(connect: Connect, caller: _Caller) -> None:
    """Leaving the context commits; afterwards edits are refused, loudly."""
    async with AutoCommit(
        connect(), credentials=caller.credentials, save=caller.save, committed=caller.committed
    ) as auto:
        auto.touch("s1")
        auto.touch("s2")
    assert {caller.told.get_nowait()[0] for _ in range(2)} == {"s1", "s2"}
    with pytest.raises(RuntimeError, match="closed"):
        auto.touch("s1")


async def test_close_waits_for_a_commit_in_flight(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """It is finished, not cut off."""
    auto = start()
    caller.may_save.clear()
    auto.touch("s1")
    await clock.waits.get()
    clock.advance(300.0)
    await caller.saving.wait()
    closing = asyncio.create_task(auto.close())
    await asyncio.sleep(0)
    caller.may_save.set()
    await closing
    assert len(stand_in.requests) == 1


async def test_close_gives_a_failing_commit_one_try(stand_in: StandInWorker, start: Start) -> None:
    """It ends in time, says what is lost, and leaves no task behind."""
    stand_in.play(*[fails("internal")] * 10)
    auto = start()
    auto.touch("s1")
    with pytest.raises(NotCommitted):
        await auto.close()
    assert len(stand_in.requests) == 1
    assert _tasks() == []


async def test_a_close_that_is_cut_short_leaves_no_task(start: Start, caller: _Caller) -> None:
    """A hook that never returns cannot keep the process."""
    auto = start()
    caller.may_save.clear()
    auto.touch("s1")
    waiting = asyncio.create_task(auto.flush())
    await caller.saving.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await auto.close()
    with pytest.raises(NotCommitted) as caught:
        await waiting
    assert isinstance(caught.value.errors["s1"], GitHubWorkerError)
    assert _tasks() == []


async def test_a_push_that_time_may_cure_is_tried_again(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """The commit waits in the session: a new request pushes it, and only then is the caller told."""
    error = PushError(code="remote_unavailable", message="no answer")
    stand_in.play(completes(structs.replace(COMMITTED, pushed=False, push_error=error)), completes(COMMITTED))
    start().touch("s1")
    clock.advance(await clock.waits.get())
    clock.advance(await clock.waits.get())
    assert await asyncio.wait_for(caller.told.get(), 5) == ("s1", COMMITTED)
    assert len(set(_request_ids(stand_in))) == 2


async def test_a_push_that_was_refused_is_told(
    stand_in: StandInWorker, start: Start, caller: _Caller, clock: FakeClock
) -> None:
    """Trying it again would change nothing; the caller sees why."""
    refused = structs.replace(
        COMMITTED, pushed=False, push_error=PushError(code="push_rejected", message="protected")
    )
    stand_in.play(completes(refused))
    start().touch("s1")
    clock.advance(await clock.waits.get())
    assert await asyncio.wait_for(caller.told.get(), 5) == ("s1", refused)
    assert len(stand_in.requests) == 1
