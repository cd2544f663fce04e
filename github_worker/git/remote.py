"""One repository on one git server, reached with one token."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pygit2
from msgspec import Struct
from pygit2.enums import CredentialType

from github_worker.contract import RepositoryUrl, origin_of
from github_worker.errors import (
    AuthenticationFailed,
    GitHubWorkerError,
    HostNotAllowed,
    JobError,
    PermissionDenied,
    PushRejected,
    RemoteUnavailable,
)
from github_worker.git import native
from github_worker.git.native import RemoteFaltered, Tags, Transfer, is_denial, translate_errors
from github_worker.redaction import Secret, Tail, scrub
from github_worker.retry import retry

_HEADS, _TRACKED, _TAGS = "refs/heads/", "refs/remotes/origin/", "refs/tags/"
_PEELED = "^{}"  # after the name of an annotated tag, with the commit that it is on
_MOVED = (
    *("non-fastforward", "non-fast-forward", "fetch first", "not present locally"),
    # What a server says whose branch moves between its first answer and the pack.
    *("but expected", "unable to resolve reference", "reference already exists"),
)
_NOT_UNPACKED = "unpacking the sent packfile failed"
_LOCKED = "Unable to create"  # the branch's lock file, as another push is under way
_NOTHING = "0" * 40  # where there is no branch
_LAST_WORDS = 4000  # bytes of what a remote says that are kept
_UNTIL_ROOT = 2**31 - 1  # the depth that git itself sends for --unshallow


class RemoteMoved(GitHubWorkerError):
    """The remote's branch holds commits that the pushed one lacks."""


class RemoteHeads(Struct, frozen=True):
    """A remote's branches and tags by name, each with its commit's id, and the branch that HEAD names."""

    branches: Mapping[str, str]
    default: str | None
    tags: Mapping[str, str] = {}


class Remote:
    """Origin, as an opened repository sees it; one that falters is asked again, one that hangs is not."""

    def __init__(
        self, repository: pygit2.Repository, url: RepositoryUrl, token: Secret | None, username: str
    ) -> None:
        self.url = url
        self.token = token
        self._username = username
        self._basic: Secret | None = None
        self._repository = repository
        # Connected to fetch, a remote cannot push: `_push` takes another one.
        self._remote = repository.remotes["origin"]

    def heads(self) -> RemoteHeads:
        """Ask for the branches; the connection stays open for a fetch."""
        heads = retry(self._list_heads, RemoteFaltered)
        named = {head.name: head for head in heads if head.name}
        branches, tags = _list_below(named, _HEADS), _list_below(named, _TAGS)
        peeled = {name.removesuffix(_PEELED): tags.pop(name) for name in list(tags) if name.endswith(_PEELED)}
        default = _default(named["HEAD"], branches) if "HEAD" in named else None
        return RemoteHeads(branches, default, tags | peeled)

    def fetch(self, branch: str | None = None, *, depth: int = 0) -> None:
        """Fetch one branch, or all of them and all tags, to where git has them; `depth` 0 is git's own."""
        name = branch or "*"
        refspec = f"+{_HEADS}{name}:{_TRACKED}{name}"
        tags: Tags = "all" if branch is None else "reached"
        retry(lambda: self._fetch(refspec, depth, tags), RemoteFaltered)

    def obtain(self, commit: str, *, depth: int = 0) -> bool:
        """Fetch a commit that is not here, with its history, and tell whether the remote has it."""
        if self._has_commit(commit):
            return True
        with suppress(JobError):  # not every server gives a commit by its id
            self._fetch(commit, depth, "none")
        if not self._has_commit(commit):
            self.fetch(depth=_UNTIL_ROOT if self._repository.is_shallow else 0)
        return self._has_commit(commit)

    def _has_commit(self, commit: str) -> bool:
        return isinstance(self._repository.get(commit), pygit2.Commit)

    def fetch_commit(self, oid: str) -> None:
        """Fetch a commit by its id, which no ref here leads to then; not every server gives it out."""
        retry(lambda: self._fetch(oid, 0, "reached"), RemoteFaltered)

    def _list_heads(self) -> list[pygit2.remotes.RemoteHead]:
        with self._connection() as remote:
            native.connect(remote, self._callbacks())
            return remote.list_heads(connect=False)

    def _fetch(self, refspec: str, depth: int, tags: Tags) -> None:
        with self._connection() as remote:
            native.fetch(remote, refspec, self._callbacks(), depth=depth, tags=tags)

    @contextmanager
    def _connection(self) -> Iterator[pygit2.Remote]:
        """Yield the remote, and connect anew after a failure: a broken connection would be used again."""
        try:
            with translate_errors():
                yield self._remote
        except JobError:
            self._remote = self._repository.remotes["origin"]
            raise

    def unshallow(self, branch: str) -> None:
        """Fetch the history that a shallow clone left out."""
        self.fetch(branch, depth=_UNTIL_ROOT)

    @property
    def transfer(self) -> Transfer:
        """The progress of the fetch that another thread runs into a new repository."""
        return native.read_transfer(self._remote, Path(self._repository.path, "objects/pack"))

    def push(self, branch: str, *, new: bool = False) -> None:
        """Push a branch to its namesake, never by force; `new` ones must not exist there.

        Raises RemoteMoved, PushRejected or PermissionDenied with the remote's own words, or what
        `translate_errors` tells of the network.
        """
        self._push_until_there(branch, _HEADS, new=new)

    def push_tag(self, tag: str) -> None:
        """Push a tag that must not exist there; raises as `push` does."""
        self._push_until_there(tag, _TAGS, new=True)

    def _push_until_there(self, name: str, namespace: str, *, new: bool) -> None:
        try:
            retry(lambda: self._push_once(name, namespace, new=new), RemoteFaltered)
        except RemoteUnavailable:
            if not self._has(name, namespace):
                raise

    def push_with_lease(self, branch: str, expected: str | None) -> None:
        """Push a branch over what the remote has of it, which must be `expected`; raise as `push` does."""
        try:
            retry(lambda: self._push_once(branch, _HEADS, lease=expected or _NOTHING), RemoteFaltered)
        except RemoteUnavailable:
            if not self._has(branch, _HEADS):
                raise

    def _has(self, name: str, namespace: str) -> bool:
        """Tell whether the remote's ref is where ours is: its answer may be lost, and not the push."""
        try:
            heads = self.heads()
        except JobError:
            return False
        there = (heads.branches if namespace == _HEADS else heads.tags).get(name)
        return there == str(self._repository.references[f"{namespace}{name}"].peel(pygit2.Commit).id)

    def _push_once(self, branch: str, namespace: str, *, new: bool = False, lease: str | None = None) -> None:
        callbacks = self._callbacks(new=new, lease=lease)
        force = "+" if lease else ""
        try:
            self._push(f"{force}{namespace}{branch}:{namespace}{branch}", callbacks)
        except GitHubWorkerError as error:
            if any(word in str(error) for word in _MOVED):
                raise RemoteMoved(f"{branch} has moved on") from error
            if _NOT_UNPACKED in str(error):
                raise _refusal(branch, "it did not take the pack", callbacks.said) from error
            raise
        if callbacks.refused is not None:
            raise _refusal(branch, callbacks.refused, callbacks.said)

    def _push(self, refspec: str, callbacks: _Callbacks) -> None:
        with translate_errors():
            native.push(self._repository.remotes["origin"], refspec, callbacks)

    def _callbacks(self, *, new: bool = False, lease: str | None = None) -> _Callbacks:
        if self.token:  # as HTTP Basic has it, which is masked as long as this lives
            self._basic = Secret(_encode(self._username, self.token))
        return _Callbacks(self.url.origin, self.token, self._username, new=new, lease=lease)


