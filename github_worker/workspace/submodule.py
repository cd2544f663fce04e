"""One submodule of a repository in a session: where it is, opened as any repository is, or put in its place.

Its repository is where git has it, in `.git/modules`, and so in the quarantine: libgit2 sees it while it is
lent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from msgspec.structs import replace

from github_worker.archive.adoption import is_plain
from github_worker.archive.loan import lend, put_new
from github_worker.contract import RepositoryUrl
from github_worker.git.config import config_of_clone
from github_worker.git.repository import Repository
from github_worker.git.submodules import Submodule, Unusable, damage_explained, parse_gitdir
from github_worker.redaction import Secret, hide
from github_worker.services import Services
from github_worker.sessions.transaction import WORKSPACE, RepositoryFolders, Session
from github_worker.workspace.clone import require_empty
from github_worker.workspace.repository import SessionRepository, Workspace, open_workspace, read_plain

_LONGEST = 4096  # bytes of a `.git` that is a file
_MODULES = "modules"


def find_submodule(parent: SessionRepository, path: str, url: RepositoryUrl) -> SessionRepository | None:
    """Find the repository of the submodule at `path`, None where there is none; raise Unusable."""
    session, cloned_path = parent.session, f"{parent.cloned_path}/{path}"
    folders = session.repository_folders(cloned_path)
    git = folders.quarantine
    if not git.is_dir() or git.is_symlink():
        content = read_plain(session, git, _LONGEST)
        if content is None and not os.path.lexists(git):
            return None
        git = _follow(session, cloned_path, parse_gitdir(content or b""))
    return _locate(session, cloned_path, url, replace(folders, quarantine=git))


def place_submodule(parent: SessionRepository, submodule: Submodule) -> SessionRepository:
    """Return where a submodule belongs of which the session has nothing; raise Unusable, OtherRepository."""
    session, cloned_path = parent.session, f"{parent.cloned_path}/{submodule.path}"
    git = parent.folders.quarantine / _MODULES / submodule.name
    folders = replace(session.repository_folders(cloned_path), quarantine=git)
    location = _locate(session, cloned_path, submodule.url, folders)
    modules = parent.folders.quarantine / _MODULES
    between = [folder for folder in git.parents if folder.is_relative_to(modules)]
    if os.path.lexists(git) or any(os.path.lexists(folder / "HEAD") for folder in between):
        raise Unusable("the session has a repository of its name in .git/modules")
    require_empty(location)
    return location


def _locate(
    session: Session, cloned_path: str, url: RepositoryUrl, folders: RepositoryFolders
) -> SessionRepository:
    """Return a submodule's place; raise Unusable where links lead to it."""
    tree, quarantine = os.fsencode(session.folders.tree), os.fsencode(session.folders.quarantine)
    worktree = os.fsencode(WORKSPACE / cloned_path)
    git = os.fsencode(folders.quarantine.relative_to(session.folders.quarantine))
    if not (is_plain(tree, worktree) and is_plain(quarantine, worktree) and is_plain(quarantine, git)):
        raise Unusable("a link or a file is on the way to it")
    hide(folders.worktree)
    return SessionRepository(session, cloned_path, url, folders)


def _follow(session: Session, cloned_path: str, to: str | None) -> Path:
    """Return the folder in the quarantine that a submodule's `.git` leads to; raise Unusable."""
    root = session.folders.quarantine
    target = Path(os.path.normpath(root / WORKSPACE / cloned_path / to)) if to else root
    inside = target.relative_to(root / WORKSPACE).parts if target.is_relative_to(root / WORKSPACE) else ()
    if not (to and not os.path.isabs(to) and (".git", _MODULES) in pairwise(inside)):
        raise Unusable("its .git leads to no repository of the session")
    if not target.is_dir():
        raise Unusable("the repository that its .git leads to is not there")
    return target


@contextmanager
def open_submodule(
    location: SessionRepository, services: Services, token: Secret | None
) -> Iterator[Workspace]:
    """Open a submodule for the block; raise Unusable or a JobError."""
    session = location.session
    git = os.fsencode(location.folders.quarantine.relative_to(session.folders.quarantine))
    worktree = os.fsencode(WORKSPACE / location.cloned_path)
    with damage_explained(), lend(session.folders, git, worktree, session.limits):
        yield open_workspace(location, services, token)


@contextmanager
def create_submodule(
    location: SessionRepository, services: Services, token: Secret | None
) -> Iterator[Repository]:
    """Make a submodule's repository for the block, which fills it; nothing stays of one that fails."""
    folder, url = location.folders.worktree, location.url
    username = services.settings.username_for(url.origin)
    try:
        with damage_explained():
            yield Repository.create(folder, url, token, services.committer, username)
    except BaseException:
        shutil.rmtree(folder)
        folder.mkdir()
        raise


def put_in_place(location: SessionRepository, url: str, branch: str, *, single: bool) -> None:
    """Bring the repository that was made in a submodule's worktree to where git has it, with its config."""
    session, path = location.session, WORKSPACE / location.cloned_path
    git, folder = location.folders.quarantine, session.folders.quarantine / path
    put_new(session.folders, os.fsencode(git.relative_to(session.folders.quarantine)), os.fsencode(path))
    location.write_config(config_of_clone(url, branch, single=single, worktree=os.path.relpath(folder, git)))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".git").write_text(f"gitdir: {os.path.relpath(git, folder)}\n")
    session.inventory.quarantined_repositories.add(os.fsencode(path))
