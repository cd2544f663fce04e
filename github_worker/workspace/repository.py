"""The repository in a session: find it, read and write its own config, open it."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from github_worker.archive.contents import FolderFiles, Trust
from github_worker.contract import RepositoryUrl
from github_worker.errors import HostNotAllowed, NoRepository, OtherRepository, UnsupportedRepository
from github_worker.git.config import RepositoryConfig, strip_user_info
from github_worker.git.repository import Person, Repository
from github_worker.progress import Report
from github_worker.redaction import Secret, hide
from github_worker.services import Services
from github_worker.sessions.transaction import WORKSPACE, RepositoryFolders, Session, SessionRequest

_MAX_CONFIG_BYTES = 1024 * 1024
_MAX_RULES_BYTES = 100 * 1024 * 1024  # as git has it, for a file of patterns
# Attributes by which git may make another blob of a file than its bytes, whatever they are.
_CONVERTING = re.compile(rb"ident|working-tree-encoding|filter")


class SessionRepository(Struct, frozen=True):
    """The repository that a session holds: where it is, whose it is, and what its own config says."""

    session: Session
    cloned_path: str
    url: RepositoryUrl
    folders: RepositoryFolders

    def config(self) -> RepositoryConfig:
        """Read the repository's own config, every byte of it coming back with `write_config`."""
        return _read_config(self.session, self.folders)

    def effective_config(self) -> RepositoryConfig:
        """Return what git would go by: the config, and that of the worktree if the repository has such."""
        config = self.config()
        if not config.is_true("extensions.worktreeconfig"):
            return config
        return _read_config(self.session, self.folders, "config", "config.worktree")

    def write_config(self, config: RepositoryConfig) -> None:
        """Write the repository's own config; raise OtherRepository where a link is in its place."""
        file = self.folders.quarantine / "config"
        if _is_beyond_link(self.session, file):
            raise OtherRepository(f"The session has a link in the place of {self.cloned_path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(config.text.encode(errors="surrogateescape"))

    def track(self, branch: str) -> None:
        """Let the config say that `branch` follows its namesake on origin, unless a link is in its place."""
        if not _is_beyond_link(self.session, self.folders.quarantine / "config"):
            self.write_config(self.config().tracking(branch))

    def set_upstream(self, branch: str) -> None:
        """Let a branch that was pushed and follows none follow its namesake, as `git push -u` does."""
        config = self.config()
        if _is_of(config, self.url) and not config.has_upstream(branch):
            self.track(branch)

    def remove_credentials(self) -> bool:
        """Remove users and passwords from the remotes' URLs in the config; tell whether there were any."""
        config = self.config()
        cleaned = config.without_credentials()
        if cleaned.text == config.text:
            return False
        self.write_config(cleaned)
        return True

    def read_quarantined(self, name: str, largest: int) -> bytes | None:
        """Read a file of the `.git` that libgit2 does not see, None where there is none.

        Raises UnsupportedRepository if it has more than `largest` bytes.
        """
        return read_plain(self.session, self.folders.quarantine / name, largest)

    def files(self, config: RepositoryConfig) -> FolderFiles:
        """Return the worktree's files as unpacked, trusted as far as git makes no other blob of them."""
        files = [*self.folders.attribute_files, self.folders.worktree / ".git" / "info" / "attributes"]
        rules = b"".join(file.read_bytes() for file in files if file.is_file() and not file.is_symlink())
        if _CONVERTING.search(rules):
            return self.folders.files(Trust.NONE)
        is_converting = bool(rules) or config.get("core.autocrlf") is not None
        return self.folders.files(Trust.PLAIN if is_converting else Trust.ALL)


class Workspace(Struct, frozen=True):
    """A session's repository, opened; `start` is the commit that it was at then."""

    location: SessionRepository
    repository: Repository
    start: str | None = None

    @property
    def session(self) -> Session:
        """The session that it is in."""
        return self.location.session


def find_repository(session: Session) -> SessionRepository | None:
    """Find the repository that a session holds, by its metadata or else by its one folder with a `.git`."""
    if github := session.metadata.github:
        return locate(session, github.cloned_path, _parse(github.repo_url))
    found = list(session.folders.tree.glob(f"{WORKSPACE}/*/.git/HEAD"))
    if len(found) != 1:
        return None
    cloned_path = found[0].parent.parent.name
    origin = _read_config(session, session.repository_folders(cloned_path)).get("remote.origin.url")
    return locate(session, cloned_path, _parse(strip_user_info(origin))) if origin else None


def locate(session: Session, cloned_path: str, url: RepositoryUrl) -> SessionRepository:
    """Return the repository at `cloned_path`, which may be still to be made; raise OtherRepository."""
    if not session.adopt(cloned_path):
        raise OtherRepository(f"The session has a link or a file on the way to {cloned_path}")
    folders = session.repository_folders(cloned_path)
    hide(folders.worktree)
    return SessionRepository(session, cloned_path, url, folders)


def require_repository(session: Session, repo_url: str | None = None) -> SessionRepository:
    """Return the repository that a session holds; raise NoRepository, or OtherRepository than `repo_url`."""
    repository = find_repository(session)
    if repository is None:
        raise NoRepository()
    if repo_url is not None and not repository.url.same_repository(RepositoryUrl.parse(repo_url)):
        raise OtherRepository(f"The session holds {repository.url}, not {RepositoryUrl.parse(repo_url)}")
    return repository


def open_workspace(
    location: SessionRepository, services: Services, token: Secret | None, committer: Person | None = None
) -> Workspace:
    """Open the session's repository to work with `token`; raise HostNotAllowed, NoRepository, ….

    `committer` makes the commits, the worker itself unless given.
    """
    if not services.settings.allows(location.url.origin):
        raise HostNotAllowed(f"The session's repository is on {location.url.origin}, which is not allowed")
    config = location.effective_config()
    repository = Repository.open(
        location.folders.worktree,
        config,
        location.url,
        token,
        committer or services.committer,
        files=location.files(config),
        username=services.settings.username_for(location.url.origin),
        sparse_checkout=location.read_quarantined("info/sparse-checkout", _MAX_RULES_BYTES),
    )
    return Workspace(location, repository, repository.head)


def choose_lfs(workspace: Workspace, request: SessionRequest, services: Services, report: Report) -> None:
    """Let the repository do what git-lfs does, where the request or the settings ask for it."""
    if services.uses_lfs(request):
        from github_worker.workspace.lfs import use_lfs  # noqa: PLC0415 (few jobs are about large files)

        use_lfs(workspace, workspace.repository.remote.token, services, report)


def forget_credentials(location: SessionRepository, report: Report) -> None:
    """Remove the credentials that another writer left in the remotes' URLs, as what is saved may be read."""
    if location.remove_credentials():
        report.warning(
            "credentials_removed",
            "The session's .git/config had credentials in a remote's URL: they were removed",
        )


def _read_config(session: Session, folders: RepositoryFolders, *names: str) -> RepositoryConfig:
    """Read the config of a repository, or the `names` of its files one after the other."""
    files = [folders.quarantine / name for name in names or ("config",)]
    texts = [read_plain(session, file, _MAX_CONFIG_BYTES) or b"" for file in files]
    return RepositoryConfig(b"\n".join(texts).decode(errors="surrogateescape"))


def read_plain(session: Session, file: Path, largest: int) -> bytes | None:
    """Read a file of the quarantine, None if there is none; raise UnsupportedRepository for a larger one."""
    if _is_beyond_link(session, file) or not file.is_file():
        return None
    if file.stat().st_size > largest:
        raise UnsupportedRepository(f"The repository's {file.name} is over {largest:,} bytes")
    return file.read_bytes()


def _is_beyond_link(session: Session, file: Path) -> bool:
    """Tell whether the path of a quarantined file leads through a link, as the archive's links may."""
    root = session.folders.quarantine
    return file.resolve() != root.resolve() / file.relative_to(root)


def _is_of(config: RepositoryConfig, url: RepositoryUrl) -> bool:
    """Tell whether a config's origin is the repository at `url`."""
    try:
        origin = strip_user_info(config.get("remote.origin.url") or "")
        return RepositoryUrl.parse(origin).same_repository(url)
    except ValueError:
        return False


def _parse(url: str) -> RepositoryUrl:
    try:
        return RepositoryUrl.parse(url)
    except ValueError as error:
        raise HostNotAllowed(f"The session's repository URL {error}") from None
