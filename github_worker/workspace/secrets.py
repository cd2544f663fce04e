"""Screening what is about to be pushed: a credential that the remote does not have yet stops the job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from msgspec import Struct, to_builtins

from github_worker.contract import ModelCredentials
from github_worker.credentials import Scanner
from github_worker.errors import SecretDetected
from github_worker.git.commits import Revision, list_unpushed, read_blob
from github_worker.git.repository import Repository
from github_worker.progress import Report
from github_worker.redaction import Secret, scrub

_MOST = 20  # findings of one job that are told
_PART = 1024 * 1024
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
    scanner = Scanner(secrets)
    revisions = list_unpushed(repository, tree, message)
    found = (finding for revision in revisions for finding in _new(repository, revision, scanner))
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


def _new(repository: Repository, revision: Revision, scanner: Scanner) -> Iterator[Finding]:
    known: set[bytes] | None = None
    for line, kind, _ in _scan(memoryview(revision.message), scanner):
        yield Finding(_MESSAGE, line, kind, revision.commit)
    for path, blob in revision.brought:
        for line, kind, value in _scan(read_blob(repository, blob), scanner):
            if known is None:
                known = set(_find_known(repository, revision, scanner))
            if value not in known:
                yield Finding(scrub(path), line, kind, revision.commit)


def _find_known(repository: Repository, revision: Revision, scanner: Scanner) -> Iterator[bytes]:
    for blob in revision.replaced:
        for hit in scanner.scan(read_blob(repository, blob)):
            yield hit.value


def _scan(data: memoryview, scanner: Scanner) -> Iterator[tuple[int, str, bytes]]:
    """Yield the line, the kind and the value of each credential."""
    line, seen = 1, 0
    for hit in scanner.scan(data):
        line += _count_lines(data[seen : hit.at])
        seen = hit.at
        yield line, hit.kind, hit.value


def _count_lines(data: memoryview) -> int:
    """Count line ends, never holding more than a part of the data a second time."""
    return sum(bytes(data[at : at + _PART]).count(b"\n") for at in range(0, len(data), _PART))
