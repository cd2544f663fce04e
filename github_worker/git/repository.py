"""The session's repository: its branches and commits, and the refs that a job moves."""

from __future__ import annotations

import os
import shutil
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pygit2
from msgspec import Struct
from pygit2.enums import ObjectType, RepositoryOpenFlag, RepositoryState, SortMode

from github_worker.archive.contents import FolderFiles
from github_worker.contract import RepositoryUrl
from github_worker.errors import (
    NoRepository,
    SessionConflict,
    SessionCorrupt,
    UnsupportedRepository,
)
from github_worker.git import index_file
from github_worker.git.config import RepositoryConfig, Rules, read_rules
from github_worker.git.native import read_file
from github_worker.git.remote import Remote
from github_worker.redaction import USERNAME, Secret, scrub
from github_worker.signing import Signer

if TYPE_CHECKING:
    from github_worker.lfs.files import LargeFiles

_LONGEST_MESSAGE = 100_000  # bytes of a prepared one
_UNFINISHED = {
    RepositoryState.NONE,
    RepositoryState.MERGE,
    RepositoryState.CHERRYPICK,
    RepositoryState.REVERT,
}
_ID_LENGTH = 40


class Person(Struct, frozen=True):
    """The name and address that a commit is by; `offset` is minutes east of UTC.

    A committer that has a `signer` signs all commits and annotated tags that are made.
    """

    name: str
    email: str
    offset: int = 0
    signer: Signer | None = None

    def signature(self) -> pygit2.Signature:
        """Sign now."""
        return pygit2.Signature(self.name, self.email, int(time.time()), self.offset)

    def stamp(self) -> bytes:
        """Return what a commit's or a tag's header says of who made it, now."""
        who = self.signature()
        sign, (hours, minutes) = "-" if self.offset < 0 else "+", divmod(abs(self.offset), 60)
        zone = f"{sign}{hours:02}{minutes:02}".encode()
        return b"%s <%s> %d %s" % (who.raw_name, who.raw_email, who.time, zone)


