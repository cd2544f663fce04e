"""Bringing a base branch's newer commits into the session's branch: what it takes, and doing it.

All that can fail without a trace is done first, in objects alone: what is fetched, merged and made again.
Then the index, the files and the branch are moved, in this version of the session or in a newer one.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from github_worker.contract import BranchSynced, SyncBranch
from github_worker.errors import BranchNotFound, MergeConflict, PushConflict, SessionConflict
from github_worker.git import commits, merge_state
from github_worker.git.merge import Labels, MergedTree, MergeUncertain, name_paths
from github_worker.git.obstacles import carry
from github_worker.git.rebase import find_fork_point, is_rewritten, rewrite
from github_worker.git.remote import RemoteMoved
from github_worker.git.repository import Person, Repository
from github_worker.services import Services
from github_worker.sessions.transaction import Session
from github_worker.workspace.repository import Workspace, open_workspace, require_repository

_MOST = 100  # paths in an error
_NOT_FOLLOWED = (
    *(
        "merge.conflictstyle",
        "merge.renames",
        "merge.directoryrenames",
        "merge.renormalize",
        "merge.renamelimit",
    ),
    *("merge.ff", "merge.log", "diff.renames", "diff.renamelimit"),
)


class Base(Struct, frozen=True):
    """The session's branch, and the base whose commits it is to have, as they are now.

    `known` is what the session knew the remote's branch to be at, `pushed` what the remote says.
    """

    branch: str
    name: str
    start: str | None
    at: str
    news: int
    known: str | None = None
    pushed: str | None = None

    @property
    def label(self) -> str:
        """The base as git calls it."""
        return f"origin/{self.name}"


class Sync(Struct, frozen=True):
    """What is to be done: `tip` is the branch's new tip, or `merged` has conflicts that wait for a commit."""

    base: Base
    outcome: Literal["up-to-date", "fast-forward", "merge", "rebase", "conflicts"]
    tip: str | None = None
    merged: MergedTree | None = None
    needs_push: bool = False

    def result(self, *, pushed: bool = False) -> BranchSynced:
        """Say it as sync-branch does."""
        return BranchSynced(
            branch=self.base.branch,
            base_branch=self.base.name,
            commit=self.tip or self.base.start or self.base.at,
            base_commit=self.base.at,
            outcome=self.outcome,
            commits=self.base.news,
            conflicts=tuple(self.merged.paths) if self.merged else (),
            force_pushed=pushed,
        )


def find_base(request: SyncBranch, workspace: Workspace) -> Base:
    """Fetch the base branch, and ask where the branch is; raise BranchNotFound, or as a fetch does."""
    repository = workspace.repository
    repository.require_finished()
    name = request.base or workspace.session.metadata.base_branch
    if name is None:
        raise BranchNotFound("The session does not say which branch it began at: `base` has to")
    branch, start = repository.branch, repository.head
    known = repository.remote_tip(branch)
    heads = repository.remote.heads().branches
    if name not in heads:
        raise BranchNotFound(f"The remote has no branch {name}")
    repository.remote.fetch(name)
    at = repository.remote_tip(name) or heads[name]
    if start is not None and not repository.share_history(start, at):
        repository.remote.unshallow(name)
    return Base(branch, name, start, at, repository.count_new(at, start), known, heads.get(branch))


def plan_sync(request: SyncBranch, base: Base, workspace: Workspace, services: Services) -> Sync:
    """Decide what is to be done, in objects alone; raise MergeConflict or PushConflict."""
    repository = workspace.repository
    if base.start is not None and repository.is_ancestor(base.at, base.start):
        sync = Sync(base, "up-to-date")
    elif base.start is None or repository.is_ancestor(base.start, base.at):
        sync = Sync(base, "fast-forward", base.at)
    elif request.method == "rebase":
        sync = _plan_rebase(request, base, repository)
    else:
        sync = _plan_merge(request, base, repository, services)
    return sync


def apply(sync: Sync, workspace: Workspace) -> None:
    """Move index, files and branch; raise UncommittedChanges, with nothing moved, if work were lost."""
    repository, base = workspace.repository, sync.base
    nested = workspace.location.folders.nested
    if sync.merged is not None:
        merge_state.begin(repository, base.at, sync.merged, _message(base), nested)
    elif sync.tip is not None:
        carry(repository, repository.tree(sync.tip), nested)
        merge_state.remember_head(repository)
        repository.set_branch(base.branch, sync.tip, _reason(sync))


