"""What the methods send, and what they make of the answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from github_worker_client import (
    AnyEvent,
    Author,
    BranchCreated,
    Cloned,
    CommitAndPush,
    Committed,
    Completed,
    Failed,
    GitHubWorkerError,
    InvalidRequest,
    JobFailed,
    NotFound,
    PayloadTooLarge,
    Progress,
    Refused,
    Secret,
    SessionInitialised,
    SessionNamed,
    Transferred,
    Unauthorized,
    UnexpectedAnswer,
    WorkerUnavailable,
)
from github_worker_client.testing import (
    StandInWorker,
    completes,
    fails,
    hangs,
    progress,
    queued,
    refuses,
    transferred,
)
from tests.client.conftest import Connect

URL = "https://github.com/owner/repo"
TOKEN = "token-of-the-test"
COMMITTED = Committed(
    commit_hash="a" * 40,
    commit_message="Add parser",
    branch="work",
    pushed=True,
    files_changed=2,
    insertions=3,
    deletions=1,
)


async def test_clone_repository_returns_its_result(connect: Connect) -> None:
    """The result is a typed struct made of the completed event."""
    cloned = await connect().clone_repository(session_id="s1", repo_url=URL, branch="dev")
    assert isinstance(cloned, Cloned)
    assert (cloned.cloned_path, cloned.branch, cloned.was_cloned) == ("repo", "dev", True)


async def test_create_branch_returns_its_result(connect: Connect) -> None:
    """The result is a typed struct made of the completed event."""
    created = await connect().create_branch(
        session_id="s1", user_request="add dark mode", base_branch="main", access_token=TOKEN
    )
    assert isinstance(created, BranchCreated)
    assert (created.branch_name, created.base_branch) == ("webedt/add-dark-mode-s1", "main")


async def test_commit_and_push_returns_its_result(stand_in: StandInWorker, connect: Connect) -> None:
    """The result is a typed struct made of the completed event."""
    stand_in.play(completes(COMMITTED))
    assert await connect().commit_and_push(session_id="s1", access_token=TOKEN) == COMMITTED


async def test_init_session_returns_its_result(connect: Connect) -> None:
    """The result has the fields of both halves."""
    session = await connect().init_session(
        session_id="s1", repo_url=URL, user_request="add dark mode", access_token=TOKEN
    )
    assert isinstance(session, SessionInitialised)
    assert (session.was_cloned, session.session_title) == (True, "Add dark mode")


async def test_pull_requests_return_their_results(connect: Connect) -> None:
    """Opened by a session, merged by number, and taken all the way by branch."""
    worker = connect()
    opened = await worker.create_pull_request(session_id="s1", base="main", access_token=TOKEN)
    assert (opened.number, opened.state) == (1, "open")
    merged = await worker.merge_pull_request(owner="octo", repo="demo", pull_number=1, access_token=TOKEN)
    assert merged.merged
    finished = await worker.auto_pull_request(
        owner="octo", repo="demo", branch="webedt/x", base="main", access_token=TOKEN
    )
    assert (finished.step, finished.merge_pr.merged) == ("branch_deleted", True)


async def test_a_pull_request_needs_a_place(stand_in: StandInWorker, connect: Connect) -> None:
    """Either a session or owner, repo and head: the field that is missing is named, and nothing is sent."""
    with pytest.raises(InvalidRequest, match="repo"):
        await connect().create_pull_request(owner="octo", base="main", access_token=TOKEN)
    assert not stand_in.requests


async def test_fields_are_sent_as_the_contract_names_them(stand_in: StandInWorker, connect: Connect) -> None:
    """Names are camelCase, what was not given is absent, secrets are in clear."""
    await connect(token="bearer").commit_and_push(
        session_id="s1",
        access_token=Secret(TOKEN),
        claude_credentials={"claudeAiOauth": {"accessToken": "oauth"}},
        author=Author(name="Ada", email="ada@example.org"),
        on_secret="leave-out",
        request_id="r1",
    )
    (request,) = stand_in.requests
    assert (request.operation, request.token) == ("commit-and-push", "bearer")
    assert request.body == {
        "requestId": "r1",
        "sessionId": "s1",
        "claudeCredentials": '{"claudeAiOauth":{"accessToken":"oauth"}}',
        "githubAccessToken": TOKEN,
        "author": {"name": "Ada", "email": "ada@example.org"},
        "onSecret": "leave-out",
    }


async def test_a_request_without_an_id_is_given_one(stand_in: StandInWorker, connect: Connect) -> None:
    """Each call has an id of its own, so that it can be asked again."""
    for _ in range(2):
        await connect().commit_and_push(session_id="s1", access_token=TOKEN)
    first, second = (request.body["requestId"] for request in stand_in.requests)
    assert len(first) == 32
    assert first != second


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"session_id": "../s1"}, "sessionId"),
        ({"session_id": "s1", "access_token": " "}, "githubAccessToken"),
        ({"session_id": "s1", "author": {"name": "Ada"}}, "email"),
        ({"session_id": "s1", "message": 1}, "message"),
        ({"session_id": "s1", "request_id": "a b"}, "requestId"),
        ({"session_id": "s1", "user_id": object()}, "object"),
    ],
)
async def test_a_wrong_field_is_not_sent(
    stand_in: StandInWorker, connect: Connect, fields: dict[str, Any], named: str
) -> None:
    """It is found before a connection is made, and named."""
    with pytest.raises(InvalidRequest, match=named) as caught:
        await connect().commit_and_push(**({"access_token": TOKEN} | fields))
    assert stand_in.requests == []
    assert TOKEN not in repr(caught.value)


async def test_a_wrong_url_is_not_sent(stand_in: StandInWorker, connect: Connect) -> None:
    """It is found before a connection is made, and named."""
    with pytest.raises(InvalidRequest, match="repoUrl"):
        await connect().clone_repository(session_id="s1", repo_url="https://token@github.com/owner/repo")
    assert stand_in.requests == []


@pytest.mark.parametrize("is_async", [False, True])
async def test_events_are_handed_over_in_order(connect: Connect, is_async: bool) -> None:
    """`on_event` may be a function or a coroutine function, and sees the last event too."""
    seen: list[Any] = []

    async def note(event: Any) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    await connect().init_session(
        session_id="s1",
        repo_url=URL,
        user_request="add dark mode",
        access_token=TOKEN,
        on_event=note if is_async else seen.append,
    )
    assert seen[0].stage == "downloading_session"
    assert isinstance(seen[-2], SessionNamed)
    assert isinstance(seen[-1], Completed)


async def test_places_in_line_are_handed_over(stand_in: StandInWorker, connect: Connect) -> None:
    """A caller whose job waits for its turn learns how many are before it, each time that changes."""
    stand_in.play(completes(COMMITTED, queued(4), queued(1), progress("analyzing")))
    seen: list[Any] = []
    done = await connect().commit_and_push(session_id="s1", access_token=TOKEN, on_event=seen.append)
    assert [(event.stage, event.position) for event in seen[:3]] == [
        ("queued", 4),
        ("queued", 1),
        ("analyzing", None),
    ]
    assert done == COMMITTED


async def test_an_error_of_on_event_reaches_the_caller(connect: Connect) -> None:
    """The call ends with the caller's own exception."""

    def fail(event: object) -> None:
        raise LookupError("the caller's")

    with pytest.raises(LookupError):
        await connect().commit_and_push(session_id="s1", access_token=TOKEN, on_event=fail)


