"""Screening what is about to be pushed: a credential that the remote does not have yet stops the job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from msgspec import Struct, to_builtins

from github_worker import credentials
from github_worker.contract import ModelCredentials
from github_worker.errors import SecretDetected
from github_worker.git.commits import Revision, list_unpushed, read_blob
from github_worker.git.repository import Repository
from github_worker.progress import Report
from github_worker.redaction import Secret, forms, scrub

_MOST = 20  # findings of one job that are told
_WINDOW = 8 * 1024 * 1024
_OVERLAP = 64 * 1024
_OWN = "a credential of this request"
_MESSAGE = "the commit's message"


class Finding(Struct, frozen=True, omit_defaults=True):
    """Where a credential stands; `commit` is None where the commit is still to be made."""

    path: str
    line: int
    kind: str
    commit: str | None = None

    def __str__(self) -> str:
        within = f", in the unpushed commit {self.commit[:10]}" if self.commit else ""
        return f"{self.path}:{self.line} ({self.kind}{within})"


class _Bearer(Protocol):
    @property
    def access_token(self) -> Secret | None: ...
    @property
    def claude_credentials(self) -> ModelCredentials | None: ...


def request_secrets(request: _Bearer) -> tuple[Secret, ...]:
    """Return every secret of a request."""
    token, credentials = request.access_token, request.claude_credentials
    return (*([token] if token else ()), *(credentials.secrets if credentials else ()))


def screen(
    repository: Repository, secrets: Iterable[Secret], tree: str | None = None, message: bytes = b""
) -> list[Finding]:
    """Find credentials in what a push of HEAD, and of a commit of `tree` with `message`, would send.

    Of a file that changes, what it or another one that the commit changes held before does not count: the
    remote has it already. Raises FileTooLarge.
    """
    values = {form for secret in secrets for form in forms(secret)}
    revisions = list_unpushed(repository, tree, message)
    found = (finding for revision in revisions for finding in _new(repository, revision, values))
    return list(islice(found, _MOST))


def refuse(findings: list[Finding]) -> None:
    """Raise SecretDetected if there are findings."""
    if findings:
        places = "; ".join(map(str, findings))
        raise SecretDetected(f"Credentials would be pushed: {places}", data={"found": to_builtins(findings)})


def warn_of(findings: list[Finding], report: Report) -> None:
    """Say which findings are pushed because the request allows it."""
    for finding in findings:
        report.warning("secret_allowed", f"A credential is pushed, as the request allows: {finding}")


def _new(repository: Repository, revision: Revision, values: set[str]) -> Iterator[Finding]:
    known: set[str] | None = None
    for line, kind, _ in _scan(memoryview(revision.message), values):
        yield Finding(_MESSAGE, line, kind, revision.commit)
    for path, blob in revision.brought:
        for line, kind, value in _scan(read_blob(repository, blob), values):
            if known is None:
                known = set(_find_known(repository, revision, values))
            if value not in known:
                yield Finding(scrub(path), line, kind, revision.commit)


def _find_known(repository: Repository, revision: Revision, values: set[str]) -> Iterator[str]:
    for blob in revision.replaced:
        for _, _, value in _scan(read_blob(repository, blob), values):
            yield value


def _scan(data: memoryview, values: set[str]) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the kind and the value of each credential, never holding more than a part as text."""
    line = 1
    for start in range(0, len(data), _WINDOW):
        text = str(data[start : start + _WINDOW + _OVERLAP], "latin-1")
        seen = 0
        for at, kind, value in sorted((*_own(text, values), *credentials.find(text))):
            if at < _WINDOW:
                line += text.count("\n", seen, at)
                seen = at
                yield line, kind, value
        line += text.count("\n", seen, _WINDOW)


def _own(text: str, values: set[str]) -> Iterator[tuple[int, str, str]]:
    for form in values:
        at = text.find(form)
        while at >= 0:
            yield at, _OWN, form
            at = text.find(form, at + len(form))
