"""Opening a pull request: for which branch of which repository, and with which words."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

from github_worker.contract import (
    AutoPullRequest,
    Change,
    ChangeStatus,
    CreatePullRequest,
    MergePullRequest,
    RepositoryUrl,
    is_branch_name,
    name_forge,
)
from github_worker.errors import (
    BranchNotFound,
    HostNotAllowed,
    NoCommits,
    NoRepository,
    RemoteUnavailable,
    SessionCorrupt,
    UnsupportedRepository,
)
from github_worker.forge.interface import Repository
from github_worker.forge.pull_request import (
    ChangedFile,
    Commit,
    CommitMessage,
    Comparison,
    FullName,
    PullRequest,
    PullRequestTexts,
)
from github_worker.naming.namer import Namer, PullRequestText
from github_worker.naming.prompts import PullRequestContext
from github_worker.progress import Report
from github_worker.services import Services
from github_worker.sessions.metadata import Github, Metadata, download_metadata
from github_worker.settings import Forge, Settings

_RECENT_TITLES = 10  # which show the model the repository's convention
_STATUSES: dict[str, ChangeStatus] = {
    "added": "A",
    "removed": "D",
    "renamed": "R",
    "copied": "C",
    "changed": "T",
}


class Place(NamedTuple):
    """A repository, and the forge that it is on."""

    forge: Forge
    name: FullName


async def resolve_target(
    request: CreatePullRequest | AutoPullRequest, services: Services, report: Report
) -> tuple[Place, str]:
    """Return the repository and branch of a request, or of the session that it names instead."""
    if request.session_id is not None:
        metadata = await _read_metadata(request.session_id, services, report)
        if metadata.github is None or not metadata.branch:
            raise NoRepository(f"The session {request.session_id} does not say its repository and branch")
        report.place(metadata.repository, metadata.branch)
        place = _find_repository(metadata, metadata.github, services.settings)
        return place, _check_branch(metadata.branch)
    branch = request.head if isinstance(request, CreatePullRequest) else request.branch
    if not branch:
        raise NoRepository("The request does not say its branch")
    return resolve_place(request, services.settings), branch


def resolve_place(
    request: CreatePullRequest | AutoPullRequest | MergePullRequest, settings: Settings
) -> Place:
    """Return the repository that a request names: by its URL, or by owner and name where it is on GitHub."""
    if request.repo_url is not None:
        url = RepositoryUrl.parse(request.repo_url)
        return Place(_find_forge(url, "The repository", settings), FullName(url.owner, url.name))
    if not (request.owner and request.repo):
        raise NoRepository("The request does not say its repository")
    return Place(Forge("github", settings.github_api_url), FullName(request.owner, request.repo))


def _find_forge(url: RepositoryUrl, subject: str, settings: Settings) -> Forge:
    """Return the forge whose API gets the token; raise where no setting says one for that host."""
    if not settings.allows(url.origin):
        raise HostNotAllowed(f"{subject} is on {url.origin}, which is not allowed")
    forge = settings.forge_of(url.origin)
    if forge is not None:
        return forge
    if name := name_forge(url.origin):
        raise UnsupportedRepository(
            f"{subject} is on {name}, and FORGES does not say the API of {url.origin}"
        )
    raise HostNotAllowed(f"{subject} is on {url.origin}, and the API is that of {settings.forge_origin}")


def _find_repository(metadata: Metadata, github: Github, settings: Settings) -> Place:
    """Return the repository that a session's URL names, if it is the forge's whose API gets the token."""
    try:
        url = RepositoryUrl.parse(github.repo_url)
    except ValueError as error:
        raise HostNotAllowed(f"The session's repository URL {error}") from None
    forge = _find_forge(url, "The session's repository", settings)
    for said, name in ((metadata.repository_owner, url.groups), (metadata.repository_name, url.name)):
        if said and said.lower() != name.lower():
            raise SessionCorrupt("The session's metadata names another repository beside its URL")
    return Place(forge, FullName(url.owner, url.name))


def _check_branch(branch: str) -> str:
    if not is_branch_name(branch):
        raise SessionCorrupt("The session's metadata has a branch that git would not take")
    return branch


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
    """Open a pull request, its title and body written from the commits where the request gives none.

    Raise PullRequestExists if there is one, with its `number` in `data` where GitHub tells it.
    """
    title, body = request.title, request.body
    if title is None or body is None:
        text = await _write_text(repository, head, request, namer, report)
        if text.fallback is not None:
            report.warning("fallback", f"Title and body come from the commits: {text.fallback}")
        title = text.title if title is None else title
        body = text.body if body is None else body
    options = _choose_options(request) if isinstance(request, CreatePullRequest) else {}
    texts = PullRequestTexts(title, body)
    return await repository.pull_requests.open(texts, head=head, base=request.base, **options)


def _choose_options(request: CreatePullRequest) -> dict[str, bool]:
    options = {"draft": request.draft}
    if request.maintainer_can_modify is not None:
        options["maintainer_can_modify"] = request.maintainer_can_modify
    return options


async def _write_text(
    repository: Repository,
    head: str,
    request: CreatePullRequest | AutoPullRequest,
    namer: Namer,
    report: Report,
) -> PullRequestText:
    comparison = await _compare(repository, head, request.base)
    if comparison is None:
        report.warning(
            "not_compared", f"{repository.client.forge} does not compare {head} with {request.base}"
        )
        comparison = Comparison(1, [await _find_newest_commit(repository, head)])
    if not comparison.ahead_by:
        raise NoCommits(f"{head} has no commits that {request.base} has not")
    titles = await repository.pull_requests.list_recent_titles(request.base, _RECENT_TITLES)
    return await namer.describe_pull_request(_build_context(comparison, titles), request.claude_credentials)


async def _compare(repository: Repository, head: str, base: str) -> Comparison | None:
    """Compare a branch with its base; None where GitHub cannot, as with more than it computes in time."""
    try:
        return await repository.compare(base, head)
    except RemoteUnavailable:
        return None
    except BranchNotFound:
        own = [branch for branch in (head, base) if ":" not in branch]
        for branch in own:
            if await repository.find_tip(branch) is None:
                raise BranchNotFound(f"{repository.name} has no branch {branch}") from None
        return None


async def _find_newest_commit(repository: Repository, head: str) -> Commit:
    """Return the newest commit of a branch; of a fork's, whose commits are elsewhere, its name as one."""
    tip = None if ":" in head else await repository.find_tip(head)
    if tip is not None:
        return Commit(tip, CommitMessage(await repository.get_message(tip)))
    words = re.sub(r"[-_]+", " ", head.rpartition("/")[2].rpartition(":")[2]).strip()
    return Commit("", CommitMessage(words[:1].upper() + words[1:]))


def _build_context(comparison: Comparison, titles: list[str]) -> PullRequestContext:
    return PullRequestContext(
        messages=tuple(commit.commit.message for commit in comparison.commits),
        changes=tuple(_to_change(file) for file in comparison.files or ()),
        patches=((file.filename, file.patch or "") for file in comparison.files or ()),
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
