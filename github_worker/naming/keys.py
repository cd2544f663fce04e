"""What a caller may give as credentials of the model."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from github_worker.redaction import Secret


class Key(Struct, frozen=True):
    """What the model's API is asked with: an API key, or an OAuth access token."""

    secret: Secret
    oauth: bool


class _Tokens(Struct, rename="camel"):
    access_token: str | None = None
    refresh_token: str | None = None
    api_key: str | None = None


class _Document(_Tokens, rename="camel"):
    claude_ai_oauth: _Tokens | None = None


def secrets(credentials: Secret) -> tuple[Secret, ...]:
    """Return every secret inside of the credentials, so that each alone is masked while it is held."""
    tokens = _tokens(credentials.reveal())
    if tokens is None:
        return (credentials,)
    values = (tokens.access_token, tokens.refresh_token, tokens.api_key)
    return (credentials, *(Secret(value) for value in values if value))


def key(credentials: Secret) -> Key | None:
    """Choose what to ask with, or None where the credentials hold nothing of use."""
    text = credentials.reveal().strip()
    tokens = _tokens(text)
    if tokens is None:
        return _key(text, oauth=False)
    return _key(tokens.api_key, oauth=False) or _key(tokens.access_token, oauth=True)


def _key(value: str | None, *, oauth: bool) -> Key | None:
    # one word of visible ASCII: anything else cannot be a header
    if value is None or not re.fullmatch(r"[!-~]{8,4096}", value) or value.startswith("{"):
        return None
    if known := re.match(r"sk-ant-(api|oat)", value):
        oauth = known[1] == "oat"
    return Key(Secret(value), oauth)


def _tokens(text: str) -> _Tokens | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        document = msgspec.json.decode(text, type=_Document)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _Tokens()
    return document.claude_ai_oauth or document
