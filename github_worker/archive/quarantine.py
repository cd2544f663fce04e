"""Where a member of the archive lies: in `tree`, which libgit2 may see, or `quarantine`, which it never does.

Paths are bytes without a leading `./`. An allow-list: of a repository, only the plain files that git needs
to read and write commits are in the tree. Its config, hooks, links, alternates, nested repositories and all
that is not known are kept aside, and go back into the archive as they came.
"""

from __future__ import annotations

import os
import re
import stat
from enum import Enum, auto
from pathlib import Path

from msgspec import Struct, field

from github_worker.archive.contents import Contents
from github_worker.archive.limits import ENTRY, Tally
from github_worker.archive.tar import Member, Owner


class Kind(Enum):
    """What a path is; devices and pipes are never made on disk and have no place."""

    FILE = auto()
    FOLDER = auto()
    LINK = auto()


WORKSPACE = b"workspace"
METADATA = b"workspace/.session-metadata.json"
REPOSITORIES = b"workspace/workspace"

# `.git` in the spellings that git protects (`git~1`, `.GIT`, `.git. `, `.git::$INDEX_ALLOCATION`)
_DOT_GIT = re.compile(rb"(?i)(?:^|/)(?:\.git|git~1)[. ]*(?::[^/]*)?(?=/|\Z)")
_REPOSITORY = re.compile(rb"workspace/workspace/[^/]+/\.git(?:/(.*))?", re.DOTALL)
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


def in_tree(path: bytes, kind: Kind) -> bool:
    """Tell whether libgit2 may see a path of this kind."""
    if b"git" not in path.lower() or not (dot_gits := _DOT_GIT.findall(path)):
        return kind is not Kind.LINK or not _OPENED.fullmatch(path)
    match = _REPOSITORY.fullmatch(path)
    if match is None or len(dot_gits) > 1:
        return False
    inside: bytes | None = match[1]
    if kind is Kind.FOLDER:
        return inside is None or _FOLDERS.fullmatch(inside) is not None
    return kind is Kind.FILE and inside is not None and _FILES.fullmatch(inside) is not None


def is_in_worktree(path: bytes) -> bool:
    """Tell whether a file of the tree may be a file of a repository's worktree."""
    return path.startswith(REPOSITORIES + b"/") and b"/.git/" not in path


def misnamed(path: bytes) -> bytes | None:
    """Return the part of a path that git takes for a `.git` though it is spelled otherwise."""
    dot_git = _DOT_GIT.search(path) if b"git" in path.lower() else None
    return None if dot_git is None or dot_git[0].lstrip(b"/") == b".git" else path[: dot_git.end()]


def quarantined_repository(path: bytes, kind: Kind) -> bytes | None:
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
    """Where a session is unpacked: libgit2 may see `tree`, and never sees `quarantine`."""

    tree: Path
    quarantine: Path

    @classmethod
    def make(cls, parent: Path) -> Folders:
        """Make both, empty and private, in `parent`."""
        folders = cls(parent / "tree", parent / "aside")
        for folder in (folders.tree, folders.quarantine):
            folder.mkdir(mode=0o700)
        return folders


class Kept(Struct, frozen=True):
    """How a member's header differs from what the disk says while its mode there is still `disk_mode`."""

    mode: int
    disk_mode: int
    owner: Owner
    records: dict[bytes, bytes]


def _this_process() -> Owner:
    return Owner(os.getuid(), os.getgid(), b"", b"")


class Inventory(Struct):
    """What must go back into the archive and is not on the disk; paths are bytes, as in the archive.

    `prefix` is `./` if names began so; `subsecond` says whether modification times had fractions;
    `quarantined_repositories` are the folders whose `.git` libgit2 does not see: nested repositories, and the
    session's own if its `.git` is a file or a link. `misnamed` are paths that git takes for a `.git` on some
    system and never adds, such as `.GIT`. `contents` says what the files had in them when they were unpacked.
    """

    owner: Owner = field(default_factory=_this_process)
    prefix: bytes = b""
    subsecond: bool = False
    kept: dict[bytes, Kept] = field(default_factory=dict)
    specials: dict[bytes, Member] = field(default_factory=dict)
    quarantined_repositories: set[bytes] = field(default_factory=set)
    misnamed: set[bytes] = field(default_factory=set)
    contents: Contents = field(default_factory=Contents)


_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Disk:
    """Writes to two roots; while no link is made, every parent is a folder that was made here."""

    def __init__(self, folders: Folders, tally: Tally) -> None:
        self.tree, self.quarantine = os.fsencode(folders.tree), os.fsencode(folders.quarantine)
        self._tally = tally
        self._umask = _umask_of(self.quarantine)
        self._made = {self.tree, self.quarantine}
        self._replaced: set[bytes] = set()

    def make_parents(self, path: bytes) -> None:
        """Make the folders above `path` that are missing."""
        folder, missing = path.rpartition(b"/")[0], []
        while folder not in self._made:
            missing.append(folder)
            folder = folder.rpartition(b"/")[0]
        for folder in reversed(missing):
            self.make_folder(folder, 0o755)

    def make_folder(self, path: bytes, mode: int) -> None:
        """Make a folder, or set the mode of one that was made."""
        if path not in self._made:
            os.mkdir(path, mode)
            self._made.add(path)
            self._tally.add_kept(ENTRY + len(path))
            if not mode & self._umask:
                return
        os.chmod(path, mode)

    def create(self, path: bytes, mode: int) -> int:
        """Open a new file in place of what is there, unless that is a folder."""
        try:
            file = os.open(path, _CREATE, mode)
        except FileExistsError:
            self._unlink(path)
            file = os.open(path, _CREATE, mode)
        if mode & self._umask:
            os.fchmod(file, mode)
        return file

    def copy_file(self, old: bytes, new: bytes) -> None:
        """Copy a file with its mode and time."""
        source = os.open(old, _READ)
        try:
            status = os.fstat(source)
            self._tally.add_unpacked(status.st_size)
            file = self.create(new, stat.S_IMODE(status.st_mode))
            try:
                while os.sendfile(file, source, None, 2**20):
                    pass
                os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
            finally:
                os.close(file)
        finally:
            os.close(source)

    def make_hard_link(self, old: bytes, new: bytes) -> None:
        """Give a file another name, in place of what has it."""
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

    def _unlink(self, path: bytes) -> None:
        os.unlink(path)
        if path not in self._replaced:
            self._tally.add_kept(ENTRY + len(path))
            self._replaced.add(path)

    @property
    def replaced(self) -> set[bytes]:
        """The files of the tree that were made more than once, as the archive names them."""
        root = self.tree + b"/"
        return {path.removeprefix(root) for path in self._replaced if path.startswith(root)}

    def quarantined_folders(self) -> list[bytes]:
        """Return the folders that were made aside, as the archive names them."""
        root = self.quarantine + b"/"
        return [path.removeprefix(root) for path in self._made if path.startswith(root)]


def write_all(file: int, data: memoryview) -> None:
    """Write to an open file until everything is written."""
    while data:
        data = data[os.write(file, data) :]


def is_file(path: bytes) -> bool:
    """Tell whether a plain file is there, and no link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _umask_of(folder: bytes) -> int:
    """Learn the umask from a folder, since asking for it would change it for every thread."""
    probe = folder + b"/umask"
    os.mkdir(probe, 0o777)
    mode = stat.S_IMODE(os.stat(probe).st_mode)
    os.rmdir(probe)
    return 0o777 & ~mode
