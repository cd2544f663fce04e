"""The repository in a session: where it is, whose it is, how it is opened."""

from __future__ import annotations

from msgspec import Struct

from github_worker.contract import RepositoryUrl
from github_worker.errors import HostNotAllowed, NoRepository, OtherRepository, UnsupportedRepository
from github_worker.git.config import RepositoryConfig
from github_worker.git.repository import Repository
from github_worker.redaction import Secret
from github_worker.services import Services
from github_worker.sessions.sessions import WORKSPACE, Session

_MAX_CONFIG_BYTES = 1024 * 1024


class Held(Struct, frozen=True):
    """A repository that a session holds."""

    cloned_path: str
    url: RepositoryUrl


class Workspace(Struct, frozen=True):
    """A session and the repository in it, opened."""

    session: Session
    place: Held
    repository: Repository

    @property
    def nested(self) -> list[str]:
        """The folders in the worktree that are repositories of their own."""
        return self.session.repositories_aside(self.place.cloned_path)

    def track(self, branch: str) -> None:
        """Let the repository's own config say that `branch` follows its namesake on origin, if it has one."""
        if not _is_beyond_link(self.session, self.place.cloned_path):
            config = config_of(self.session, self.place.cloned_path)
            write_config(self.session, self.place.cloned_path, config.tracking(branch))


def held(session: Session) -> Held | None:
    """Tell which repository the session holds, by its metadata or else by its one folder with a `.git`."""
    if github := session.metadata.github:
        return Held(github.cloned_path, _parse(github.repo_url))
    found = list(session.folders.tree.glob(f"{WORKSPACE}/*/.git/HEAD"))
    if len(found) != 1:
        return None
    cloned_path = found[0].parent.parent.name
    origin = config_of(session, cloned_path).get("remote.origin.url")
    return Held(cloned_path, _parse(origin)) if origin else None


def require(session: Session, asked: str | None = None) -> Held:
    """Return the repository that the session holds; raise NoRepository, or OtherRepository than `asked`."""
    repository = held(session)
    if repository is None:
        raise NoRepository()
    if asked is not None and not repository.url.same_repository(RepositoryUrl.parse(asked)):
        raise OtherRepository(f"The session holds {repository.url}, not {RepositoryUrl.parse(asked)}")
    return repository


def config_of(session: Session, cloned_path: str) -> RepositoryConfig:
    """Read the repository's own config, every byte of it coming back with `write_config`."""
    file = session.config_file(cloned_path)
    if _is_beyond_link(session, cloned_path) or not file.is_file():
        return RepositoryConfig("")
    if file.stat().st_size > _MAX_CONFIG_BYTES:
        raise UnsupportedRepository(f"The repository's config is over {_MAX_CONFIG_BYTES:,} bytes")
    return RepositoryConfig(file.read_bytes().decode(errors="surrogateescape"))


def write_config(session: Session, cloned_path: str, config: RepositoryConfig) -> None:
    """Write the repository's own config; raise OtherRepository where the session has a link in its place."""
    file = session.config_file(cloned_path)
    if _is_beyond_link(session, cloned_path):
        raise OtherRepository(f"The session has a link in the place of {cloned_path}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(config.text.encode(errors="surrogateescape"))


def _is_beyond_link(session: Session, cloned_path: str) -> bool:
    """Tell whether the config's path leads through a link: those of the archive are kept beside it."""
    aside = session.folders.aside
    file = session.config_file(cloned_path)
    return file.resolve() != aside.resolve() / file.relative_to(aside)


def open_workspace(session: Session, place: Held, services: Services, token: Secret | None) -> Workspace:
    """Open the session's repository to work with `token`; raise HostNotAllowed, NoRepository, …."""
    if not services.settings.allows(place.url.origin):
        raise HostNotAllowed(f"The session's repository is on {place.url.origin}, which is not allowed")
    repository = Repository.open(
        session.worktree(place.cloned_path),
        config_of(session, place.cloned_path),
        place.url,
        token,
        services.committer,
    )
    repository.rule_links = session.rule_links(place.cloned_path)
    return Workspace(session, place, repository)


def _parse(url: str) -> RepositoryUrl:
    try:
        return RepositoryUrl.parse(url)
    except ValueError as error:
        raise HostNotAllowed(f"The session's repository URL {error}") from None