async def test_a_stream_can_be_iterated(stand_in: StandInWorker, connect: Connect) -> None:
    """Typed events come one by one, an error as the last of them."""
    stand_in.play(fails("push_rejected", "no", progress("pushing"), transferred("cloning", 1, 2)))
    request = CommitAndPush(session_id="s1", access_token=Secret(TOKEN))
    events = [event async for event in connect().stream(request)]
    assert isinstance(events[0], Progress)
    assert events[0].stage == "pushing"
    assert isinstance(events[1], Transferred)
    assert (events[1].stage, events[1].percent) == ("cloning", 50)
    assert isinstance(events[2], Failed)
    assert events[2].code == "push_rejected"


async def test_a_stream_can_be_left(stand_in: StandInWorker, connect: Connect) -> None:
    """Leaving early closes the connection; the stand-in is not waited for."""
    stand_in.play(hangs(progress("analyzing")))
    request = CommitAndPush(session_id="s1", access_token=Secret(TOKEN))
    async with aclosing(connect().stream(request)) as events:
        async for event in events:
            assert isinstance(event, Progress)
            break


async def test_a_call_can_be_cancelled(stand_in: StandInWorker, connect: Connect) -> None:
    """A caller's timeout ends the call."""
    stand_in.play(hangs())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connect().commit_and_push(session_id="s1", access_token=TOKEN)


