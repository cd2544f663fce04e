"""Asks the model by Anthropic's own SDK, which takes about a second to import: do so in a thread."""

from __future__ import annotations

import ssl

import anthropic
import httpx2
import msgspec
from msgspec import Struct

from github_worker.contract import ModelKey
from github_worker.exchanges import hooks_for, note_usage
from github_worker.http_body import ACCEPTED, BodyRefused, read_body
from github_worker.naming.answers import NoAnswer
from github_worker.naming.prompts import Prompt
from github_worker.redaction import scrub
from github_worker.settings import Settings

_BASE_URL = "https://api.anthropic.com"
_OAUTH_BETA = "oauth-2025-04-20"  # anthropic.lib.credentials: what unlocks bearer tokens of OAuth
_API_VERSION = "2023-06-01"
_RETRIES = 1
_MAX_BODY = 1024 * 1024  # the longest answer that is asked for has some five thousand characters


class _Block(Struct):
    type: str
    text: str = ""


class _Message(Struct):
    content: list[_Block]
    stop_reason: str | None = None


async def ask(prompt: Prompt, key: ModelKey, settings: Settings) -> str:
    """Ask the model and return its answer, in which JSON is to be; raise NoAnswer with the reason."""
    try:
        async with _make_client(key, settings) as client:
            response = await client.messages.with_raw_response.create(
                model=settings.naming_model,
                max_tokens=prompt.max_tokens,
                system=prompt.system,
                messages=[{"role": "user", "content": prompt.content}],
                output_config={"format": {"type": "json_schema", "schema": dict(prompt.schema)}},
                extra_headers=_make_headers(client, key),
            )
    except anthropic.APIStatusError as error:
        said = " ".join(scrub(error.api_message or "").split())[:200]
        raise NoAnswer(f"the model's API answered {error.status_code}{said and f': {said}'}") from None
    except anthropic.AnthropicError as error:
        if isinstance(error.__cause__, BodyRefused):
            raise NoAnswer(f"the answer of the model's API was not read: {error.__cause__}") from None
        raise NoAnswer(f"the model's API could not be asked: {type(error).__name__}") from None
    body = await response.read()
    note_usage(response.http_response.request, body)
    return read(body)


def read(body: bytes) -> str:
    """Read the text of a message of the API; raise NoAnswer where it is refused, cut off or garbage."""
    try:
        message = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise NoAnswer("the model's API answered with what is no message") from None
    if message.stop_reason == "refusal":
        raise NoAnswer("the model refused")
    if message.stop_reason != "end_turn":
        raise NoAnswer("the model's answer was cut off")
    return "".join(block.text for block in message.content if block.type == "text")


def _make_client(key: ModelKey, settings: Settings) -> anthropic.AsyncAnthropic:
    secret = key.secret.reveal()
    base_url = settings.anthropic_base_url or _BASE_URL
    proxy = settings.proxy_for(base_url)
    return anthropic.AsyncAnthropic(
        api_key=None if key.oauth else secret,
        auth_token=secret if key.oauth else None,
        base_url=base_url,
        max_retries=_RETRIES,
        open_telemetry=False,
        # The environment's proxies are not asked, and no redirect takes the prompt elsewhere.
        http_client=httpx2.AsyncClient(
            headers=ACCEPTED,
            transport=_Transport(
                verify=ssl.create_default_context(),
                proxy=proxy.reveal() if proxy else None,
                trust_env=False,
            ),
            trust_env=False,
            follow_redirects=False,
            event_hooks=hooks_for("model", is_async=True),
        ),
    )


class _Transport(httpx2.AsyncHTTPTransport):
    """Reads every answer before the SDK does, which would read one of any length."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return an answer whose body was read."""
        response = await super().handle_async_request(request)
        try:
            encoding = response.headers.pop("content-encoding", None)
            content = await read_body(response.aiter_raw(), encoding, _MAX_BODY)
        finally:
            await response.aclose()
        return httpx2.Response(response.status_code, headers=response.headers, content=content)


def _make_headers(client: anthropic.AsyncAnthropic, key: ModelKey) -> dict[str, str | anthropic.Omit]:
    """Replace the client's default headers: to them it adds ANTHROPIC_CUSTOM_HEADERS by itself."""
    ours = {
        "user-agent": client.user_agent,
        "accept": "application/json",
        "content-type": "application/json",
        "anthropic-version": _API_VERSION,
        **{name.lower(): value for name, value in client.auth_headers.items()},
        **({"anthropic-beta": _OAUTH_BETA} if key.oauth else {}),
    }
    return {name.lower(): anthropic.omit for name in client.default_headers} | ours