def push(sync: Sync, repository: Repository) -> None:
    """Push the branch that was made again over what the session knew of it; raise PushConflict, …."""
    base = sync.base
    if sync.tip != base.pushed:
        try:
            repository.remote.push_with_lease(base.branch, base.known)
        except RemoteMoved as error:
            raise PushConflict(str(error)) from error
    if sync.tip is not None:
        repository.set_tracking(base.branch, sync.tip)


async def carry_sync(sync: Sync, workspace: Workspace, services: Services, newer: Session) -> None:
    """Do the same in a newer version of the session; raise SessionConflict if its branch is elsewhere."""
    repository, base = workspace.repository, sync.base
    renewed = open_workspace(require_repository(newer, str(repository.remote.url)), services, token=None)
    target = renewed.repository
    if target.branch != base.branch or target.head != base.start or target.is_unfinished:
        raise SessionConflict("Another writer changed the branch meanwhile")
    renewed.location.remove_credentials()
    target.import_objects(repository)
    for branch in {base.name, base.branch}:
        if (tip := repository.remote_tip(branch)) is not None:
            target.set_tracking(branch, tip)
    apply(sync, renewed)


def list_unfollowed(workspace: Workspace) -> list[str]:
    """Return the settings of the session's own config by which git would merge otherwise."""
    config = workspace.location.effective_config()
    return [name for name in _NOT_FOLLOWED if config.get(name) is not None]


def _plan_merge(request: SyncBranch, base: Base, repository: Repository, services: Services) -> Sync:
    assert base.start is not None  # noqa: S101 (a branch without a commit is fast-forwarded)
    try:
        merged = merge_state.merge(repository, base.start, base.at, Labels("HEAD", base.label))
    except MergeUncertain as error:
        raise _conflict(
            f"It is not certain what git would make of the merge. {error}", error.paths
        ) from error
    if not merged.conflicts:
        author = Person(request.author.name, request.author.email) if request.author else services.committer
        parents = [base.start, base.at]
        tip = commits.write_commit(repository, str(merged.tree), _message(base), author, parents)
        return Sync(base, "merge", tip)
    if not request.leave_conflicts:
        raise _conflict(f"{base.name} conflicts with {base.branch}: {name_paths(merged.paths)}", merged.paths)
    outside = [path for path in merged.paths if not repository.rules.sparse.includes(path.encode())]
    if outside:
        raise _conflict(f"Conflicts outside of the sparse checkout: {name_paths(outside)}", outside)
    return Sync(base, "conflicts", merged=merged)


def _plan_rebase(request: SyncBranch, base: Base, repository: Repository) -> Sync:
    is_own = base.name == base.branch
    is_pushed = not is_own and any(_is_pushed(repository, tip, base.at) for tip in (base.known, base.pushed))
    if is_pushed and not request.force_with_lease:
        raise PushConflict(
            f"{base.branch} is pushed: a rebase would rewrite it, which `forceWithLease` allows"
        )
    since = find_fork_point(repository, base.branch, base.at) if is_own else None
    try:
        tip = rewrite(repository, base.branch, base.at, since=since)
    except PushConflict as error:
        raise MergeConflict(f"{base.branch} cannot be rebased on {base.name}. {error}") from error
    if is_pushed and base.pushed != base.known:
        tip = _adopt(repository, base, tip)
    return Sync(base, "rebase", tip, needs_push=is_pushed)


def _is_pushed(repository: Repository, tip: str | None, at: str) -> bool:
    """Tell whether a tip of the remote's branch has commits that the base lacks."""
    return tip is not None and not (repository.has(tip) and repository.is_ancestor(tip, at))


def _adopt(repository: Repository, base: Base, tip: str) -> str:
    """Return what an earlier try pushed whose outcome was lost; raise PushConflict if it is another."""
    if base.pushed is None:
        raise PushConflict(f"{base.branch} is gone from the remote")
    repository.remote.fetch(base.branch)
    if not is_rewritten(repository, tip, base.pushed, base.at):
        raise PushConflict(f"{base.branch} has moved on the remote since the session last saw it")
    return base.pushed


def _message(base: Base) -> str:
    """Return the message that git gives such a merge; only `master` is taken for granted."""
    into = "" if base.branch == "master" else f" into {base.branch}"
    return f"Merge remote-tracking branch '{base.label}'{into}\n"


def _reason(sync: Sync) -> str:
    label = sync.base.label
    reasons = {"fast-forward": f"merge {label}: Fast-forward", "merge": f"merge {label}: Merge made"}
    return reasons.get(sync.outcome, "rebase (finish)")


def _conflict(message: str, paths: list[str]) -> MergeConflict:
    return MergeConflict(message, data={"conflicts": paths[:_MOST]})
