"""Opening a pull request: for which branch of which repository, and with which words."""

from __future__ import annotations

import asyncio

from github_worker.contract import AutoPullRequest, Change, ChangeStatus, CreatePullRequest
from github_worker.errors import BranchNotFound, NoCommits, NoRepository
from github_worker.github.client import Repository
from github_worker.github.requests import FullName
from github_worker.github.responses import ChangedFile, Comparison, PullRequest
from github_worker.naming.namer import Namer, PullRequestText
from github_worker.naming.prompts import PullRequestContext
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.metadata import Metadata, download_metadata

_RECENT_TITLES = 10  # which show the model the repository's convention
_STATUSES: dict[str, ChangeStatus] = {
    "added": "A",
    "removed": "D",
    "renamed": "R",
    "copied": "C",
    "changed": "T",
}


async def resolve_target(
    request: CreatePullRequest | AutoPullRequest, services: Services, report: Report
) -> tuple[FullName, str]:
    """Return the repository and branch of a request, or of the session that it names instead."""
    owner, repo = request.owner, request.repo
    branch = request.head if isinstance(request, CreatePullRequest) else request.branch
    if request.session_id is not None:
        metadata = await _read_metadata(request.session_id, services, report)
        owner, repo, branch = metadata.repository_owner, metadata.repository_name, metadata.branch
    if not (owner and repo and branch):
        raise NoRepository(f"The session {request.session_id} does not say its repository and branch")
    return FullName(owner, repo), branch


async def _read_metadata(session_id: str, services: Services, report: Report) -> Metadata:
    sessions = services.sessions
    metadata = await download_metadata(sessions.store, session_id, sessions.limits, report)
    if metadata is None:
        return (await asyncio.to_thread(sessions.load, session_id)).metadata
    return metadata


async def open_pull_request(
    repository: Repository,
    head: str,
    request: CreatePullRequest | AutoPullRequest,
    namer: Namer,
    report: Report,
) -> PullRequest:
    """Open a pull request, its title and body written from the commits where the request gives none."""
    title, body = request.title, request.body
    if title is None or body is None:
        text = await _write_text(repository, head, request, namer)
        if text.fallback is not None:
            report.warning("fallback", f"Title and body come from the commits: {text.fallback}")
        title = text.title if title is None else title
        body = text.body if body is None else body
    draft = isinstance(request, CreatePullRequest) and request.draft
    return await repository.open(head=head, base=request.base, title=title, body=body, draft=draft)


async def _write_text(
    repository: Repository, head: str, request: CreatePullRequest | AutoPullRequest, namer: Namer
) -> PullRequestText:
    comparison = await _compare(repository, head, request.base)
    if not comparison.ahead_by:
        raise NoCommits(f"{head} has no commits that {request.base} has not")
    titles = await repository.list_recent_titles(request.base, _RECENT_TITLES)
    return await namer.describe_pull_request(_build_context(comparison, titles), request.claude_credentials)


async def _compare(repository: Repository, head: str, base: str) -> Comparison:
    try:
        return await repository.compare(base, head)
    except BranchNotFound:
        missing = head if await repository.find_tip(head) is None else base
        raise BranchNotFound(f"{repository.name} has no branch {missing}") from None


def _build_context(comparison: Comparison, titles: list[str]) -> PullRequestContext:
    return PullRequestContext(
        messages=tuple(commit.commit.message for commit in comparison.commits),
        changes=tuple(_to_change(file) for file in comparison.files),
        patches=((file.filename, file.patch) for file in comparison.files),
        recent_titles=tuple(titles),
    )


def _to_change(file: ChangedFile) -> Change:
    return Change(
        status=_STATUSES.get(file.status, "M"),
        path=file.filename,
        old_path=file.previous_filename,
        insertions=file.additions,
        deletions=file.deletions,
    )
