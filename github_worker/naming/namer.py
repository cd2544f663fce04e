"""Names sessions, describes commits and pull requests: by a model, or else without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import Struct

from github_worker.contract import ModelCredentials, ModelKey
from github_worker.naming import answers, fallback, prompts
from github_worker.naming.answers import NoAnswer, disarm
from github_worker.naming.prompts import CommitContext, Prompt, PullRequestContext
from github_worker.redaction import scrub
from github_worker.settings import Settings


class SessionName(Struct, frozen=True):
    """A session's name: a title of 3 to 6 words, and a slug of `a-z0-9-`, at most 40 characters.

    `fallback` is None where the model said it, else the reason why it did not; so it is below.
    """

    title: str
    slug: str
    fallback: str | None


class CommitMessage(Struct, frozen=True):
    """A commit's message: a subject of at most 72 characters, and a body where the change is large."""

    text: str
    fallback: str | None


class PullRequestText(Struct, frozen=True):
    """A pull request's title of at most 72 characters, and its body."""

    title: str
    body: str
    fallback: str | None


class Namer:
    """Asks the model. Its methods never raise: without a useful answer they name by what they are given."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def name_session(self, user_request: str, credentials: ModelCredentials | None) -> SessionName:
        """Name a session after what its user asks for."""
        try:
            title, slug = answers.read_session(
                await self._ask(partial(prompts.compose_session, user_request), credentials)
            )
        except NoAnswer as reason:
            return SessionName(*fallback.name_session(prompts.clean_request(user_request)), str(reason))
        return SessionName(title, slug, None)

    async def describe_commit(
        self, context: CommitContext, credentials: ModelCredentials | None
    ) -> CommitMessage:
        """Write a commit's message."""
        try:
            text = answers.read_commit(await self._ask(partial(prompts.compose_commit, context), credentials))
        except NoAnswer as reason:
            return CommitMessage(disarm(scrub(fallback.describe_commit(context.changes))), str(reason))
        return CommitMessage(text, None)

    async def describe_pull_request(
        self, context: PullRequestContext, credentials: ModelCredentials | None
    ) -> PullRequestText:
        """Write a pull request's title and body."""
        try:
            answer = await self._ask(partial(prompts.compose_pull_request, context), credentials)
            title, body = answers.read_pull_request(answer)
        except NoAnswer as reason:
            title, body = fallback.describe_pull_request(context.messages, context.changes)
            return PullRequestText(disarm(scrub(title)), disarm(scrub(body)), str(reason))
        return PullRequestText(title, body, None)

    async def _ask(self, make_prompt: Callable[[], Prompt], credentials: ModelCredentials | None) -> str:
        key, timeout = self._choose_key(credentials), self._settings.naming_timeout
        prompt = make_prompt()
        try:
            async with asyncio.timeout(timeout):
                ask = await asyncio.to_thread(preload)
                return await ask(prompt, key, self._settings)
        except TimeoutError:
            raise NoAnswer(f"the model did not answer within {timeout:g} s") from None

    def _choose_key(self, credentials: ModelCredentials | None) -> ModelKey:
        credentials = credentials or self._settings.anthropic_api_key
        if credentials is None:
            raise NoAnswer("no model credentials")
        key = credentials.choose_key()
        if key is None:
            raise NoAnswer("the model credentials are neither a key nor a token")
        return key


def preload() -> Callable[[Prompt, ModelKey, Settings], Awaitable[str]]:
    """Import the model's SDK, which takes about a second: call it in a thread while the worker is idle."""
    from github_worker.naming.model import ask  # noqa: PLC0415

    return ask
