"""Fixtures of the security tests: a session on its branch, an attacker's server, a place outside."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from github_worker.contract import encode_event
from github_worker.errors import JobError
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.repositories import Repository as Origin
from tests.support.repositories import git
from tests.support.sessions import Content, SessionFolder, edit

CANARY = "canary-of-the-outside-7f3a"
REPOSITORY = "workspace/workspace/demo"
CONFIG = f"{REPOSITORY}/.git/config"


class Outside:
    """A folder that is none of the session's, with files that a session might like to read or to change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "src").mkdir(parents=True)
        for name in ("app.py", "README.md", "src/app.py", "config", "HEAD", "exclude"):
            (folder / name).write_text(f"{CANARY}\n")
        self._before = self._state()

    def __str__(self) -> str:
        return str(self.folder)

    def assert_untouched(self) -> None:
        """Fail where anything in it has changed."""
        assert self._state() == self._before

    def _state(self) -> list[tuple[str, int, int, bytes]]:
        found = [(file, file.lstat()) for file in (self.folder, *sorted(self.folder.rglob("*")))]
        return [
            (str(file), status.st_mode, status.st_mtime_ns, b"" if file.is_dir() else file.read_bytes())
            for file, status in found
        ]


class Attack:
    """A session that a stranger changed, and all that must be as if nobody had."""

    def __init__(
        self, runner: JobRunner, origin: Origin, sessions: SessionFolder, outside: Outside, evil: GitServer
    ) -> None:
        self.runner, self.origin, self.sessions = runner, origin, sessions
        self.outside, self.evil = outside, evil
        self.branch = ""

    def change(self, files: Mapping[str, Content | None], config: str = "") -> None:
        """Change files of the session (names as in its repository), and add to the repository's config."""
        stored = self.sessions.get(SESSION)
        words = {f"{REPOSITORY}/{name}": content for name, content in files.items()}
        if config:
            words[CONFIG] = stored.read(CONFIG).decode() + config
        self.sessions.put(SESSION, edit(stored.data, words))

    async def commit(self, **fields: Any) -> Any:
        """Run commit-and-push, and see that the session's config stays as it was."""
        before = self._config()
        try:
            return await self.runner.commit(**fields)
        finally:
            assert self._config() == before
            self.assert_nothing_leaked()

    def assert_nothing_leaked(self) -> None:
        """Fail where the outside was read or written, the attacker heard of, or the token kept."""
        self.outside.assert_untouched()
        assert self.evil.requests == []
        kept = gzip.decompress(self.sessions.get(SESSION).data)
        told = b"".join(encode_event(event) for event in self.runner.events)
        pushed = self.origin.git("cat-file", "--batch-all-objects", "--batch", "--buffer")
        for text in (kept, told, pushed, *self._objects()):
            assert CANARY.encode() not in text
            assert WRITE_TOKEN.encode() not in text

    def _config(self) -> bytes | None:
        members = self.sessions.get(SESSION).members()
        regular = CONFIG in members and members[CONFIG].isreg()
        return self.sessions.get(SESSION).read(CONFIG) if regular else None

    def _objects(self) -> Iterator[bytes]:
        """Yield the objects of the session's repository as git's own storage holds them, unpacked."""
        folder = self.outside.folder.parent / "looked-at"
        git("init", "--quiet", "--bare", folder)
        for name, member in self.sessions.get(SESSION).members().items():
            inside = name.removeprefix(f"{REPOSITORY}/.git/objects/")
            if inside != name and member.isreg() and "info" not in inside:
                (folder / "objects" / inside).parent.mkdir(exist_ok=True)
                (folder / "objects" / inside).write_bytes(self.sessions.get(SESSION).read(name))
        yield git("--git-dir", folder, "cat-file", "--batch-all-objects", "--batch", "--buffer")


def link(name: str, target: object) -> tarfile.TarInfo:
    """Return a symbolic link of the repository's for a session's archive."""
    entry = tarfile.TarInfo(f"{REPOSITORY}/{name}")
    entry.type, entry.linkname = tarfile.SYMTYPE, str(target)
    return entry


@pytest.fixture
def origin(git_server: GitServer) -> Origin:
    """Return a repository with a file in a folder."""
    return git_server.seed("octo", "demo", {"README.md": "# Demo\n", "src/app.py": "print('hi')\n"})


@pytest.fixture
def runner(worker_env: dict[str, str]) -> JobRunner:
    """Return a runner whose sessions, remote and model are this test's."""
    return JobRunner(worker_env | {"GIT_TIMEOUT": "5", "STORAGE_TIMEOUT": "5"})


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """Return a folder outside of every session."""
    return Outside(tmp_path / "outside")


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[GitServer]:
    """Yield a server of the attacker's, which would take any token."""
    with GitServer(tmp_path / "evil", {WRITE_TOKEN: "write"}) as server:
        yield server


@pytest.fixture
async def attack(
    runner: JobRunner, origin: Origin, sessions: SessionFolder, outside: Outside, evil: GitServer
) -> Attack:
    """Start a session on its own branch, for a stranger to change."""
    attack = Attack(runner, origin, sessions, outside, evil)
    attack.branch = (await runner.init(origin.url)).branch_name
    return attack


async def commit_or_sentence(attack: Attack) -> JobError | None:
    """Commit, or fail with an error that says what is wrong with the session, and return it."""
    try:
        await attack.commit()
    except JobError as error:
        failure = error
    else:
        return None
    assert failure.code in {"session_corrupt", "unsupported_repository", "no_repository"}
    return failure
