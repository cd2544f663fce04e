"""A request to a forge, and its response."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct, field

from github_worker.errors import JobError, RemoteUnavailable

PAGE = 100  # the most that GitHub and GitLab give at once
Kind = TypeVar("Kind")


class ApiRequest(Struct, frozen=True, kw_only=True):
    """A request; `purpose` says what it does, to a person.

    Other `statuses` than these are refusals, for which `errors` may name the class. `repeatable` says that
    sending it twice does the same as sending it once.
    """

    purpose: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    statuses: frozenset[int] = frozenset({200})
    errors: Mapping[int, type[JobError]] = field(default_factory=dict)
    repeatable: bool = True


class ApiResponse(Struct, frozen=True):
    """A response as it came from `forge`; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    forge: str = "GitHub"

    def decode(self, kind: type[Kind]) -> Kind:
        """Read the body as a `kind`; raise RemoteUnavailable when it is none, as a proxy's page is."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            sentence = f"{self.forge}'s answer cannot be read: it is not what its API gives"
            raise RemoteUnavailable(sentence) from None

    @property
    def next_query(self) -> dict[str, str] | None:
        """The query of the next page, None at the last one; its host and path are not of interest."""
        link = re.search(r'<([^<>]*)>\s*;[^,<]*\brel="?next\b', self.headers.get("link", ""))
        return dict(parse_qsl(link[1].partition("#")[0].partition("?")[2])) if link else None
