"""Where an archive's members go: to `tree`, which libgit2 may see, or to `quarantine`, which it never does.

It is an allow-list: of a repository, only the plain files that git needs to read and write commits are in
the tree. Its config, hooks, links, alternates, nested repositories and all that is not known are quarantined,
and go back into the archive as they came. Paths are bytes without a leading `./`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from enum import Enum, auto
from functools import partial
from pathlib import Path

from msgspec import Struct, field

from github_worker.archive.contents import ContentHash, Contents, Spool
from github_worker.archive.limits import ENTRY, Tally
from github_worker.archive.tar import Member, Owner

WORKSPACE = b"workspace"
METADATA = b"workspace/.session-metadata.json"
REPOSITORIES = b"workspace/workspace"

# `.git` in the spellings that git protects (`git~1`, `.GIT`, `.git. `, `.git::$INDEX_ALLOCATION`)
_DOT_GIT = re.compile(rb"(?i)(?:^|/)(?:\.git|git~1)[. ]*(?::[^/]*)?(?=/|\Z)")
_REPOSITORY = re.compile(rb"workspace/workspace/[^/]+/\.git(?:/(.*))?", re.DOTALL)
_DEEPER = re.compile(rb"/\.git(?:/(.*))?", re.DOTALL)
# What the worker itself opens must not be a link.
_OPENED = re.compile(rb"workspace(?:/\.session-metadata\.json|/workspace(?:/[^/]+)?)?")
_FOLDERS = re.compile(rb"(?:refs|logs)(?:/.+)?|info|objects(?:/(?:[0-9a-f]{2}|pack))?", re.DOTALL)
_FILES = re.compile(
    rb"HEAD|ORIG_HEAD|FETCH_HEAD|MERGE_HEAD|MERGE_MSG|MERGE_MODE|MERGE_RR|AUTO_MERGE|SQUASH_MSG"
    rb"|CHERRY_PICK_HEAD|REVERT_HEAD"
    rb"|packed-refs|shallow|index|info/(?:exclude|attributes)"
    rb"|(?:refs|logs)/.+(?<!\.lock)"
    rb"|objects/(?:[0-9a-f]{2}/[0-9a-f]{38}|pack/pack-[^/]+\.(?:pack|idx))",
    re.DOTALL,
)
_LONGEST_SPOOLED, _LARGEST_SPOOLED = 2048, 256 * 1024
_OBJECT = re.compile(rb"objects/(?:([0-9a-f]{2}/[0-9a-f]{38})|pack/.+)", re.DOTALL)


class Kind(Enum):
    """The kinds of paths that have a place on the disk: devices and pipes are never made there."""

    FILE = auto()
    FOLDER = auto()
    LINK = auto()


def in_tree(path: bytes, kind: Kind, repository: bytes = b"") -> bool:
    """Tell whether libgit2 may see a path of this kind; `repository` is one that lies deeper than others."""
    if b"git" not in path.lower() or not (dot_gits := _DOT_GIT.findall(path)):
        return kind is not Kind.LINK or not _OPENED.fullmatch(path)
    match = _match_repository(path, repository)
    if match is None or len(dot_gits) > 1:
        return False
    inside: bytes | None = match[1]
    if kind is Kind.FOLDER:
        return inside is None or _FOLDERS.fullmatch(inside) is not None
    return kind is Kind.FILE and inside is not None and _FILES.fullmatch(inside) is not None


def _match_repository(path: bytes, repository: bytes) -> re.Match[bytes] | None:
    """Match a path at or below the `.git` of a session's repository; the group is what is inside of it."""
    if repository and path.startswith(repository + b"/"):
        return _DEEPER.fullmatch(path, len(repository))
    return _REPOSITORY.fullmatch(path)


def is_object_file(path: bytes) -> bool:
    """Tell whether a file of the tree is where libgit2 looks for objects."""
    return _find_object(path) is not None


def is_loose_object(path: bytes, repository: bytes = b"") -> bool:
    """Tell whether a file of the tree is where libgit2 looks for one object."""
    found = _find_object(path, repository)
    return found is not None and found[1] is not None


def _find_object(path: bytes, repository: bytes = b"") -> re.Match[bytes] | None:
    if b"/.git/objects/" not in path or (match := _match_repository(path, repository)) is None:
        return None
    return _OBJECT.fullmatch(match[1])


def is_in_worktree(path: bytes) -> bool:
    """Tell whether a file of the tree may be a file of a repository's worktree."""
    return path.startswith(REPOSITORIES + b"/") and b"/.git/" not in path


