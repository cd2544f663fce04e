"""All that passes pygit2 by: libgit2's own functions, settings and errors, and files.

Every call through the foreign function interface is here, so that there is one place to change on the day
that pygit2 offers what it lacks.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pygit2
from isal import isal_zlib
from msgspec import Struct
from pygit2.callbacks import git_checkout_options, git_fetch_options, git_push_options
from pygit2.enums import CheckoutStrategy, ConfigLevel
from pygit2.ffi import C, ffi
from pygit2.utils import StrArray

from github_worker import __version__
from github_worker.errors import (
    AuthenticationFailed,
    JobError,
    PermissionDenied,
    PushRejected,
    RateLimited,
    RemoteUnavailable,
    RepositoryNotFound,
    SessionCorrupt,
    UnsupportedRepository,
)
from github_worker.redaction import scrub
from github_worker.scratch import is_disk_full, no_room

_SKIP_WORKTREE = 1 << 14  # GIT_INDEX_ENTRY_SKIP_WORKTREE
_NANO = 10**9
_MASK = 0xFFFFFFFF
_DESCRIPTORS = 256  # that are looked at; a new one has the lowest number that is free
_LEVEL = 1  # of compression
_LEVELS = (ConfigLevel.PROGRAMDATA, ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL)
_STATUS = re.compile(r"unexpected http status code: (\d{3})")
_AUTHENTICATION = re.compile(
    r"authentication (?:required|replays|that we|failed)|no callback set|unsupported authentication"
    r"|too many redirects"
)
_DENIED = re.compile(r"permission|denied|not authorized|write access|protected|scope", re.IGNORECASE)
_SILENT = re.compile(r"timed out", re.IGNORECASE)
_NOT_SMART = "it does not answer as one over smart HTTP, and the dumb protocol is not supported"
# Failings of a git server that stay, by libgit2's words for them.
_UNSUPPORTED = {
    "unknown remote object format": "its repository names objects by SHA-256, which is not supported",
    "invalid content-type": _NOT_SMART,
    "no content-type header": _NOT_SMART,
    "error parsing REF pkt-line": "it speaks version 2 of git's protocol alone, which is not supported",
    "cannot fetch a specific object": "it gives out nothing but what its branches are at",
    # libgit2 takes an answer with neither Content-Length nor chunks for an empty one.
    "could not read refs": "it does not say how long its answers are (HTTP/1.0), which is not supported",
}
_PATH = re.compile(r"'(.*)'|symlink (.*): ", re.DOTALL)
_SHOWN = 200  # characters of a path


# All that the remote has, those of the commits that are fetched, or none.
Tags = Literal["all", "reached", "none"]
_TAGS: dict[Tags, int] = {
    "all": C.GIT_REMOTE_DOWNLOAD_TAGS_ALL,
    "reached": C.GIT_REMOTE_DOWNLOAD_TAGS_AUTO,
    "none": C.GIT_REMOTE_DOWNLOAD_TAGS_NONE,
}


class RemoteFaltered(RemoteUnavailable):
    """The git server failed in a way that may be over in a moment."""


class Transfer(Struct, frozen=True):
    """The progress of a fetch, in objects and in bytes."""

    received: int
    total: int
    bytes: int


def isolate(timeout: float) -> None:
    """Cut libgit2 off from the machine's configuration; `timeout` is seconds without a byte from a server."""
    for level in _LEVELS:
        pygit2.settings.search_path[level] = ""
    pygit2.settings.homedir = ""
    pygit2.settings.owner_validation = False  # what would be validated was written by this process
    pygit2.settings.server_connect_timeout = pygit2.settings.server_timeout = round(timeout * 1000)
    pygit2.settings.user_agent_product = f"github-worker/{__version__} git"


def connect(remote: pygit2.Remote, callbacks: pygit2.RemoteCallbacks, *, to_push: bool = False) -> None:
    """Connect to a remote, by a connection that does not hold the end of a request back."""
    direction = C.GIT_DIRECTION_PUSH if to_push else C.GIT_DIRECTION_FETCH
    remote.connect(callbacks, direction, proxy=True)
    _send_at_once()


