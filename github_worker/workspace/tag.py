"""The tag that a request asks for: looked for before anything is pushed, made and pushed after the branch.

libgit2 does not ask a server to take two refs together or none. So the branch goes first: at no time is there
a tag without its branch.
"""

from __future__ import annotations

import asyncio

from github_worker.contract import NewTag, Tagged
from github_worker.errors import JobError, TagExists
from github_worker.git.remote import RemoteMoved
from github_worker.git.repository import Repository
from github_worker.git.tags import create_tag, delete_tag, find_target
from github_worker.progress import Report
from github_worker.workspace.push import PushOutcome, report_failure

_SHORT = 7  # characters of a commit's id


def is_tag_due(repository: Repository, tag: NewTag, tree: str | None) -> bool:
    """Tell whether a tag of the branch's tip is still to be made; raise TagExists where it is elsewhere.

    `tree` is that of a commit which is still to be made. If an earlier try made and tagged it, and was lost,
    the tag is the one that is asked for.
    """
    heads = repository.remote.heads()
    there, here = heads.tags.get(tag.name), find_target(repository, tag.name)
    target = repository.head if tree is None else None
    if tree is not None and there is not None and there == heads.branches.get(repository.branch):
        target = there if _is_made_of(repository, there, tree) else None
    for place, commit in (("The remote", there), ("The session", here)):
        if commit is not None and commit != target:
            raise TagExists(f"{place} has a tag {tag.name} already, which is on {commit[:_SHORT]}")
    return there is None or tree is not None


def _is_made_of(repository: Repository, oid: str, tree: str) -> bool:
    """Tell whether the remote's tip is the commit of a tree that would be made on HEAD."""
    repository.remote.fetch(repository.branch)
    commit = repository.commit(oid)
    return str(commit.tree.id) == tree and [str(parent) for parent in commit.parent_ids] == [repository.head]


async def make_tag(
    repository: Repository, tag: NewTag, outcome: PushOutcome, report: Report
) -> Tagged | None:
    """Tag what was pushed and push the tag; one that the remote does not take is not kept either."""
    if outcome.error is not None:
        return None
    report("tagging", f"Tagging {outcome.tip[:_SHORT]} as {tag.name}")
    if await asyncio.to_thread(find_target, repository, tag.name) is None:
        await asyncio.to_thread(create_tag, repository, tag.name, outcome.tip, tag.message)
    try:
        await asyncio.to_thread(repository.remote.push_tag, tag.name)
    except (JobError, RemoteMoved) as error:
        delete_tag(repository, tag.name)
        failure = TagExists(str(error)) if isinstance(error, RemoteMoved) else error
        return Tagged(
            name=tag.name, target=outcome.tip, pushed=False, push_error=report_failure(failure, report)
        )
    return Tagged(name=tag.name, target=outcome.tip, pushed=True)