def is_spoolable(path: bytes, size: int) -> bool:
    """Tell whether a plain file may wait in the spool: whoever needs it on the disk asks for it first.

    Others do not know of the spool: libgit2, which reads a `.git`, who reads the metadata, and who looks for
    attributes. A path that the disk might not take is refused as soon as it comes. To make a large file costs
    little beside its bytes, and the disk should not hold it twice once it is needed.
    """
    is_read = b"/.git/" in path or path.endswith(b"/.gitattributes") or _OPENED.fullmatch(path) is not None
    is_small = size <= _LARGEST_SPOOLED and len(path) <= _LONGEST_SPOOLED
    return is_small and not is_read and in_tree(path, Kind.FILE)


def find_dot_git_alias(path: bytes) -> bytes | None:
    """Return the part of a path that git takes for a `.git` though it is spelled otherwise, or None."""
    dot_git = _DOT_GIT.search(path) if b"git" in path.lower() else None
    return None if dot_git is None or dot_git[0].lstrip(b"/") == b".git" else path[: dot_git.end()]


def find_quarantined_repository(path: bytes, kind: Kind) -> bytes | None:
    """Return the folder whose `.git` is not in the tree, if `path` is that `.git` or lies in it.

    Such a folder is a nested repository, or the session's own one when its `.git` is a file or a link.
    """
    dot_git = _DOT_GIT.search(path) if b".git" in path else None
    if dot_git is None or dot_git[0].lstrip(b"/") != b".git":
        return None
    if in_tree(path[: dot_git.end()], kind if dot_git.end() == len(path) else Kind.FOLDER):
        return None
    return path[: dot_git.start()]


class Folders(Struct, frozen=True):
    """The two folders that a session is unpacked into."""

    tree: Path
    quarantine: Path

    @classmethod
    def make(cls, parent: Path) -> Folders:
        """Make both in `parent`, empty and private."""
        folders = cls(parent / "tree", parent / "quarantine")
        for folder in (folders.tree, folders.quarantine):
            folder.mkdir(mode=0o700)
        return folders


class Kept(Struct, frozen=True):
    """The part of a member's header that is not on the disk, while its mode there is still `disk_mode`."""

    mode: int
    disk_mode: int
    owner: Owner
    records: dict[bytes, bytes]


def _process_owner() -> Owner:
    return Owner(os.getuid(), os.getgid(), b"", b"")


class Inventory(Struct):
    """All that must go back into the archive and is not on the disk; paths are as in the archive.

    `prefix` is `./` if names began so; `subsecond` says whether modification times had fractions;
    `quarantined_repositories` are the folders whose `.git` libgit2 does not see: nested repositories, and the
    session's own if its `.git` is a file or a link. `misnamed` are paths that git takes for a `.git` on some
    system and never adds, such as `.GIT`. `contents` knows the files as they were unpacked, `spool` has those
    that are not on the disk. `repository` is the session's own if it lies deeper than in a folder of the
    workspace.
    """

    owner: Owner = field(default_factory=_process_owner)
    prefix: bytes = b""
    subsecond: bool = False
    kept: dict[bytes, Kept] = field(default_factory=dict)
    specials: dict[bytes, Member] = field(default_factory=dict)
    quarantined_repositories: set[bytes] = field(default_factory=set)
    misnamed: set[bytes] = field(default_factory=set)
    contents: Contents = field(default_factory=Contents)
    spool: Spool = field(default_factory=Spool)
    repository: bytes = b""


