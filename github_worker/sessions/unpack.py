"""Unpacks a session's archive into two folders, whoever wrote it.

Folders and plain files come first, under parents that were made here; symbolic links are made when nothing
else is left to write. So nothing is ever written through a link, whatever the archive's names say.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from github_worker.errors import SessionCorrupt, SessionTooLarge
from github_worker.sessions import tar
from github_worker.sessions.gzip import inflate
from github_worker.sessions.inventory import Folders, Inventory, Kept
from github_worker.sessions.limits import Limits, Tally
from github_worker.sessions.placement import Kind, in_tree, repository_aside
from github_worker.sessions.reader import TarReader
from github_worker.sessions.tar import Member, shown

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRY = 300  # bytes, roughly, that a path costs in a dict or set beside its own
_CONFLICTS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY}


def unpack(
    chunks: Iterable[bytes], folders: Folders, limits: Limits, tally: Tally | None = None
) -> Inventory:
    """Write what a gzip'd tar holds into empty `folders`; return what a disk cannot say of it.

    Blocks: call it in a thread, and read `tally` from any other. Raises SessionCorrupt, SessionTooLarge,
    OSError of the disk, and what `chunks` raises.
    """
    tally = tally or Tally(limits)
    unpacker = _Unpacker(TarReader(inflate(chunks, tally), tally), folders, tally)
    unpacker.run()
    return unpacker.inventory


class _Unpacker:
    def __init__(self, reader: TarReader, folders: Folders, tally: Tally) -> None:
        self.inventory = Inventory()
        self._reader = reader
        self._tally = tally
        self._tree, self._aside = os.fsencode(folders.tree), os.fsencode(folders.aside)
        self._umask = _umask_of(self._aside)
        self._made = {self._tree, self._aside}
        self._mtimes: dict[bytes, int] = {}
        self._links: dict[bytes, Member] = {}

    def run(self) -> None:
        write = {
            tar.FILE: self._file,
            tar.FOLDER: self._folder,
            tar.HARD_LINK: self._hard_link,
            tar.LINK: self._link,
        }
        for member in self._reader:
            if self._tally.files == 1:
                self.inventory.owner = member.owner
                self.inventory.prefix = b"./" if member.path.startswith(b"./") else b""
            member.path = self._checked(member.path)
            if not member.path and member.kind != tar.FOLDER:
                raise SessionCorrupt("The session's archive has a member without a name")
            try:
                self._forget(member.path)
                write.get(member.kind, self._special)(member)
            except OSError as error:
                raise _translated(error, member.path) from error
        self._finish()

    def _file(self, member: Member) -> None:
        disk_mode = member.mode & 0o777 | _least_mode(member.path)
        file = self._create(self._place(member.path, Kind.FILE), disk_mode)
        try:
            for piece in self._reader.content(member):
                _write(file, piece)
            os.utime(file, ns=(member.mtime, member.mtime))
        finally:
            os.close(file)
        self._keep(member, disk_mode)

    def _folder(self, member: Member) -> None:
        disk_mode = member.mode & 0o777 | 0o700
        if not member.path:
            return self._keep_root(member)
        path = self._place(member.path, Kind.FOLDER)
        self._make_folder(path, disk_mode)
        self._mtimes[path] = member.mtime
        return self._keep(member, disk_mode)

    def _keep_root(self, member: Member) -> None:
        """Note that the archive has a member `./`: the folder that stands for it keeps its own mode."""
        disk_mode = stat.S_IMODE(os.stat(self._tree).st_mode)
        self._mtimes[self._tree] = member.mtime
        self.inventory.kept[b""] = Kept(member.mode, disk_mode, member.owner, member.records)

    def _link(self, member: Member) -> None:
        if not 0 < len(member.link) < self._tally.limits.max_path or b"\0" in member.link:
            raise SessionCorrupt(f"The session's archive has a link to nowhere: {shown(member.path)}")
        self._place(member.path, Kind.LINK)
        self._links[member.path] = member
        self._tally.add_kept(_ENTRY + len(member.path) + len(member.link))
        self._keep(member, member.mode)

    def _hard_link(self, member: Member) -> None:
        """Link to, or across the two folders copy, what an earlier member made."""
        source = self._checked(member.link)
        if source == member.path:
            raise SessionCorrupt(f"The session's archive has a link to itself: {shown(source)}")
        if kept := self.inventory.kept.get(source):
            self.inventory.kept[member.path] = kept
            self._tally.add_kept(_ENTRY + len(member.path))
        if linked := self._links.get(source) or self.inventory.specials.get(source):
            linked = Member(**{field: getattr(linked, field) for field in linked.__struct_fields__})
            linked.path = member.path
            return self._link(linked) if linked.kind == tar.LINK else self._special(linked)
        return self._link_file(source, member.path)

    def _link_file(self, source: bytes, path: bytes) -> None:
        from_tree, to_tree = in_tree(source, Kind.FILE), in_tree(path, Kind.FILE)
        old, new = self._disk(source, from_tree), self._place(path, Kind.FILE)
        try:
            status = os.lstat(old)
        except OSError:
            status = None
        if status is None or not stat.S_ISREG(status.st_mode):
            raise SessionCorrupt(f"The session's archive has {shown(path)}, a link to no file before it")
        if from_tree != to_tree:
            return self._copy_file(old, new, status)
        try:
            os.link(old, new, follow_symlinks=False)
        except FileExistsError:
            os.unlink(new)
            os.link(old, new, follow_symlinks=False)
        return None

    def _copy_file(self, old: bytes, new: bytes, status: os.stat_result) -> None:
        self._tally.add_unpacked(status.st_size)
        source = os.open(old, _READ)
        try:
            file = self._create(new, stat.S_IMODE(status.st_mode))
            try:
                while os.sendfile(file, source, None, 2**20):
                    pass
                os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
            finally:
                os.close(file)
        finally:
            os.close(source)

    def _special(self, member: Member) -> None:
        if os.path.lexists(self._place(member.path, Kind.FILE)):
            raise SessionCorrupt(f"The session's archive has two kinds of {shown(member.path)}")
        self.inventory.specials[member.path] = member
        self._tally.add_kept(2 * _ENTRY + len(member.path))

    def _finish(self) -> None:
        for path, member in self._links.items():
            try:
                self._make_link(self._place(path, Kind.LINK), member)
            except OSError as error:
                raise _translated(error, path) from error
        for folder, mtime in self._mtimes.items():
            os.utime(folder, ns=(mtime, mtime))
        for folder in self.inventory.repositories_aside:
            if os.path.lexists(os.path.join(self._tree, folder, b".git")):
                raise SessionCorrupt(f"The session's archive has two kinds of {shown(folder)}/.git")

    def _make_link(self, path: bytes, member: Member) -> None:
        try:
            os.symlink(member.link, path)
        except FileExistsError:
            os.unlink(path)
            os.symlink(member.link, path)
        os.utime(path, ns=(member.mtime, member.mtime), follow_symlinks=False)

    def _create(self, path: bytes, mode: int) -> int:
        try:
            file = os.open(path, _CREATE, mode)
        except FileExistsError:
            os.unlink(path)
            file = os.open(path, _CREATE, mode)
        if mode & self._umask:
            os.fchmod(file, mode)
        return file

    def _place(self, path: bytes, kind: Kind) -> bytes:
        """Return where `path` lies on the disk, with its parents made."""
        if (folder := repository_aside(path, kind)) is not None:
            self._tally.add_kept(_ENTRY if folder not in self.inventory.repositories_aside else 0)
            self.inventory.repositories_aside.add(folder)
        disk = self._disk(path, in_tree(path, kind))
        parent = disk.rpartition(b"/")[0]
        if parent not in self._made:
            self._make_parents(parent)
        return disk

    def _disk(self, path: bytes, tree: bool) -> bytes:
        return (self._tree if tree else self._aside) + b"/" + path

    def _make_parents(self, folder: bytes) -> None:
        missing = []
        while folder not in self._made:
            missing.append(folder)
            folder = folder.rpartition(b"/")[0]
        for folder in reversed(missing):
            self._make_folder(folder, 0o755)

    def _make_folder(self, path: bytes, mode: int) -> None:
        if path not in self._made:
            os.mkdir(path, mode)
            self._made.add(path)
            self._tally.add_kept(_ENTRY + len(path))
            if not mode & self._umask:
                return
        os.chmod(path, mode)

    def _keep(self, member: Member, disk_mode: int) -> None:
        if member.mtime % 1_000_000_000:
            self.inventory.subsecond = True
        if member.mode == disk_mode and member.owner == self.inventory.owner and not member.records:
            return
        self.inventory.kept[member.path] = Kept(member.mode, disk_mode, member.owner, member.records)
        size = sum(len(key) + len(value) for key, value in member.records.items())
        self._tally.add_kept(2 * _ENTRY + len(member.path) + size)

    def _forget(self, path: bytes) -> None:
        """Let a later member of a name replace the earlier one."""
        self._links.pop(path, None)
        self.inventory.kept.pop(path, None)
        self.inventory.specials.pop(path, None)

    def _checked(self, name: bytes) -> bytes:
        """Return a member's name without `.` and empty segments; raise SessionCorrupt, SessionTooLarge."""
        segments = [segment for segment in name.split(b"/") if segment not in (b"", b".")]
        if name[:1] in (b"", b"/") or b".." in segments or b"\0" in name:
            raise SessionCorrupt(f"The session's archive has a member that lies outside of it: {shown(name)}")
        limits, path = self._tally.limits, b"/".join(segments)
        if len(segments) > limits.max_depth or len(path) > limits.max_path:
            raise SessionTooLarge(f"The session's archive has too deep a path: {shown(name)}")
        if max(map(len, segments), default=0) > limits.max_name:
            raise SessionTooLarge(f"The session's archive has too long a name: {shown(name)}")
        return path


def _umask_of(folder: bytes) -> int:
    """Learn the umask from a folder, since asking for it would change it for every thread."""
    probe = folder + b"/umask"
    os.mkdir(probe, 0o777)
    mode = stat.S_IMODE(os.stat(probe).st_mode)
    os.rmdir(probe)
    return 0o777 & ~mode


def _least_mode(path: bytes) -> int:
    # Git appends to its logs and rewrites its files, but objects and the worktree's files it replaces.
    return 0o600 if b"/.git/" in path and b"/.git/objects/" not in path else 0o400


def _write(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]


def _translated(error: OSError, path: bytes) -> Exception:
    if error.errno in _CONFLICTS:
        return SessionCorrupt(
            f"The session's archive has two kinds of {shown(path)}, or of a folder above it"
        )
    if error.errno == errno.ENAMETOOLONG:
        return SessionTooLarge(f"The session's archive has too long a name: {shown(path)}")
    return error
