"""Makes files, folders and links below a session's two roots, each new and none through a link."""

from __future__ import annotations

import os
import stat

from github_worker.sessions.inventory import Folders
from github_worker.sessions.limits import ENTRY, Tally

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Disk:
    """Writes to two roots; while no link is made, every parent is a folder that was made here."""

    def __init__(self, folders: Folders, tally: Tally) -> None:
        self.tree, self.aside = os.fsencode(folders.tree), os.fsencode(folders.aside)
        self._tally = tally
        self._umask = _umask_of(self.aside)
        self._made = {self.tree, self.aside}
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

    def folders_aside(self) -> list[bytes]:
        """Return the folders that were made aside, as the archive names them."""
        root = self.aside + b"/"
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
