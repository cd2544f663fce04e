"""Tags: where they lead, and new ones."""

from __future__ import annotations

import pygit2
from pygit2.enums import ObjectType

from github_worker.git.repository import Repository

_TAGS = "refs/tags/"


def find_target(repository: Repository, name: str) -> str | None:
    """Return what a tag of the session leads to, through annotated ones, or None where there is none."""
    reference = repository.libgit2.references.get(f"{_TAGS}{name}")
    if reference is None:
        return None
    try:
        return str(reference.peel().id)
    except (KeyError, pygit2.GitError):  # it leads to nothing: still there is one
        return str(reference.target)


def create_tag(repository: Repository, name: str, target: str, message: str | None) -> None:
    """Tag a commit; with a message the tag is an object, which the committer signs as commits are signed."""
    oid = pygit2.Oid(hex=target)
    if message is not None:
        oid = repository.libgit2.write(ObjectType.TAG, _compose(repository, name, target, message))
    repository.libgit2.create_reference(f"{_TAGS}{name}", oid)


def delete_tag(repository: Repository, name: str) -> None:
    """Delete a tag of the session."""
    repository.libgit2.references.delete(f"{_TAGS}{name}")


def _compose(repository: Repository, name: str, target: str, message: str) -> bytes:
    committer = repository.committer
    head = f"object {target}\ntype commit\ntag {name}\ntagger ".encode() + committer.stamp()
    content = head + f"\n\n{message.strip()}\n".encode()
    return content + f"{committer.signer.sign(content)}\n".encode() if committer.signer else content
