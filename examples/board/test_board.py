"""The board alone: who has which task, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.board.api import application
from examples.board.board import Board
from examples.serving import serving

KEYS = {"tk_ours": "default", "tk_theirs": "other"}
TASK = {"title": "Add a theme", "repository_url": "https://github.com/owner/repo", "status": "todo"}


class Clock:
    """Tells the time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the board's clock."""
    return Clock()


@pytest.fixture
def board(tmp_path: Path, clock: Clock) -> Board:
    """Return a board whose claims last a minute."""
    return Board(tmp_path / "board.db", 60.0, clock)


@pytest.fixture
async def api(board: Board) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the board with the key of its default workspace."""
    async with serving(application(board, KEYS)) as url, client(url) as http:
        yield http


def client(url: str, key: str = "tk_ours") -> httpx.AsyncClient:
    """Return a client with a key."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=f"{url}/api", headers=headers, trust_env=False, timeout=60)


async def add(api: httpx.AsyncClient, **fields: Any) -> str:
    """Put a task on the board and return its id."""
    answer = await api.post("/tasks", json=TASK | fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["task"]["id"])


async def claim(api: httpx.AsyncClient, bot: str = "Bot-John") -> Any:
    """Claim a task."""
    answer = await api.post("/tasks/claim", json={"bot_name": bot, "workspace_id": "default"})
    return answer.raise_for_status().json()["task"]


async def show(api: httpx.AsyncClient, id_: str) -> Any:
    """Return a task with its comments."""
    return (await api.get(f"/tasks/{id_}")).raise_for_status().json()["task"]


async def report(api: httpx.AsyncClient, task: Any, **fields: Any) -> int:
    """Say something of a claimed task, and return the status of the answer."""
    return (await api.post(f"/claims/{task['claim']}", json=fields)).status_code


async def test_ten_bots_claim_a_hundred_tasks_each_once(tmp_path: Path) -> None:
    """Though two processes serve the board at once, no task goes to two bots, and none to nobody."""
    async with AsyncExitStack() as stack:
        boards = [application(Board(tmp_path / "board.db"), KEYS) for _ in range(2)]
        urls = [await stack.enter_async_context(serving(board)) for board in boards]
        bots = [await stack.enter_async_context(client(urls[number % 2])) for number in range(10)]
        ids = [await add(bots[0], title=f"Task {number}") for number in range(100)]

        async def take(bot: httpx.AsyncClient) -> list[str]:
            claimed = []
            while (task := await claim(bot)) is not None:
                claimed.append(task["id"])
            return claimed

        taken = await asyncio.gather(*map(take, bots))
    assert sorted(id_ for claimed in taken for id_ in claimed) == sorted(ids)
    assert len([claimed for claimed in taken if claimed]) > 1


async def test_the_most_urgent_task_is_claimed_first(api: httpx.AsyncClient) -> None:
    """Of two that are as urgent it is the older one."""
    low = await add(api, priority="low")
    first, second = await add(api, priority="high"), await add(api, priority="high")
    assert [(await claim(api))["id"] for _ in range(3)] == [first, second, low]
    assert await claim(api) is None


@pytest.mark.parametrize("status", ["backlog", "blocked", "review", "done"])
async def test_a_task_that_is_not_to_do_is_not_claimed(api: httpx.AsyncClient, status: str) -> None:
    """A bot takes what is `todo`, and nothing else."""
    id_ = await add(api)
    await api.patch(f"/tasks/{id_}", json={"status": status})
    assert await claim(api) is None
    await api.patch(f"/tasks/{id_}", json={"status": "todo"})
    assert (await claim(api))["id"] == id_


async def test_a_key_opens_its_own_workspace_alone(api: httpx.AsyncClient) -> None:
    """The tasks of another one are not listed, shown, moved or claimed; a wrong key opens nothing."""
    id_ = await add(api)
    held = await claim(api)
    async with client(str(api.base_url).removesuffix("/api/"), "tk_theirs") as theirs:
        assert (await theirs.get("/tasks")).json() == {"tasks": []}
        assert (await theirs.get(f"/tasks/{id_}")).status_code == 404
        assert (await theirs.patch(f"/tasks/{id_}", json={"status": "done"})).status_code == 404
        assert (await theirs.post(f"/tasks/{id_}/comments", json={"content": "x"})).status_code == 404
        assert await report(theirs, held, status="review") == 409
        refused = await theirs.post("/tasks/claim", json={"bot_name": "B", "workspace_id": "default"})
        assert (refused.status_code, "default" in refused.json()["error"]) == (403, True)
        theirs.headers["Authorization"] = "Bearer tk_nobodys"
        assert (await theirs.get("/tasks")).status_code == 401
    assert (await show(api, id_))["status"] == "in_progress"