def _encode(username: str, token: Secret) -> str:
    return base64.b64encode(f"{username}:{token.reveal()}".encode()).decode()


def _list_below(named: Mapping[str, pygit2.remotes.RemoteHead], namespace: str) -> dict[str, str]:
    return {
        name.removeprefix(namespace): str(head.oid)
        for name, head in named.items()
        if name.startswith(namespace)
    }


def _default(head: pygit2.remotes.RemoteHead, branches: Mapping[str, str]) -> str | None:
    """Return the branch that HEAD names, or where it is detached, as git does, one that is where it is."""
    if head.symref_target:
        return head.symref_target.removeprefix(_HEADS)
    there = [name for name, oid in branches.items() if oid == str(head.oid)]
    return next((name for name in ("main", "master", *there) if name in there), None)


def _refusal(branch: str, reason: str, said: str) -> GitHubWorkerError:
    words = f"{reason}\n{said}"
    if any(word in words for word in _MOVED):
        return RemoteMoved(f"{branch} has moved on")
    message = scrub(f"The remote refused {branch}: {words}".rstrip())
    if _LOCKED in said:
        return RemoteFaltered(message)
    return PermissionDenied(message) if is_denial(reason) else PushRejected(message)


class _Callbacks(pygit2.RemoteCallbacks):
    """Hands the token to its own origin once, and keeps what the remote says."""

    def __init__(
        self, origin: str, token: Secret | None, username: str, *, new: bool, lease: str | None
    ) -> None:
        super().__init__()
        self._origin = origin
        self._token, self._username = token, username
        self._asked = False
        self._new, self._lease = new, lease
        self._said = Tail(_LAST_WORDS)
        self.refused: str | None = None

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.UserPass:
        """Answer a server that asks who we are."""
        if origin_of(url) != self._origin:
            raise HostNotAllowed(f"The git server redirects to {origin_of(url)}, where the token must not go")
        if self._token is None or self._asked:
            raise AuthenticationFailed(
                "The repository needs a token" if self._token is None else "The git server refused the token"
            )
        if not allowed_types & CredentialType.USERPASS_PLAINTEXT:
            raise AuthenticationFailed("The git server asks for credentials of another kind than a token")
        self._asked = True
        return pygit2.UserPass(self._username, self._token.reveal())

    def listen(self, text: bytes) -> None:
        """Keep the last words of the remote."""
        self._said.add(text)

    @property
    def said(self) -> str:
        """The remote's words beside its answer, as a terminal would show them."""
        lines = self._said.scrub().replace("\r", "\n").splitlines()
        return "\n".join(line.rstrip() for line in lines if line.strip())

    def push_negotiation(self, updates: list[pygit2.remotes.PushUpdate]) -> None:
        """Refuse to move a branch that was to be new or elsewhere, and was not pushed by an earlier try."""
        for update in updates:
            if self._lease not in (None, str(update.src)) and update.src != update.dst:
                raise RemoteMoved(f"{update.dst_refname} has moved on the remote")
            if self._new and str(update.src).strip("0") and update.src != update.dst:
                raise RemoteMoved(f"{update.dst_refname} exists on the remote")

    def push_update_reference(self, refname: str, message: str | None) -> None:
        """Keep why the remote refused a ref."""
        if message is not None:
            self.refused = message