async def test_an_error_event_is_raised(stand_in: StandInWorker, connect: Connect) -> None:
    """The exception carries what the event says, and the job is not asked for again."""
    stand_in.play(
        fails("storage_unavailable", "down", stage="uploading", retryable=True, data={"commitHash": "abc"})
    )
    with pytest.raises(JobFailed, match="down") as caught:
        await connect().commit_and_push(session_id="s1", access_token=TOKEN)
    error = caught.value
    assert (error.code, error.stage, error.retryable) == ("storage_unavailable", "uploading", True)
    assert error.data == {"commitHash": "abc"}
    assert len(stand_in.requests) == 1


async def test_an_exception_shows_no_token(stand_in: StandInWorker, connect: Connect) -> None:
    """Even a message that repeats the token is masked."""
    stand_in.play(fails("internal", f"cannot reach https://x:{TOKEN}@host with {TOKEN}"))
    with pytest.raises(JobFailed) as caught:
        await connect().commit_and_push(session_id="s1", access_token=TOKEN)
    assert TOKEN not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_request", InvalidRequest),
        (401, "unauthorized", Unauthorized),
        (404, "not_found", NotFound),
        (405, "method_not_allowed", Refused),
        (413, "payload_too_large", PayloadTooLarge),
        (500, "internal", Refused),
    ],
)
async def test_a_refusal_is_raised(
    stand_in: StandInWorker, connect: Connect, status: int, code: str, kind: type[GitHubWorkerError]
) -> None:
    """Each status has its class, and is not asked for again."""
    stand_in.play(refuses(status, code, "because"))
    with pytest.raises(kind, match="because") as caught:
        await connect().commit_and_push(session_id="s1", access_token=TOKEN)
    assert (type(caught.value), caught.value.code, caught.value.retryable) == (kind, code, False)
    assert len(stand_in.requests) == 1


async def test_an_event_of_a_newer_worker_is_passed_over(connect: Connect) -> None:
    """The client reads on to the outcome, and tells the caller of what it understands."""
    lines = [
        {"type": "thought", "source": "github-worker", "timestamp": "2026-01-31T09:00:00.000Z", "of": [1]},
        {"type": "progress", "source": "github-worker", "stage": "pondering", "message": "Pondering"},
        {
            "type": "completed",
            "source": "github-worker",
            "data": {"merged": True, "sha": None, "message": "Merged"},
            "timings": {},
        },
    ]
    stream = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
    head = {"Content-Type": "text/event-stream"}
    answer = httpx.Response(200, headers=head, text=stream)
    client = connect(transport=httpx.MockTransport(lambda request: answer))
    events: list[AnyEvent] = []
    await client.merge_pull_request(
        owner="acme", repo="shop", pull_number=1, access_token=TOKEN, on_event=events.append
    )
    assert [type(event) for event in events] == [Progress, Completed]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"type": "completed"}),
        httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text='data: {"type":"else"}\n\n'),
        httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text="data: {\n\n"),
        httpx.Response(
            200,
            headers={"Content-Type": "text/event-stream"},
            text='data: {"type":"completed","data":{"pushed":1},"timings":{}}\n\n',
        ),
    ],
    ids=["no stream", "no known event", "no JSON", "another result"],
)
async def test_what_is_no_worker_is_told_apart(connect: Connect, answer: httpx.Response) -> None:
    """An answer that cannot be read is an error of its own, and is not asked for again."""
    client = connect(transport=httpx.MockTransport(lambda request: answer))
    with pytest.raises(UnexpectedAnswer):
        await client.commit_and_push(session_id="s1", access_token=TOKEN)


async def test_a_refusal_in_other_words_is_raised(connect: Connect) -> None:
    """A page of some proxy is no reason to fail on it."""
    client = connect(transport=httpx.MockTransport(lambda request: httpx.Response(404, text="<html>")))
    with pytest.raises(NotFound, match="HTTP 404"):
        await client.commit_and_push(session_id="s1", access_token=TOKEN)


async def test_health_and_status_are_typed(connect: Connect) -> None:
    """Both describe the replica that answered."""
    client = connect()
    assert (await client.health()).worker_status == "idle"
    assert (await client.status()).active_operation is None


async def test_health_of_nobody_is_an_error_at_once(stand_in: StandInWorker, connect: Connect) -> None:
    """A health check wants the truth of now, so it is not retried."""
    with stand_in.unreachable(), pytest.raises(WorkerUnavailable):
        await connect().health()
