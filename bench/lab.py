"""Where it is measured: repositories, servers, sessions, and how both sides do one job."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import repositories, stand_ins
from bench.measure import Usage, run
from bench.repositories import Shape
from bench.service import Process
from bench.stand_ins import OWNER, TOKEN
from tests.support.repositories import GIT_ENV, git

CHANGED = 20  # files of the session that commit-and-push finds changed
_SCALE = 5  # of --quick
_SOURCE_BYTES = 64 * 1024


class Lab:
    """Repositories on a git server, sessions in a storage, and a folder to work in."""

    def __init__(self, folder: Path, cache: Path, *, repeat: int, quick: bool, given: Path | None) -> None:
        self.folder = folder
        self.repeat = repeat
        self.quick = quick
        self._cache = cache
        self._given = given
        self._numbers = itertools.count()
        self._remotes = folder / "remotes" / OWNER
        self._storage = folder / "storage"
        self._sessions: dict[str, Path] = {}
        for made in (cache, self._remotes, self._storage, folder / "tmp", folder / "peer"):
            made.mkdir(parents=True, exist_ok=True)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, cache: Path, **options: Any) -> Iterator[Lab]:
        """Open a lab whose servers run for the block."""
        lab = cls(folder, cache, **options)
        for shape in lab.shapes:
            lab._serve(shape)
        with ExitStack() as stack:
            lab.git_origin = stack.enter_context(stand_ins.started("git", folder / "remotes"))
            lab.storage_origin = stack.enter_context(stand_ins.started("storage", lab._storage))
            yield lab

    git_origin: str
    storage_origin: str

    @cached_property
    def small(self) -> Shape:
        """The repository of 20 files."""
        return repositories.SMALL

    @cached_property
    def mid(self) -> Shape:
        """The repository of 2,000 files."""
        return repositories.MID.scaled(_SCALE) if self.quick else repositories.MID

    @cached_property
    def large(self) -> Shape:
        """The repository of 10,000 files, or the one that was given."""
        if self._given:
            return Shape("given", 0, 0)
        return repositories.LARGE.scaled(_SCALE) if self.quick else repositories.LARGE

    @cached_property
    def history(self) -> Shape:
        """The repository whose pack is mostly history."""
        return repositories.HISTORY.scaled(_SCALE) if self.quick else repositories.HISTORY

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All of them."""
        return self.small, self.mid, self.large, self.history

    @property
    def heavy_repeat(self) -> int:
        """How often to repeat what takes long."""
        return max(1, min(self.repeat, 3))

    def _serve(self, shape: Shape) -> None:
        source = self._given if self._given and shape is self.large else repositories.make(shape, self._cache)
        repositories.copy(source, self.remote(shape))

    def remote(self, shape: Shape) -> Path:
        """Return the bare repository that is served."""
        return self._remotes / f"{shape.name}.git"

    def branch(self, shape: Shape) -> str:
        """Return the repository's default branch."""
        return git("--git-dir", self.remote(shape), "symbolic-ref", "--short", "HEAD").decode().strip()

    def size(self, shape: Shape) -> int:
        """Return the bytes of the repository's packs."""
        return sum(pack.stat().st_size for pack in self.remote(shape).glob("objects/pack/*.pack"))

    def files(self, shape: Shape) -> int:
        """Return how many files the repository's default branch has."""
        return git("--git-dir", self.remote(shape), "ls-tree", "-r", "--name-only", "HEAD").count(b"\n")

    def url(self, shape: Shape) -> str:
        """Return where the repository is served."""
        return f"{self.git_origin}/{OWNER}/{shape.name}.git"

    # Our side

    @property
    def env(self) -> dict[str, str]:
        """The worker's environment."""
        return {
            "STORAGE_WORKER_URL": self.storage_origin,
            "GIT_ALLOWED_HOSTS": self.git_origin,
            "TMP_DIR": str(self.folder / "tmp"),
        }

    def worker(self, **env: str) -> Process:
        """Start a worker."""
        return Process.worker(self.env | env)

    def job(self, path: str, body: Mapping[str, Any], **env: str) -> Usage:
        """Do one job in a worker of its own."""
        with self.worker(**env) as worker:
            return worker.do(path, body)

    def clone_body(self, shape: Shape) -> dict[str, Any]:
        """Return a request to clone into a new session."""
        return {"sessionId": f"clone-{next(self._numbers)}", "repoUrl": self.url(shape), "accessToken": TOKEN}

    # Measuring

    def interleaved(self, repeat: int, *works: Callable[[], Usage]) -> list[tuple[Usage, ...]]:
        """Do each work in turn, again and again, each from a storage and a disk that are at rest."""
        return [tuple(self._settled(work) for work in works) for _ in range(repeat)]

    def _settled(self, work: Callable[[], Usage]) -> Usage:
        for archive in self._storage.iterdir():
            archive.unlink()
        shutil.rmtree(self.folder / "peer")
        (self.folder / "peer").mkdir()
        os.sync()
        return work()

    # Sessions to start with

    def session(self, shape: Shape) -> str:
        """Store a session of the repository with `CHANGED` files edited, and return its id."""
        if shape.name not in self._sessions:
            self._sessions[shape.name] = self._make_session(shape)
        session_id = f"session-{next(self._numbers)}"
        (self._storage / session_id).hardlink_to(self._sessions[shape.name])
        return session_id

    def archive(self, shape: Shape) -> Path:
        """Return the archive of such a session."""
        return self._storage / self.session(shape)

    def _make_session(self, shape: Shape) -> Path:
        """Do as a coding worker does, with its tools: GNU tar and gzip."""
        folder = self.folder / "sessions" / shape.name
        worktree = folder / "workspace" / "workspace" / shape.name
        git("clone", "--quiet", "--single-branch", self.url(shape), worktree, env=peer_env(self))
        # Nobody edits in the second of the checkout: git would take every file's stat data for racy.
        subprocess.run(["sleep", "1.1"], check=True)
        git("-C", worktree, "status")
        for path in _sources(worktree)[:CHANGED]:
            path.write_bytes(path.read_bytes() + b"edited\n")
        metadata = folder / "workspace" / ".session-metadata.json"
        github = {"repoUrl": self.url(shape), "clonedPath": shape.name, "baseBranch": self.branch(shape)}
        metadata.write_text(json.dumps({"sessionId": "bench", "createdAt": "2026-01-01", "github": github}))
        archive = self.folder / "sessions" / f"{shape.name}.tar.gz"
        subprocess.run(f"tar -C {folder} -c . | gzip -1 > {archive}", shell=True, check=True)
        shutil.rmtree(folder)
        return archive

    @contextmanager
    def rewound(self, shape: Shape) -> Iterator[None]:
        """Let the remote's branches be as they were when the block ends."""
        remote, branch = self.remote(shape), self.branch(shape)
        tip = git("--git-dir", remote, "rev-parse", f"refs/heads/{branch}").decode().strip()
        try:
            yield
        finally:
            names = (
                git("--git-dir", remote, "for-each-ref", "--format=%(refname)", "refs/heads").decode().split()
            )
            for name in names:
                if name == f"refs/heads/{branch}":
                    git("--git-dir", remote, "update-ref", name, tip)
                elif "webedt" in name or "peer" in name:
                    git("--git-dir", remote, "update-ref", "-d", name)