class Repository:
    """A repository in a folder, worked by a config of ours; its methods block."""

    def __init__(
        self,
        folder: Path,
        url: RepositoryUrl,
        token: Secret | None,
        committer: Person,
        rules: Rules | None = None,
        *,
        username: str = USERNAME,
        files: FolderFiles | None = None,
    ) -> None:
        self.folder = folder
        self.files = files or FolderFiles.none()
        self._is_renewed = files is None
        self.committer = committer
        self.rules = rules or Rules()
        self.libgit2 = pygit2.Repository(str(folder), RepositoryOpenFlag.NO_SEARCH)
        self.libgit2.set_ident(committer.name, committer.email)
        self.remote = Remote(self.libgit2, url, token, username)
        self.lfs: LargeFiles | None = None  # where the job is to do what git-lfs does

    @classmethod
    def open(
        cls,
        folder: Path,
        config: RepositoryConfig,
        url: RepositoryUrl,
        token: Secret | None,
        committer: Person,
        *,
        files: FolderFiles,
        sparse_checkout: bytes | None = None,
        username: str = USERNAME,
    ) -> Repository:
        """Open the repository in `folder`; raise NoRepository or UnsupportedRepository.

        `files` are the worktree's as they were unpacked, `sparse_checkout` is the content of the repository's
        own `info/sparse-checkout`, `username` what the git server takes the token with.
        """
        config.check_supported()
        git = folder / ".git"
        if git.is_symlink() or not (git / "HEAD").is_file():
            raise NoRepository(f"The session holds no repository in {folder.name}")
        for needed in ("objects", "refs"):  # an archive may leave empty folders out
            (git / needed).mkdir(exist_ok=True)
        (git / "config").write_text(config.working(url))
        rules = read_rules(git, config, sparse_checkout)
        try:
            repository = cls(folder, url, token, committer, rules, username=username, files=files)
        except pygit2.GitError as error:
            raise UnsupportedRepository(f"The repository cannot be opened: {error}") from error
        if repository.libgit2.state() not in _UNFINISHED:
            raise UnsupportedRepository("A rebase or bisect is in progress: finish it in the session first")
        return repository

    @classmethod
    def create(
        cls,
        folder: Path,
        url: RepositoryUrl,
        token: Secret | None,
        committer: Person,
        username: str = USERNAME,
    ) -> Repository:
        """Make an empty repository in `folder`, which need not exist."""
        pygit2.init_repository(str(folder), initial_head="main")
        shutil.rmtree(folder / ".git" / "hooks", ignore_errors=True)
        (folder / ".git" / "config").write_text(RepositoryConfig("").working(url))
        return cls(folder, url, token, committer, username=username)

    # Where it stands

    @property
    def branch(self) -> str:
        """The branch that HEAD names, born or not; raises UnsupportedRepository when it names none."""
        target = self.libgit2.lookup_reference("HEAD").target
        if not isinstance(target, str) or not target.startswith("refs/heads/"):
            raise UnsupportedRepository("HEAD is detached: switch to a branch in the session first")
        if not target.isprintable():  # nor is a byte that is not UTF-8, which no event could say
            raise UnsupportedRepository(f"The branch's name cannot be shown: {target!a}")
        branch = target.removeprefix("refs/heads/")
        if branch == "HEAD" or branch.startswith("-"):  # as git has it; libgit2 forbids neither
            raise UnsupportedRepository(
                f"{branch} cannot be a branch's name: switch to another in the session"
            )
        return branch

    @property
    def head(self) -> str | None:
        """The commit that HEAD is at, or None before the first one."""
        return None if self.libgit2.head_is_unborn else str(self.libgit2.head.target)

    @property
    def is_merging(self) -> bool:
        """Whether a merge was begun, which the next commit concludes."""
        return bool(self.libgit2.listall_mergeheads())

    @property
    def merge_message(self) -> str:
        """The message that git has prepared for the commit that concludes a merge, its comments left out."""
        file = self.folder / ".git" / "MERGE_MSG"
        if not self.is_merging or not file.is_file():
            return ""
        lines = read_file(file)[:_LONGEST_MESSAGE].decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith("#")).strip()

    @property
    def is_unfinished(self) -> bool:
        """Whether a merge or the like was begun and not concluded, or a conflict is left in the index."""
        return self.libgit2.state() != RepositoryState.NONE or bool(self.libgit2.index.conflicts)

    def require_finished(self) -> None:
        """Raise UnsupportedRepository where git would not leave the branch: something is unfinished on it."""
        if self.is_unfinished:
            raise UnsupportedRepository(
                "A merge is in progress: commit-and-push concludes it, once its conflicts are resolved"
            )

    @property
    def branches(self) -> set[str]:
        """The local branches."""
        return set(self.libgit2.branches.local)

    def tip(self, branch: str) -> str | None:
        """Return the commit that a local branch is at."""
        return self._target(f"refs/heads/{branch}")

    def remote_tip(self, branch: str) -> str | None:
        """Return the commit that the remote's branch was at when last seen."""
        return self._target(f"refs/remotes/origin/{branch}")

    def _target(self, name: str) -> str | None:
        reference = self.libgit2.references.get(name)
        return str(reference.resolve().target) if reference else None

    def has(self, oid: str) -> bool:
        """Tell whether an object is here."""
        return pygit2.Oid(hex=oid) in self.libgit2

    def commit(self, oid: str) -> pygit2.Commit:
        """Return a commit; raise SessionCorrupt when it is not there."""
        try:
            return self.libgit2[oid].peel(pygit2.Commit)
        except KeyError:
            raise SessionCorrupt(f"The session's repository lacks the commit {oid}") from None

    def tree(self, oid: str | None) -> pygit2.Tree:
        """Return a commit's tree, an empty one for None; raise SessionCorrupt when it is not there."""
        if oid is not None:
            return self.commit(oid).tree
        return self.libgit2[self.libgit2.TreeBuilder().write()].peel(pygit2.Tree)

    def has_commit(self, oid: str) -> bool:
        """Tell whether there is such a commit, whatever leads to it."""
        return len(oid) == _ID_LENGTH and isinstance(self.libgit2.get(oid), pygit2.Commit)

    def message(self, oid: str) -> str:
        """Return a commit's message, for people."""
        return scrub(text_of(self.commit(oid)))

    def recent_subjects(self, count: int) -> tuple[str, ...]:
        """Return the subjects of the last commits on HEAD, newest first."""
        if self.head is None:
            return ()
        walker = self.libgit2.walk(self.libgit2.head.target, SortMode.TOPOLOGICAL)
        return tuple(text_of(commit).partition("\n")[0] for commit in islice(walker, count))

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Tell whether `descendant` holds all of `ancestor`'s history."""
        return ancestor == descendant or self.libgit2.descendant_of(descendant, ancestor)

    def share_history(self, one: str, other: str) -> bool:
        """Tell whether two commits have history in common, as far as it is here."""
        return self.libgit2.merge_base(one, other) is not None

    def count_new(self, tip: str, known: str | None) -> int:
        """Count the commits that `tip` has and `known` has not."""
        walker = self.libgit2.walk(tip)
        if known is not None:
            walker.hide(known)
        return sum(1 for _ in walker)

    @property
    def is_detached(self) -> bool:
        """Whether HEAD is at a commit and on no branch."""
        return self.libgit2.head_is_detached

    def compare(self, upstream: str | None) -> tuple[int | None, int | None]:
        """Count the commits that HEAD has before the remote's branch, and those that it has not."""
        tip = upstream and self.remote_tip(upstream)
        if self.head is None or not tip:
            return None, None
        return self.libgit2.ahead_behind(self.head, tip)

    # What moves it

    def write_commit(self, content: str) -> str:
        """Write a commit, with the committer's signature if there is one, and return its id."""
        signer = self.committer.signer
        if signer is None:
            return str(self.libgit2.write(ObjectType.COMMIT, content.encode()))
        signature = signer.sign(content.encode())
        return str(self.libgit2.create_commit_with_signature(content, signature))

    def renew_index(self) -> None:
        """Let the index know the files as they were unpacked; whoever compares the two calls it first."""
        if not self._is_renewed:
            index_file.renew(self.folder, self.files.has)
            self.libgit2.index.read(force=False)  # which may have been read before
            self._is_renewed = True

    def write_files(self) -> None:
        """Write the files that are not on the disk yet, for libgit2 to look at."""
        if self.files.fetch_all():
            self._is_renewed = False
        self.renew_index()

    def start(self, branch: str, at: str | None) -> None:
        """Put HEAD on a new branch at a commit, leaving index and files as they are."""
        if at is not None:
            self.set_branch(branch, at, "branch: Created")
        self.libgit2.set_head(f"refs/heads/{branch}")

    def detach(self, at: str) -> None:
        """Put HEAD on a commit and on no branch, leaving index and files as they are."""
        self.libgit2.set_head(pygit2.Oid(hex=at))

    def set_branch(self, branch: str, to: str, why: str) -> None:
        """Set a local branch to a commit, leaving index and files as they are; `why` goes to the reflog."""
        self._set(f"refs/heads/{branch}", to, why)

    def set_tracking(self, branch: str, at: str) -> None:
        """Remember what the remote's branch is at."""
        self._set(f"refs/remotes/origin/{branch}", at, "update by push")

    def default_to(self, branch: str, why: str) -> None:
        """Remember which branch is the remote's default; `why` goes to the reflog."""
        self._set("refs/remotes/origin/HEAD", f"refs/remotes/origin/{branch}", why)

    def _set(self, name: str, to: str, why: str) -> None:
        self.libgit2.create_reference(name, to, force=True, message=why)

    def import_objects(self, other: Repository) -> None:
        """Have every object that another repository has."""
        _link_missing(other.folder / ".git/objects", self.folder / ".git/objects")

    def import_branch(self, other: Repository, branch: str, tip: str) -> bool:
        """Move a branch to a commit of another repository, and tell whether it was not there yet.

        Raises SessionConflict if the branch has commits of its own.
        """
        self.import_objects(other)
        ours = self.tip(branch)
        if ours is not None and self.is_ancestor(tip, ours):
            return False
        if ours is not None and not self.is_ancestor(ours, tip):
            raise SessionConflict(f"Another writer committed to {branch} meanwhile")
        self.set_branch(branch, tip, "commit: carried over")
        return True


def text_of(commit: pygit2.Commit) -> str:
    """Return a commit's message, whatever encoding it claims to have."""
    try:
        return commit.message.strip()
    except (LookupError, UnicodeDecodeError):
        return commit.raw_message.decode(errors="replace").strip()


def _link_missing(source: Path, target: Path) -> None:
    """Give a repository the objects of another one, shallow or not; they never change once written."""

    def link(from_: str, to: str) -> None:
        if not os.path.lexists(to):
            os.link(from_, to)

    shutil.copytree(source, target, copy_function=link, dirs_exist_ok=True)
