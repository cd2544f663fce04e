"""The messages of git-lfs's batch API and its locking API, written and read; nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from github_worker.errors import RemoteUnavailable
from github_worker.lfs.pointer import Pointer

MEDIA_TYPE = "application/vnd.git-lfs+json"
MOST_AT_ONCE = 100  # objects of a batch, as git-lfs asks for them
# Of an answer's headers those that say how a message is framed or where it goes are the library's.
_OURS = {
    *("host", "content-length", "connection", "keep-alive", "upgrade", "te", "trailer", "expect", "range"),
    *("accept-encoding", "proxy-authorization", "proxy-connection", "transfer-encoding"),
}
Message = TypeVar("Message")
Operation = Literal["download", "upload"]
_Text = Annotated[str, Meta(max_length=16 * 1024)]


class Action(Struct, frozen=True):
    """Where something is to be sent to or fetched from, and with what headers."""

    href: _Text
    header: Annotated[dict[_Text, _Text], Meta(max_length=100)] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the server asks for, by their names in lower case."""
        return {name: value for name, value in self._all.items() if name not in _OURS}

    @property
    def is_chunked(self) -> bool:
        """Whether the server asks for a body in chunks."""
        return "chunked" in self._all.get("transfer-encoding", "").lower()

    @property
    def _all(self) -> dict[str, str]:
        return {name.strip().lower(): value.strip() for name, value in (self.header or {}).items()}


class Trouble(Struct, frozen=True):
    """Why the server has nothing to offer for an object."""

    code: int = 0
    message: str = ""


class Offer(Struct, frozen=True):
    """What the server says of one object; it needs no upload where it offers none."""

    oid: str
    actions: dict[str, Action] | None = None
    error: Trouble | None = None
    authenticated: bool | None = None

    def action(self, name: str) -> Action | None:
        """Return what is to be done, None where nothing is."""
        return (self.actions or {}).get(name)


class _Batch(Struct, frozen=True):
    objects: list[Offer]
    transfer: str | None = None
    hash_algo: str | None = None


class Owner(Struct, frozen=True):
    """Who locked a file."""

    name: str = ""


class Lock(Struct, frozen=True):
    """A path that somebody locked."""

    path: str
    owner: Owner | None = None


class Locks(Struct, frozen=True):
    """A page of locks: those of others are `theirs`."""

    theirs: list[Lock] | None = None
    next_cursor: str | None = None


class Words(Struct, frozen=True):
    """What a server says of an error."""

    message: str = ""


def write_batch(operation: Operation, pointers: Iterable[Pointer], branch: str) -> bytes:
    """Write the request for some objects."""
    return msgspec.json.encode(
        {
            "operation": operation,
            "transfers": ["basic"],
            "ref": {"name": f"refs/heads/{branch}"},
            "objects": [write_object(pointer) for pointer in pointers],
            "hash_algo": "sha256",
        }
    )


def write_object(pointer: Pointer) -> dict[str, str | int]:
    """Return an object as messages name it."""
    return {"oid": pointer.oid, "size": pointer.size}


def write_question(branch: str, cursor: str) -> bytes:
    """Write the request for a page of the locks that matter to a push."""
    more = {"cursor": cursor} if cursor else {}
    return msgspec.json.encode({"ref": {"name": f"refs/heads/{branch}"}, **more})


def read_batch(body: bytes) -> Mapping[str, Offer]:
    """Read the answer, by the objects' ids; raise RemoteUnavailable where it is none."""
    batch = _read(body, _Batch)
    if (batch.transfer or "basic") != "basic" or (batch.hash_algo or "sha256") != "sha256":
        raise RemoteUnavailable("The git server offers large files in a way that was not asked for")
    return {offer.oid: offer for offer in batch.objects}


def read_locks(body: bytes) -> Locks:
    """Read a page of locks; raise RemoteUnavailable where it is none."""
    return _read(body, Locks)


def read_words(body: bytes) -> str:
    """Read the message of an error, "" where there is none."""
    try:
        return msgspec.json.decode(body, type=Words).message[:500]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


def _read(body: bytes, kind: type[Message]) -> Message:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RemoteUnavailable("The git server's answer about large files cannot be read") from None
