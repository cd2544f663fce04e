"""Screening what is about to be pushed: a credential that the remote does not have yet stops the job."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, islice
from typing import IO, Protocol

from msgspec import Struct, structs, to_builtins

from github_worker.contract import ModelCredentials
from github_worker.credentials import Scanner
from github_worker.errors import SecretDetected
from github_worker.git import commits
from github_worker.git.commits import Draft, Revision, list_unpushed, read_blob
from github_worker.git.lfs import open_large
from github_worker.git.repository import Repository
from github_worker.progress import Report
from github_worker.redaction import Secret, scrub

_MOST = 20  # findings that are told of one file, and in one error
_PART = 1024 * 1024
_LARGE_PART = 8 * 1024 * 1024
_MARGIN = 64 * 1024  # more than any credential has
_MESSAGE = "the commit's message"
_BRANCH = "the branch's name"
_TAG = "the tag"
_PEOPLE = {b"author": "the commit's author", b"committer": "the commit's committer"}
_HEADER = "the commit's header"


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a credential stands; `line` is 0 in a name, `commit` is None where it is still to be made.

    `file` is the path itself of a file that the commit could do without.
    """

    path: str
    line: int = 0
    kind: str
    commit: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        within = f", in the unpushed commit {self.commit[:10]}" if self.commit else ""
        return f"{place} ({self.kind}{within})"


class _Bearer(Protocol):
    @property
    def access_token(self) -> Secret | None: ...
    @property
    def claude_credentials(self) -> ModelCredentials | None: ...


def request_secrets(request: _Bearer) -> tuple[Secret, ...]:
    """Return every secret of a request."""
    token, credentials = request.access_token, request.claude_credentials
    return (*([token] if token else ()), *(credentials.secrets if credentials else ()))


def screen(repository: Repository, secrets: Iterable[Secret], draft: Draft | None = None) -> list[Finding]:
    """Find credentials in what a push of HEAD's branch, and of the draft that is to be on it, would send.

    Of a file that changes, what it or another one that the commit changes held before does not count: the
    remote has it already. Raises FileTooLarge.
    """
    scanner = Scanner(secrets)
    found = (_find_new(repository, revision, scanner) for revision in list_unpushed(repository, draft))
    in_tag = _find_in_tag(draft.tag, scanner) if draft and draft.tag else ()
    return [*_find_in_branch(repository, scanner), *in_tag, *chain.from_iterable(found)]


def refuse(findings: list[Finding], why: str = "") -> None:
    """Raise SecretDetected if there are findings; `why` follows their places."""
    if findings:
        places = "; ".join(map(str, findings[:_MOST]))
        more = f"; and {len(findings) - _MOST} more" if len(findings) > _MOST else ""
        found = to_builtins([structs.replace(finding, file=None) for finding in findings[:_MOST]])
        raise SecretDetected(f"Credentials would be pushed: {places}{more}{why}", data={"found": found})


def leave_out(repository: Repository, findings: list[Finding], report: Report) -> None:
    """Unstage the files that hold credentials, and say so; raise SecretDetected for those in no such file."""
    if repository.is_merging:
        refuse(findings, ". Nothing can be left out of a merge")
    refuse(
        [finding for finding in findings if finding.file is None],
        ". They are in no file that can be left out",
    )
    files: dict[str, list[Finding]] = {}
    for finding in findings:
        files.setdefault(str(finding.file), []).append(finding)
    commits.unstage(repository, files)
    for found in files.values():
        places = "; ".join(map(str, found))
        report.warning("secret_left_out", f"Not committed, as a credential is in it: {places}")


def warn_of(findings: list[Finding], report: Report) -> None:
    """Say which findings are pushed because the request allows it."""
    for finding in findings[:_MOST]:
        report.warning("secret_allowed", f"A credential is pushed, as the request allows: {finding}")
    if more := len(findings[_MOST:]):
        report.warning("secret_allowed", f"{more} more credentials are pushed, as the request allows")


def _find_in_branch(repository: Repository, scanner: Scanner) -> Iterator[Finding]:
    """Yield the credentials in a branch's name that the remote does not have yet."""
    branch = repository.branch
    if repository.remote_tip(branch) is None:
        for hit in scanner.scan(branch.encode()):
            yield Finding(path=_BRANCH, kind=hit.kind)


def _find_in_tag(text: str, scanner: Scanner) -> Iterator[Finding]:
    """Yield the credentials in what a tag says."""
    for line, kind, _ in islice(_scan(memoryview(text.encode()), scanner), _MOST):
        yield Finding(path=_TAG, line=line, kind=kind)


def _find_new(repository: Repository, revision: Revision, scanner: Scanner) -> Iterator[Finding]:
    for line, kind, _ in islice(_scan(memoryview(revision.message), scanner), _MOST):
        yield Finding(path=_MESSAGE, line=line, kind=kind, commit=revision.commit)
    for line, kind, _ in islice(_scan(memoryview(revision.header), scanner), _MOST):
        word = revision.header.splitlines()[line - 1].partition(b" ")[0]
        yield Finding(path=_PEOPLE.get(word, _HEADER), kind=kind, commit=revision.commit)
    known = cache(lambda: set(_find_known(repository, revision, scanner)))
    for path, blob in revision.brought:
        file = None if revision.commit else path
        found = (
            Finding(path=_mask(path, scanner), line=line, kind=kind, commit=revision.commit, file=file)
            for line, kind, value in _scan_file(repository, path, blob, scanner)
            if value not in known()
        )
        yield from islice(found, _MOST)


def _mask(path: str, scanner: Scanner) -> str:
    return scrub(os.fsdecode(scanner.mask(os.fsencode(path))))


def _find_known(repository: Repository, revision: Revision, scanner: Scanner) -> Iterator[bytes]:
    for path, blob in revision.replaced:
        for _, _, value in _scan_file(repository, path, blob, scanner):
            yield value


def _scan_file(
    repository: Repository, path: str, blob: str | None, scanner: Scanner
) -> Iterator[tuple[int, str, bytes]]:
    """Yield the credentials in a file's path, which has line 0, and in the file."""
    for hit in scanner.scan(os.fsencode(path)):
        yield 0, f"{hit.kind} in its name", hit.value
    if blob is not None:
        yield from _scan(read_blob(repository, blob), scanner)
        if repository.lfs is not None and (content := open_large(repository, blob)) is not None:
            with content:
                yield from _scan_stream(content, scanner)


def _scan(data: memoryview, scanner: Scanner) -> Iterator[tuple[int, str, bytes]]:
    """Yield the line, the kind and the value of each credential."""
    line, seen = 1, 0
    for hit in scanner.scan(data):
        line += _count_lines(data[seen : hit.at])
        seen = hit.at
        yield line, hit.kind, hit.value


def _scan_stream(content: IO[bytes], scanner: Scanner) -> Iterator[tuple[int, str, bytes]]:
    """Yield the same of a file of any size, of which a part is held at a time.

    Each part has with it what stands before and after it, so that no credential is cut.
    """
    line, before, part = 1, b"", content.read(_LARGE_PART)
    while part:
        after = content.read(_LARGE_PART)
        for hit in scanner.scan(memoryview(before + part + after[:_MARGIN])):
            if len(before) <= hit.at < len(before) + len(part):
                yield line + (before + part).count(b"\n", len(before), hit.at), hit.kind, hit.value
        line += part.count(b"\n")
        before, part = part[-_MARGIN:], after


def _count_lines(data: memoryview) -> int:
    """Count line ends, never holding more than a part of the data a second time."""
    return sum(bytes(data[at : at + _PART]).count(b"\n") for at in range(0, len(data), _PART))
