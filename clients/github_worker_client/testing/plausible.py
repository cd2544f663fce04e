"""How a worker would have answered: an operation's stages, and a result made from the request."""

from __future__ import annotations

import hashlib
import re

from github_worker.contract import (
    AnyEvent,
    BranchCreated,
    BranchStarted,
    Cloned,
    CloneRepository,
    CommitAndPush,
    Committed,
    CreateBranch,
    InitSession,
    RepositoryUrl,
    Request,
    Result,
    SessionInitialised,
    SessionNamed,
)
from github_worker_client.testing.script import Stream, completed, progress

_CLONING = ("downloading_session", "new_session", "cloning", "cloned")
_NAMING = ("generating_name", "name_generated")
_BRANCHING = ("creating_branch", "pushing")
STAGES = {
    "clone-repository": (*_CLONING, "uploading"),
    "create-branch": ("downloading_session", *_NAMING, *_BRANCHING, "uploading"),
    "commit-and-push": (
        "downloading_session",
        "analyzing",
        "changes_detected",
        "generating_message",
        "committing",
        "committed",
        "pushing",
        "pushed",
        "uploading",
    ),
    "init-session": (*_CLONING, *_NAMING, *_BRANCHING, "uploading"),
}


def plausible(request: Request) -> Stream:
    """Answer with the stages and the result of an operation that goes well."""
    stages = STAGES[request.operation]
    result = _result(request)
    done = completed(result, dict.fromkeys(stages, 1))
    return Stream((*map(progress, stages), *_announcements(result), done))


def _result(request: Request) -> Result:
    match request:
        case CloneRepository():
            return _cloned(request)
        case CreateBranch():
            return _branched(request)
        case CommitAndPush():
            return _committed(request)
        case InitSession():
            return _initialised(request)
    raise NotImplementedError(request.operation)


def _cloned(request: CloneRepository) -> Cloned:
    return Cloned(
        cloned_path=request.directory or RepositoryUrl.parse(request.repo_url).name,
        branch=request.branch or "main",
        was_cloned=True,
        commit=_hash(request, request.session_id),
        pulled=False,
    )


def _branched(request: CreateBranch) -> BranchCreated:
    url = RepositoryUrl.parse(request.repo_url or "https://github.com/owner/repo")
    branch = _branch(request.session_id, request.user_request)
    return BranchCreated(
        branch_name=branch,
        session_title=_title(request.user_request),
        session_path=_path(url, branch),
        base_branch=request.base_branch,
        commit=_hash(request, request.session_id),
        pushed=True,
    )


def _committed(request: CommitAndPush) -> Committed:
    return Committed(
        commit_hash=_hash(request, request.session_id),
        commit_message=request.message or "Update README.md",
        branch=_branch(request.session_id, "work"),
        pushed=True,
        files_changed=1,
        insertions=1,
        deletions=0,
    )


def _initialised(request: InitSession) -> SessionInitialised:
    url = RepositoryUrl.parse(request.repo_url)
    branch = _branch(request.session_id, request.user_request)
    return SessionInitialised(
        cloned_path=request.directory or url.name,
        branch=branch,
        was_cloned=True,
        commit=_hash(request, request.session_id),
        pulled=False,
        branch_name=branch,
        session_title=_title(request.user_request),
        session_path=_path(url, branch),
        base_branch=request.branch or "main",
        pushed=True,
    )


def _announcements(result: Result) -> tuple[AnyEvent, ...]:
    if not isinstance(result, BranchCreated | SessionInitialised):
        return ()
    branch = result.branch_name
    started = BranchStarted(
        branch_name=branch,
        base_branch=result.base_branch,
        session_path=result.session_path,
        message=f"Branch {branch} created",
    )
    title = result.session_title
    return started, SessionNamed(session_name=title, branch_name=branch, message=f"Session named {title}")


def _hash(request: Request, session_id: str) -> str:
    return hashlib.sha256(f"{request.operation} {session_id} {request.request_id}".encode()).hexdigest()[:40]


def _branch(session_id: str, words: str) -> str:
    slug = "-".join(re.findall(r"[a-z0-9]+", words.lower())[:4])[:40].rstrip("-") or "work"
    return f"webedt/{slug}-{session_id[-8:]}"


def _title(words: str) -> str:
    return " ".join(words.split()[:6]).capitalize()


def _path(url: RepositoryUrl, branch: str) -> str:
    return f"{url.owner}__{url.name}__{branch.replace('/', '-')}"
