"""GitHub's APIs on loopback: one repository with state, faults on demand, answers in full shape.

What it is asked, and what it answers, is held against GitHub's own description: `violations` has what
does not agree with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from tests.support import github_description as described
from tests.support.faults import Answer, Flood, Moment, Redirect
from tests.support.github_app import App, needs
from tests.support.github_graphql import execute, faults_of_query
from tests.support.github_routes import error, page_of, route
from tests.support.github_state import Hosted, Refused
from tests.support.http import Handler
from tests.support.stand_in import StandIn

ENTERPRISE = "/api/v3"  # where GitHub Enterprise has its API; here it is there too
TOKEN = "github-token-0123456789"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


class GitHub(StandIn):
    """A GitHub with one repository and one token, and an `app` that makes more."""

    def __init__(self, *, token: str = TOKEN) -> None:
        self.repository = Hosted()
        self.token = token
        self.app = App()
        self.asked: list[Asked] = []
        self.violations: list[str] = []
        super().__init__(_Handler, "github")

    def refuse(
        self, matching: str, status: int, message: str, times: int = 1, headers: dict[str, str] | None = None
    ) -> None:
        """Answer the next matching requests with GitHub's error body."""
        body = json.dumps({"message": message, "documentation_url": "https://docs.github.com/rest"}).encode()
        self.faults.add(Answer(status, body, headers or {}), matching, times)

    def count(self, method: str, suffix: str) -> int:
        """Return how often it was asked so for a path that ends in `suffix`."""
        return sum(asked.method == method and asked.path.endswith(suffix) for asked in self.asked)


class _Handler(Handler):
    github: ClassVar[GitHub]

    def do_GET(self) -> None:  # noqa: N802
        body = b"".join(self.body())
        self.path = self.path.removeprefix(ENTERPRISE).replace("/api/graphql", "/graphql")
        split = urlsplit(self.path)
        self.github.asked.append(
            Asked(
                self.command,
                unquote(split.path),
                parse_qs(split.query),
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(body) if body else None,
            )
        )
        fault = self.github.faults.take(f"{self.command} {self.path}")
        self.github.faults.strike(fault, Moment.RECEIVED)
        if isinstance(fault, Answer):
            self.answer(fault.status, fault.body, **fault.headers)
        elif isinstance(fault, Flood):
            self.flood(fault)
        elif isinstance(fault, Redirect):
            self.answer(fault.status, Location=f"{fault.base}{self.path}")
        else:
            status, content, following = self._checked(body)
            self.github.faults.strike(fault, Moment.HANDLED)
            # by the repository's number, as GitHub has it, whatever path was asked for
            path = f"{self.github.origin}/repositories/1296269/{split.path.split('/', 4)[-1]}"
            link = {"Link": f'<{path}?{following}>; rel="next", <{path}>; rel="last"'} if following else {}
            self.answer(status, content, Content_Type="application/json; charset=utf-8", **link)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _checked(self, body: bytes) -> tuple[int, bytes, str | None]:
        method, target, violations = self.command, self.path, self.github.violations
        if (answer := self.github.app.answer(method, target, dict(self.headers), body)) is not None:
            return *answer, None
        if target == "/graphql":
            return *self._executed(json.loads(body)), None
        violations.extend(described.faults_of_request(method, target, body))
        status, shown = self._answered(json.loads(body) if body else {})
        query = dict(parse_qsl(urlsplit(target).query))
        shown, following = page_of(self.github.repository, shown, query if method == "GET" else {})
        content = b"" if shown is None else json.dumps(shown).encode()
        if status not in {401, 403, 404, 405}:  # answers to anything, which the description does not repeat
            violations.extend(described.faults_of_answer(method, target, status, content))
        return status, content, following

    def _refusal(self, *permissions: str) -> tuple[int, Any] | None:
        """Return the refusal of a token that may do none of some things; the one of a person may all."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        hosted = self.github.repository
        if token == self.github.token:
            return None
        if (grant := self.github.app.find(token)) is None:
            return 401, error("Bad credentials")
        if permissions and not grant.allows(f"{hosted.owner}/{hosted.name}", *permissions):
            return 403, error("Resource not accessible by integration")
        return None

    def _executed(self, sent: dict[str, Any]) -> tuple[int, bytes]:
        if refusal := self._refusal("contents: write") or self._refusal("pull_requests: write"):
            return refusal[0], json.dumps(refusal[1]).encode()
        hosted = self.github.repository
        with hosted.lock:
            answer = execute(hosted, sent)
        self.github.violations.extend(faults_of_query(sent, answer))
        return 200, json.dumps(answer).encode()

    def _answered(self, sent: dict[str, Any]) -> tuple[int, Any]:
        if refusal := self._refusal():
            return refusal
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        hosted = self.github.repository
        prefix = f"/repos/{hosted.owner}/{hosted.name}"
        path = unquote(split.path)
        if path != prefix and not path.startswith(f"{prefix}/"):
            return 404, error("Not Found")
        if refusal := self._refusal(*needs(self.command, path.removeprefix(prefix))):
            return refusal
        with hosted.lock:
            try:
                return route(hosted, self.command, path.removeprefix(prefix), query | sent)
            except Refused as refused:
                return refused.status, error(refused.message)
