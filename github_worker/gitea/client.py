"""Gitea's API, as the requests are sent to it and its refusals understood."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar

from github_worker import __version__
from github_worker.errors import BranchNotFound, MergeConflict, PullRequestExists
from github_worker.forge.client import Client, open_http
from github_worker.forge.errors import BaseMoved, HeadMoved, MethodRefused, Sentences, StillChecking
from github_worker.progress import Report
from github_worker.redaction import Secret
from github_worker.settings import Forge, Settings

if TYPE_CHECKING:
    import httpx

PAGE = 50  # the most that Gitea gives at once, unless it is told otherwise
_HEADERS: Mapping[str, str] = {"Accept": "application/json", "User-Agent": f"github-worker/{__version__}"}


class Gitea(Client):
    """The API of Gitea or Forgejo with one token."""

    scheme = "token"
    sentences: ClassVar[Sentences] = (
        (r"head out of date", HeadMoved),
        (r"push out of date", BaseMoved),
        (r"try again later", StillChecking),
        (r"allowed merge style|invalid merge style", MethodRefused),
        (r"pull request already exists", PullRequestExists),
        (r"branch.* does(?:n't| not) exist|could not find .* to be a commit", BranchNotFound),
        (r"because of conflict|merge conflict|rebase conflict", MergeConflict),
    )

    def __init__(
        self, http: httpx.AsyncClient, forge: Forge, settings: Settings, token: Secret, report: Report
    ) -> None:
        super().__init__(http, forge.url, settings, token, report)
        self.forge = "Forgejo" if forge.kind == "forgejo" else "Gitea"


@asynccontextmanager
async def open_gitea(settings: Settings, forge: Forge, token: Secret, report: Report) -> AsyncIterator[Gitea]:
    """Open Gitea's API; it times out when it sends no byte for as long as a git server may."""
    async with open_http(settings, "gitea", forge.url, _HEADERS) as http:
        yield Gitea(http, forge, settings, token, report)