async def test_a_claim_that_is_not_renewed_goes_back(api: httpx.AsyncClient, clock: Clock) -> None:
    """Another bot gets the task, and who had it can neither speak of it nor end it."""
    id_ = await add(api)
    first = await claim(api, "Bot-John")
    clock.now += 59
    assert await claim(api) is None
    clock.now += 1
    second = await claim(api, "Bot-Gordon")
    assert second["id"] == id_
    assert await report(api, first, comment="I am back", status="review") == 409
    assert await report(api, second, status="review") == 200
    shown = await show(api, id_)
    assert (shown["status"], shown["bot_name"]) == ("review", "Bot-Gordon")
    assert [said["content"] for said in shown["comments"]] == ["Bot-John was not heard of any more"]


async def test_whatever_a_bot_says_renews_its_claim(api: httpx.AsyncClient, clock: Clock) -> None:
    """Nobody else gets the task as long as its bot is heard of."""
    await add(api)
    held = await claim(api)
    for _ in range(5):
        clock.now += 59
        assert await report(api, held) == 200
        assert await claim(api) is None


async def test_a_task_that_kills_its_bots_is_blocked(api: httpx.AsyncClient, clock: Clock) -> None:
    """After three of them nobody gets it, until a person puts it back."""
    id_ = await add(api)
    for _ in range(3):
        assert (await claim(api))["id"] == id_
        clock.now += 60
    assert await claim(api) is None
    assert (await show(api, id_))["status"] == "blocked"
    await api.patch(f"/tasks/{id_}", json={"status": "todo"})
    assert (await claim(api))["attempts"] == 1


async def test_a_task_that_failed_rests_before_the_next_try(api: httpx.AsyncClient, clock: Clock) -> None:
    """It is to do again after as long as a claim lasts; the third failure blocks it."""
    id_ = await add(api)
    for expected in ("todo", "todo", "blocked"):
        held = await claim(api)
        assert await report(api, held, status="todo", comment="no", comment_type="error") == 200
        assert (await show(api, id_))["status"] == expected
        assert await claim(api) is None
        clock.now += 60
    assert await claim(api) is None


async def test_what_is_said_twice_is_heard_once(api: httpx.AsyncClient) -> None:
    """A bot that had no answer says it again: one comment, one end."""
    id_ = await add(api)
    held = await claim(api)
    for _ in range(2):
        assert await report(api, held, comment="The agent works", number=1) == 200
    for _ in range(2):
        assert await report(api, held, comment="Done", status="review", pr_url="https://github.com/1") == 200
    assert await report(api, held, comment="One more thing", number=2) == 409
    shown = await show(api, id_)
    assert [said["content"] for said in shown["comments"]] == ["The agent works", "Done"]
    assert (shown["status"], shown["pr_url"]) == ("review", "https://github.com/1")


async def test_a_person_takes_a_task_from_its_bot(api: httpx.AsyncClient) -> None:
    """Moved by a person, it is the bot's no more."""
    id_ = await add(api)
    held = await claim(api)
    await api.patch(f"/tasks/{id_}", json={"status": "backlog"})
    assert await report(api, held, status="review") == 409
    assert (await show(api, id_))["status"] == "backlog"


async def test_a_task_that_comes_back_from_review_is_in_its_next_round(api: httpx.AsyncClient) -> None:
    """What a person says of it goes with it; one that was blocked goes on in the same round."""
    id_ = await add(api)
    await report(api, await claim(api), status="review")
    await api.post(f"/tasks/{id_}/comments", json={"content": "Make it darker", "author_name": "Ada"})
    await api.patch(f"/tasks/{id_}", json={"status": "todo"})
    again = await claim(api)
    assert (again["round"], [said["author_name"] for said in again["comments"]]) == (2, ["Ada"])
    for status in ("blocked", "todo"):
        await api.patch(f"/tasks/{id_}", json={"status": status})
    assert (await claim(api))["round"] == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/tasks", {"title": "No repository"}, 400),
        ("POST", "/tasks", TASK | {"status": "in_progress"}, 400),
        ("PATCH", "/tasks/task_1", {"status": "in_progress"}, 400),
        ("PATCH", "/tasks/task_1", {"status": "todo"}, 404),
        ("GET", "/tasks/task_1", None, 404),
        ("POST", "/claims/1", {"status": "done"}, 400),
        ("POST", "/claims/1", {}, 409),
    ],
)
async def test_what_makes_no_sense_is_refused(
    api: httpx.AsyncClient, method: str, path: str, body: Any, status: int
) -> None:
    """The answer says why."""
    answer = await api.request(method, path, json=body)
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
