"""A forge beside GitHub on loopback: one repository with state, faults on demand, a token.

What it is asked, and what it answers, is held against the forge's description: `violations` has what does
not agree with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

from tests.support.faults import Answer, Moment, Redirect
from tests.support.forge_descriptions import Operation, find_operation
from tests.support.github import Asked
from tests.support.github_state import Hosted, Refused
from tests.support.http import Handler
from tests.support.stand_in import StandIn

Route = Callable[[str, str, dict[str, Any]], tuple[int, Any]]  # of method, path and what is given
_ANYWHERE = {401, 403, 404, 405, 409, 422}  # refusals, which a description need not repeat


class Forge(StandIn):
    """A forge with one repository and one token."""

    root: ClassVar[str]
    scheme: ClassVar[str]
    page_size: ClassVar[str]  # the parameter's name
    operations: ClassVar[tuple[Operation, ...]]

    def __init__(self, repository: Hosted, token: str) -> None:
        self.repository = repository
        self.token = token
        self.asked: list[Asked] = []
        self.violations: list[str] = []
        super().__init__(_Handler, "forge")

    def route(self, method: str, path: str, given: dict[str, Any]) -> tuple[int, Any]:
        """Answer a request, whose path is unquoted, with a status and a body; raise Refused."""
        raise NotImplementedError

    def refuse(
        self, matching: str, status: int, message: Any, times: int = 1, headers: dict[str, str] | None = None
    ) -> None:
        """Answer the next matching requests with the forge's error body."""
        self.faults.add(
            Answer(status, json.dumps({"message": message}).encode(), headers or {}), matching, times
        )

    def count(self, method: str, suffix: str) -> int:
        """Return how often it was asked so for a path that ends in `suffix`."""
        return sum(asked.method == method and asked.path.endswith(suffix) for asked in self.asked)


class _Handler(Handler):
    forge: ClassVar[Forge]

    def do_GET(self) -> None:  # noqa: N802
        body = b"".join(self.body())
        self.forge.asked.append(self._read(body))
        fault = self.forge.faults.take(f"{self.command} {self.path}")
        if isinstance(fault, Answer):
            self.answer(fault.status, fault.body, **fault.headers)
            return
        if isinstance(fault, Redirect):
            self.answer(fault.status, Location=f"{fault.base}{self.path}")
            return
        self.forge.faults.strike(fault, Moment.RECEIVED)
        status, answer, following = self._answered(body)
        self.forge.faults.strike(fault, Moment.HANDLED)
        content = b"" if answer is None else json.dumps(answer).encode()
        link = {"Link": f'<{self.forge.origin}/?{following}>; rel="next"'} if following else {}
        self.answer(status, content, Content_Type="application/json", **link)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _read(self, body: bytes) -> Asked:
        split = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        sent = json.loads(body) if body else None
        return Asked(self.command, split.path, parse_qs(split.query), headers, sent)

    def _answered(self, body: bytes) -> tuple[int, Any, str | None]:
        forge, target = self.forge, self.path.removeprefix(self.forge.root)
        operation = find_operation(forge.operations, self.command, target)
        where = f"{self.command} {target}"
        if operation is None or target == self.path:
            forge.violations.append(f"{where}: there is no such operation")
            return 404, {"message": "404 Not Found"}, None
        query = urlsplit(target).query
        forge.violations += (f"{where}: {fault}" for fault in operation.faults_of_request(query, body))
        status, answer = self._route(target, body)
        if status not in _ANYWHERE:
            forge.violations += (f"{where}: {fault}" for fault in operation.faults_of_answer(status, answer))
        return status, *self._cut(answer, query)

    def _route(self, target: str, body: bytes) -> tuple[int, Any]:
        forge, split = self.forge, urlsplit(target)
        if self.headers.get("Authorization") != f"{forge.scheme} {forge.token}":
            return 401, {"message": "401 Unauthorized"}
        given = dict(parse_qsl(split.query)) | (json.loads(body) if body else {})
        with forge.repository.lock:
            try:
                return forge.route(self.command, unquote(split.path), given)
            except Refused as refused:
                return refused.status, {"message": refused.message}

    def _cut(self, answer: Any, query: str) -> tuple[Any, str | None]:
        """Return a page of a list, and the query of the next one."""
        given = dict(parse_qsl(query))
        size = min(int(given.get(self.forge.page_size, 20)), self.forge.repository.page_limit)
        number = int(given.get("page", 1))
        if not isinstance(answer, list) or len(answer) <= size * (number - 1) + size:
            return (answer[size * (number - 1) :] if isinstance(answer, list) else answer), None
        return answer[size * (number - 1) : size * number], urlencode(given | {"page": number + 1})