def fetch(
    remote: pygit2.Remote, refspec: str, callbacks: pygit2.RemoteCallbacks, *, depth: int, tags: Tags
) -> None:
    """Fetch a refspec, with tags or without; `depth` 0 is what git does without one."""
    with git_fetch_options(callbacks) as payload, StrArray([refspec]) as refspecs:
        options = payload.fetch_options
        # Called for each object; `read_transfer` reads the same counts where they stand.
        options.callbacks.transfer_progress = options.callbacks.sideband_progress = ffi.NULL
        options.depth = depth
        options.download_tags = _TAGS[tags]
        options.proxy_opts.type = C.GIT_PROXY_AUTO
        payload.check_error(C.git_remote_fetch(remote._remote, refspecs.ptr, options, ffi.NULL))


def read_transfer(remote: pygit2.Remote, packs: Path) -> Transfer:
    """Return the progress of the fetch that another thread runs, the first one into the folder `packs`."""
    stats = C.git_remote_stats(remote._remote)
    return Transfer(
        stats.indexed_objects + stats.indexed_deltas,
        stats.total_objects + stats.total_deltas,
        _measure_packs(packs),
    )


def _measure_packs(packs: Path) -> int:
    # libgit2 counts bytes only for a callback, which it then calls for each object too.
    size = 0
    for name in os.listdir(packs):
        if not name.endswith(".idx"):
            with suppress(FileNotFoundError):  # it has its name now that it is whole
                size += (packs / name).stat().st_size
    return size


def push(remote: pygit2.Remote, refspec: str, callbacks: pygit2.RemoteCallbacks) -> None:
    """Push a refspec; `listen` of the callbacks takes what the remote says beside its answer."""
    connect(remote, callbacks, to_push=True)
    with git_push_options(callbacks) as payload, StrArray([refspec]) as refspecs:
        options = payload.push_options
        options.proxy_opts.type = C.GIT_PROXY_AUTO
        payload.check_error(C.git_remote_push(remote._remote, refspecs.ptr, options))


# In the place of pygit2's own, which decodes each packet by itself and fails where one ends within a
# character. A callback that is made at run time would need memory that can be written and executed.
@ffi.def_extern(name="_sideband_progress_cb")  # type: ignore[untyped-decorator]
def _hear(text: Any, length: int, handle: Any) -> int:
    listen: Callable[[bytes], None] | None = getattr(ffi.from_handle(handle), "listen", None)
    if listen is not None:
        listen(bytes(ffi.buffer(text, length)))
    return 0


def check_out(
    libgit2: pygit2.Repository,
    tree: pygit2.Tree,
    strategy: CheckoutStrategy,
    paths: Sequence[bytes] | None = None,
) -> None:
    """Bring index and files to a tree, only the `paths` if they are given, each blob written as it is."""
    strategy |= CheckoutStrategy.DISABLE_PATHSPEC_MATCH
    names = None if paths is None else [_RawPath(path) for path in paths]
    with git_checkout_options(strategy=strategy, paths=names) as payload:
        payload.checkout_options.disable_filters = 1
        pointer = ffi.new("git_object **")
        ffi.buffer(pointer)[:] = tree._pointer[:]
        payload.check_error(C.git_checkout_tree(libgit2._repo, pointer[0], payload.checkout_options))