class Disk:
    """Writes to the two folders; while no link is made, every parent is a folder that was made here."""

    def __init__(self, folders: Folders, inventory: Inventory, tally: Tally) -> None:
        self.tree, self._quarantine = os.fsencode(folders.tree), os.fsencode(folders.quarantine)
        self._inventory = inventory
        self._tally = tally
        self._has_hard_links = False
        self._umask = _find_umask(self._quarantine)
        self._made = {self.tree, self._quarantine}

    @property
    def roots(self) -> tuple[bytes, bytes]:
        """The paths of both folders."""
        return self.tree, self._quarantine

    def locate(self, path: bytes, kind: Kind) -> bytes:
        """Return the path on the disk of a member."""
        return (self.tree if in_tree(path, kind) else self._quarantine) + b"/" + path

    def prepare(self, path: bytes, kind: Kind) -> bytes:
        """Make the parents of a member and return its path on the disk."""
        if (repository := find_quarantined_repository(path, kind)) is not None:
            self._note(repository, self._inventory.quarantined_repositories)
        elif (alias := find_dot_git_alias(path)) is not None:
            self._note(alias, self._inventory.misnamed)
        where = self.locate(path, kind)
        folder, missing = where.rpartition(b"/")[0], []
        while folder not in self._made:
            missing.append(folder)
            folder = folder.rpartition(b"/")[0]
        for folder in reversed(missing):
            self.make_folder(folder, 0o755)
        return where

    def make_folder(self, path: bytes, mode: int) -> None:
        """Make a folder, or set the mode of one that was made."""
        if path not in self._made:
            if path.removeprefix(self.tree + b"/") in self._inventory.spool:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.mkdir(path, mode)
            self._note(path, self._made)
            if not mode & self._umask:
                return
        os.chmod(path, mode)

    def can_spool(self, path: bytes, size: int) -> bool:
        """Tell whether a file can go to the spool, and none of its name is on the disk."""
        if not (self._inventory.spool.has_room(path) and is_spoolable(path, size)):
            return False
        return not (self._has_hard_links and os.path.lexists(self.tree + b"/" + path))

    def spool_file(self, path: bytes, mode: int, mtime: int, pieces: Iterable[memoryview]) -> None:
        """Let a file wait in the spool, in place of what is there, unless that is a folder."""
        if self.tree + b"/" + path in self._made:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self._inventory.spool.add(path, mode, mtime, pieces)

    def write_file(
        self, path: bytes, mode: int, mtime: int, pieces: Iterable[memoryview], content: ContentHash | None
    ) -> None:
        """Write a file in place of what is there, unless that is a folder, and hash it into `content`."""
        file = self._create(path, mode)
        try:
            for piece in pieces:
                _write_all(file, piece)
                if content is not None:
                    content.update(piece)
            os.utime(file, ns=(mtime, mtime))
        finally:
            os.close(file)

    def copy_file(self, old: bytes, new: bytes) -> None:
        """Copy a file with its mode and time."""
        source = open_no_follow(old, os.O_RDONLY)
        try:
            status = os.fstat(source)
            self._tally.add_unpacked(status.st_size)
            file = self._create(new, stat.S_IMODE(status.st_mode))
            try:
                for piece in iter(partial(os.read, source, 2**20), b""):
                    _write_all(file, memoryview(piece))
                os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
            finally:
                os.close(file)
        finally:
            os.close(source)

    def make_hard_link(self, old: bytes, new: bytes) -> None:
        """Give a file another name, in place of what has it."""
        self._has_hard_links = True
        try:
            os.link(old, new, follow_symlinks=False)
        except FileExistsError:
            self._unlink(new)
            os.link(old, new, follow_symlinks=False)

    def make_link(self, path: bytes, target: bytes, mtime: int) -> None:
        """Make a symbolic link in place of what is there, unless that is a folder."""
        try:
            os.symlink(target, path)
        except FileExistsError:
            os.unlink(path)
            os.symlink(target, path)
        os.utime(path, ns=(mtime, mtime), follow_symlinks=False)

    def quarantined_folders(self) -> list[bytes]:
        """Return the folders that were made in the quarantine, as the archive names them."""
        root = self._quarantine + b"/"
        return [path.removeprefix(root) for path in self._made if path.startswith(root)]

    def _create(self, path: bytes, mode: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            file = open_no_follow(path, flags, mode)
        except FileExistsError:
            self._unlink(path)
            file = open_no_follow(path, flags, mode)
        if mode & self._umask:
            os.fchmod(file, mode)
        return file

    def _unlink(self, path: bytes) -> None:
        os.unlink(path)
        if path.startswith(self.tree + b"/"):
            self._note(path.removeprefix(self.tree + b"/"), self._inventory.contents.repeated)

    def _note(self, path: bytes, paths: set[bytes]) -> None:
        if path not in paths:
            self._tally.add_kept(ENTRY + len(path))
            paths.add(path)


def open_no_follow(path: bytes, flags: int, mode: int = 0o777, *, folder: int | None = None) -> int:
    """Open a file or folder but through no link at its end; `folder` is open, and `path` begins there."""
    return os.open(path, flags | os.O_NOFOLLOW, mode, dir_fd=folder)


def _write_all(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]


def _find_umask(folder: bytes) -> int:
    """Learn the umask from a folder, since asking for it would change it for every thread."""
    probe = folder + b"/umask"
    os.mkdir(probe, 0o777)
    mode = stat.S_IMODE(os.stat(probe).st_mode)
    os.rmdir(probe)
    return 0o777 & ~mode
