"""Opening a pull request once, also where the answer to it is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from github_worker.errors import PullRequestExists, RemoteUnavailable
from github_worker.forge.client import Client, OutcomeUnknown
from github_worker.forge.pull_request import PullRequest, exists_error
from github_worker.forge.requests import ApiRequest, ApiResponse


async def open_once(
    client: Client,
    request: ApiRequest,
    read: Callable[[ApiResponse], PullRequest],
    find: Callable[[], Awaitable[PullRequest | None]],
) -> PullRequest:
    """Send the request that opens a pull request, and again where no answer came and `find` finds none.

    Raise PullRequestExists where somebody else's is open, with its number if it is found.
    """
    is_lost = False
    for _ in range(2):
        try:
            return read(await client.send(request))
        except PullRequestExists as error:
            existing = await find()
            if existing and is_lost:
                return existing
            raise (exists_error(existing) if existing else error) from None
        except OutcomeUnknown:
            if existing := await find():
                return existing
            is_lost = True
    raise RemoteUnavailable(f"{request.purpose} failed: {client.forge} does not say what became of it")
