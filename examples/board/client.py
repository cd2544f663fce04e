"""The board's API as a bot uses it."""

from __future__ import annotations

import asyncio
import logging
from itertools import count
from typing import Any, Self

import httpx
import msgspec

from examples.board.board import Report
from github_worker_client import Backoff, Secret

_BACKOFF = Backoff(first=0.5, longest=30)
_logger = logging.getLogger(__name__)


class Claim(msgspec.Struct, frozen=True):
    """A task that is this bot's, for `lease` seconds after each report."""

    id: str
    round: int
    title: str
    description: str
    repository_url: str
    base_branch: str | None
    comments: list[dict[str, Any]]
    claim: str
    lease: float


class Unreachable(Exception):
    """The board does not answer."""


class Refused(Exception):
    """The board does not take this bot's key, or not for this workspace."""


class ClaimLost(Exception):
    """The board has given the task to somebody else."""


class BoardClient:
    """The board's API, as a bot uses it."""

    def __init__(self, url: str, api_key: Secret, backoff: Backoff = _BACKOFF) -> None:
        self._api_key = api_key  # masked as long as it is kept
        headers = {"Authorization": f"Bearer {api_key.reveal()}"}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=10)
        self._backoff = backoff

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def claim(self, bot: str, workspace: str) -> Claim | None:
        """Return the next task that is to do, None if there is none; raise Unreachable."""
        answer = await self._post("tasks/claim", {"bot_name": bot, "workspace_id": workspace})
        return msgspec.convert(answer["task"], Claim | None)

    async def report(self, claim: Claim, report: Report) -> None:
        """Tell the board, however long it does not answer; raise ClaimLost."""
        for failures in count(1):
            try:
                await self._post(f"claims/{claim.claim}", msgspec.to_builtins(report))
                return
            except Unreachable as error:
                _logger.warning("%s: %s", claim.id, error)
                await asyncio.sleep(self._backoff.pause(failures))

    async def _post(self, path: str, body: Any) -> Any:
        try:
            answer = await self._http.post(path, json=body)
        except httpx.TransportError as error:
            raise Unreachable(f"the board cannot be reached: {error!r}") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unreachable(f"the board answers {answer.status_code}")
        if answer.status_code == 409:
            raise ClaimLost
        if answer.is_error:
            raise Refused(f"the board answers {answer.status_code}: {answer.text}")
        return answer.json()
