"""The repository in a session: where it is, whose it is, how it is opened."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from github_worker.archive.contents import FolderContents
from github_worker.contract import RepositoryUrl
from github_worker.errors import HostNotAllowed, NoRepository, OtherRepository, UnsupportedRepository
from github_worker.git.config import RepositoryConfig
from github_worker.git.repository import Repository
from github_worker.redaction import Secret, hide
from github_worker.services import Services
from github_worker.sessions.session import WORKSPACE, Session

_MAX_CONFIG_BYTES = 1024 * 1024
_MAX_RULES_BYTES = 100 * 1024 * 1024  # as git has it, for a file of patterns
# Attributes by which git may make another blob of a file than its bytes, whatever they are.
_CONVERTING = re.compile(rb"ident|working-tree-encoding|filter")


class SessionRepository(Struct, frozen=True):
    """A repository that a session holds."""

    cloned_path: str
    url: RepositoryUrl


class Workspace(Struct, frozen=True):
    """A session and the repository in it, opened."""

    session: Session
    location: SessionRepository
    repository: Repository

    @property
    def nested(self) -> list[str]:
        """The folders in the worktree that are repositories of their own."""
        return self.session.quarantined_repositories(self.location.cloned_path)

    @property
    def misnamed(self) -> list[str]:
        """The paths in the worktree whose names git never takes, and which libgit2 is kept from."""
        return self.session.misnamed(self.location.cloned_path)

    def track(self, branch: str) -> None:
        """Let the repository's own config say that `branch` follows its namesake on origin, if it has one."""
        if not _is_beyond_link(self.session, self.session.kept_file(self.location.cloned_path, "config")):
            config = config_of(self.session, self.location.cloned_path)
            write_config(self.session, self.location.cloned_path, config.tracking(branch))

    def set_upstream(self, branch: str) -> None:
        """Let a branch that was pushed and follows none follow its namesake, as `git push -u` does."""
        config = config_of(self.session, self.location.cloned_path)
        if _is_of(config, self.location.url) and not config.has_upstream(branch):
            self.track(branch)


def _is_of(config: RepositoryConfig, url: RepositoryUrl) -> bool:
    """Tell whether a config's origin is the repository at `url`."""
    try:
        return RepositoryUrl.parse(config.get("remote.origin.url") or "").same_repository(url)
    except ValueError:
        return False


def find_repository(session: Session) -> SessionRepository | None:
    """Tell which repository the session holds, by its metadata or else by its one folder with a `.git`."""
    if github := session.metadata.github:
        return SessionRepository(github.cloned_path, _parse(github.repo_url))
    found = list(session.folders.tree.glob(f"{WORKSPACE}/*/.git/HEAD"))
    if len(found) != 1:
        return None
    cloned_path = found[0].parent.parent.name
    origin = config_of(session, cloned_path).get("remote.origin.url")
    return SessionRepository(cloned_path, _parse(origin)) if origin else None


def require(session: Session, asked: str | None = None) -> SessionRepository:
    """Return the repository that the session holds; raise NoRepository, or OtherRepository than `asked`."""
    repository = find_repository(session)
    if repository is None:
        raise NoRepository()
    if asked is not None and not repository.url.same_repository(RepositoryUrl.parse(asked)):
        raise OtherRepository(f"The session holds {repository.url}, not {RepositoryUrl.parse(asked)}")
    return repository


def config_of(session: Session, cloned_path: str) -> RepositoryConfig:
    """Read the repository's own config, every byte of it coming back with `write_config`."""
    text = _kept_text(session, cloned_path, "config", _MAX_CONFIG_BYTES) or b""
    return RepositoryConfig(text.decode(errors="surrogateescape"))


def _effective_config(session: Session, cloned_path: str) -> RepositoryConfig:
    """Return what git would go by: the config, and that of the worktree if the repository has such."""
    config = config_of(session, cloned_path)
    if not config.is_true("extensions.worktreeconfig"):
        return config
    request_secrets = _kept_text(session, cloned_path, "config.worktree", _MAX_CONFIG_BYTES) or b""
    return RepositoryConfig(f"{config.text}\n{request_secrets.decode(errors='surrogateescape')}")


def _kept_text(session: Session, cloned_path: str, name: str, largest: int) -> bytes | None:
    """Read a file of the repository's `.git` that libgit2 does not see; None where there is none."""
    file = session.kept_file(cloned_path, name)
    if _is_beyond_link(session, file) or not file.is_file():
        return None
    if file.stat().st_size > largest:
        raise UnsupportedRepository(f"The repository's {name} is over {largest:,} bytes")
    return file.read_bytes()


def write_config(session: Session, cloned_path: str, config: RepositoryConfig) -> None:
    """Write the repository's own config; raise OtherRepository where the session has a link in its place."""
    file = session.kept_file(cloned_path, "config")
    if _is_beyond_link(session, file):
        raise OtherRepository(f"The session has a link in the place of {cloned_path}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(config.text.encode(errors="surrogateescape"))


def _is_beyond_link(session: Session, file: Path) -> bool:
    """Tell whether the path of a kept file leads through a link: those of the archive are kept beside it."""
    quarantine = session.folders.quarantine
    return file.resolve() != quarantine.resolve() / file.relative_to(quarantine)


def open_workspace(
    session: Session, location: SessionRepository, services: Services, token: Secret | None
) -> Workspace:
    """Open the session's repository to work with `token`; raise HostNotAllowed, NoRepository, …."""
    if not services.settings.allows(location.url.origin):
        raise HostNotAllowed(f"The session's repository is on {location.url.origin}, which is not allowed")
    folder = session.worktree(location.cloned_path)
    hide(folder)
    config = _effective_config(session, location.cloned_path)
    repository = Repository.open(
        folder,
        config,
        location.url,
        token,
        services.committer,
        is_unchanged=_contents(session, location.cloned_path, config).has,
        sparse_checkout=_kept_text(session, location.cloned_path, "info/sparse-checkout", _MAX_RULES_BYTES),
    )
    return Workspace(session, location, repository)


def _contents(session: Session, cloned_path: str, config: RepositoryConfig) -> FolderContents:
    """Return which files are known to have which content, as far as git makes no other blob of it."""
    git = session.worktree(cloned_path) / ".git"
    files = [*session.attribute_files(cloned_path), git / "info" / "attributes"]
    rules = b"".join(file.read_bytes() for file in files if file.is_file() and not file.is_symlink())
    if _CONVERTING.search(rules):
        return FolderContents.unknown()
    converting = bool(rules) or config.get("core.autocrlf") is not None
    return session.contents(cloned_path, converting=converting)


def _parse(url: str) -> RepositoryUrl:
    try:
        return RepositoryUrl.parse(url)
    except ValueError as error:
        raise HostNotAllowed(f"The session's repository URL {error}") from None