def _sources(worktree: Path) -> list[Path]:
    """Return the files that people edit: text, by their size."""
    files = (path for path in worktree.rglob("*") if ".git" not in path.parts and path.is_file())
    return sorted(path for path in files if path.stat().st_size <= _SOURCE_BYTES)


def peer_env(lab: Lab) -> dict[str, str]:
    """Return an environment in which git presents its token at once."""
    header = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    return GIT_ENV | {
        "GIT_CONFIG_COUNT": "4",
        "GIT_CONFIG_KEY_1": f"http.{lab.git_origin}/.extraHeader",
        "GIT_CONFIG_VALUE_1": f"Authorization: Basic {header}",
        "GIT_CONFIG_KEY_2": "user.name",
        "GIT_CONFIG_VALUE_2": "Ada Lovelace",
        "GIT_CONFIG_KEY_3": "user.email",
        "GIT_CONFIG_VALUE_3": "ada@example.com",
    }


def shell(lab: Lab, script: str, **values: object) -> Usage:
    """Run the peer's script in a new folder `$work`, and measure all of its processes."""
    work = lab.folder / "peer" / str(next(lab._numbers))
    work.mkdir()
    env = peer_env(lab) | {name: str(value) for name, value in values.items()} | {"work": str(work)}
    return run(["bash", "-euo", "pipefail", "-c", script], env)