def set_status(index: pygit2.Index, path: bytes, status: os.stat_result) -> None:
    """Let an entry remember the file that it was made of, so that nobody hashes it again."""
    entry = _find_entry(index, path)
    for time, moment in ((entry.ctime, status.st_ctime_ns), (entry.mtime, status.st_mtime_ns)):
        time.seconds, time.nanoseconds = _to_signed(moment // _NANO), moment % _NANO
    entry.dev, entry.ino = status.st_rdev & _MASK, status.st_ino & _MASK
    entry.uid, entry.gid, entry.file_size = status.st_uid, status.st_gid, status.st_size & _MASK


def skip_worktree(index: pygit2.Index, path: bytes) -> None:
    """Mark an entry as one whose file is not in the worktree."""
    _find_entry(index, path).flags_extended |= _SKIP_WORKTREE


def blob_id(data: bytes) -> bytes:
    """Return the id that git gives a blob, twenty bytes."""
    sha1 = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    sha1.update(data)
    return sha1.digest()


def write_blob(libgit2: pygit2.Repository, data: bytes) -> bytes:
    """Write a blob as a loose object, if the repository lacks it, and return its id, twenty bytes.

    libgit2's own function takes four times as long and holds the GIL, so that `/health` would wait.
    """
    oid = blob_id(data)
    if pygit2.Oid(raw=oid) in libgit2:
        return oid
    name = oid.hex()
    folder = Path(libgit2.path, "objects", name[:2])
    folder.mkdir(exist_ok=True)
    deflater = isal_zlib.compressobj(_LEVEL)
    parts = (deflater.compress(b"blob %d\0" % len(data)), deflater.compress(data), deflater.flush())
    with tempfile.NamedTemporaryFile(dir=folder, prefix="tmp_obj_", delete=False) as new:
        new.writelines(parts)
        os.fchmod(new.fileno(), 0o444)
    os.replace(new.name, folder / name[2:])
    return oid


def read_file(path: bytes | Path) -> bytes:
    """Read a file, unless it is a link."""
    with open(path, "rb", opener=_open_no_follow) as file:
        return file.read()


def overwrite_file(path: bytes, data: bytes) -> None:
    """Write over a file, unless it is a link."""
    with open(path, "wb", opener=_open_no_follow) as file:
        file.write(data)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what a network call of libgit2 raises into a JobError."""
    try:
        yield
    except (pygit2.GitError, OSError, ValueError, KeyError) as error:
        message = scrub(str(error))
        if is_disk_full(message):
            raise no_room() from error
        raise _decipher(message) from error


def explain_damage(error: Exception) -> JobError | None:
    """Return the JobError for what libgit2 raises at the session's own repository, None for all else."""
    if not isinstance(error, pygit2.GitError):
        return None
    message = scrub(str(error))
    if is_disk_full(message):
        return no_room()
    if "invalid path" in message or os.strerror(errno.ENAMETOOLONG) in message:
        return UnsupportedRepository(
            f"The repository has a path that no checkout can make: {_extract_path(message)}"
        )
    if "unsupported" in message:
        return UnsupportedRepository(f"The repository cannot be worked in: {message}")
    return SessionCorrupt(f"The session's repository is damaged: {message}")


def is_denial(reason: str) -> bool:
    """Tell whether a remote's reason for refusing a ref is about rights."""
    return _DENIED.search(reason) is not None


class _RawPath(Struct, frozen=True):
    """A path in bytes, which pygit2 takes in this guise alone."""

    path: bytes

    def __fspath__(self) -> bytes:
        return self.path


def _send_at_once() -> None:
    """Let no connection of this process wait, before it sends the end of a request, for what came to arrive.

    libgit2 writes head and body one after the other and lets the kernel hold the second back (RFC 896) until
    the server acknowledges the first, which it does after 40 ms. libgit2 does not tell its descriptor.
    """
    for number in range(_DESCRIPTORS):
        with suppress(OSError):  # there is none, or it is a pipe's
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as connection:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _open_no_follow(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT | os.O_NOFOLLOW)


def _find_entry(index: pygit2.Index, path: bytes) -> Any:
    return C.git_index_get_bypath(index._index, path, 0)


def _to_signed(seconds: int) -> int:
    seconds &= _MASK
    return seconds - 2**32 if seconds >= 2**31 else seconds


_STATUS_ERRORS: dict[str, type[JobError]] = {
    "401": AuthenticationFailed,
    "403": PermissionDenied,
    "404": RepositoryNotFound,
    "413": PushRejected,
    "429": RateLimited,
}


def _decipher(message: str) -> JobError:
    """Tell from libgit2's words what went wrong with a remote."""
    for words, meaning in _UNSUPPORTED.items():
        if words in message:
            return UnsupportedRepository(f"The git server cannot be worked with: {meaning} ({message})")
    kind, status = _classify(message), _STATUS.search(message)
    if status is None:
        return kind(f"The git server: {message}")
    words = (kind.__doc__ or "") if status[1] in _STATUS_ERRORS else "The git server failed"
    return kind(f"{words.rstrip('.')} (HTTP status {status[1]})")


def _classify(message: str) -> type[JobError]:
    if status := _STATUS.search(message):
        faltered = RemoteFaltered if status[1].startswith("5") else RemoteUnavailable
        return _STATUS_ERRORS.get(status[1], faltered)
    if _AUTHENTICATION.search(message):
        return AuthenticationFailed
    return RemoteUnavailable if _SILENT.search(message) else RemoteFaltered


def _extract_path(message: str) -> str:
    match = _PATH.search(message)
    path = (match[1] or match[2]) if match else message
    return path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"
