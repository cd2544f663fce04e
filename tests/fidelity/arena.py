"""Where service and git do the same work: a session, its remote, and both of them as one file."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from github_worker.contract import Warned, encode_event
from tests.conftest import WRITE_TOKEN
from tests.operations.conftest import SESSION, JobRunner
from tests.support.git_server import GitServer
from tests.support.repositories import GIT_ENV, Repository
from tests.support.sessions import SessionFolder, metadata

NAME = "demo"
WORKTREE = f"workspace/workspace/{NAME}"
METADATA = "workspace/.session-metadata.json"
AGENT = "An Agent", "agent@example.com"
AUTHOR = "Ada Lovelace", "ada@example.com"
COMMITTER = "GitHub Worker", "worker@github-worker.local"
# Variables that git would only be slowed by, or that would let a repository's own programs run; and those by
# which it believes a time: that content decides is the contract's.
_CALM = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "commit.gpgSign": "false",
    "protocol.file.allow": "always",
    "advice.addEmbeddedRepo": "false",
    "core.checkStat": "default",
    "core.trustctime": "true",
}
Bytes = bytes | str
Files = Mapping[Any, Any]  # by names, to contents: each text or bytes; None removes a file


class Git:
    """Runs git's command line in a folder, with nobody's configuration but the repository's."""

    def __init__(
        self, folder: Path, person: tuple[str, str] = AGENT, config: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.env = _environment(person, config or {})

    def try_(self, *arguments: Bytes | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run git, whether it succeeds or not."""
        command = [b"git", *(os.fsencode(argument) for argument in arguments)]
        return subprocess.run(
            command, cwd=self.folder, env=self.env, input=stdin, capture_output=True, check=False
        )

    def __call__(self, *arguments: Bytes | Path, stdin: bytes = b"") -> bytes:
        """Run git and return its output; raise CalledProcessError, git's words as a note, when it fails."""
        done = self.try_(*arguments, stdin=stdin)
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stderr.decode(errors="replace"))
            raise
        return done.stdout

    def lines(self, *arguments: Bytes | Path) -> list[str]:
        """Run git and return the lines of its output."""
        return os.fsdecode(self(*arguments)).splitlines()


def _environment(person: tuple[str, str], config: Mapping[str, str]) -> dict[str, str]:
    variables = {"safe.directory": "*", **_CALM, **config}
    name, email = person
    people = {f"GIT_{role}_{word}": value for role in ("AUTHOR", "COMMITTER")
              for word, value in (("NAME", name), ("EMAIL", email))}  # fmt: skip
    pairs = {
        f"GIT_CONFIG_{word}_{number}": text
        for number, pair in enumerate(variables.items())
        for word, text in zip(("KEY", "VALUE"), pair, strict=True)
    }
    quiet = {"LC_ALL": "C", "GIT_EDITOR": "true", "GIT_CONFIG_COUNT": str(len(variables))}
    return GIT_ENV | people | pairs | quiet


class Arena:
    """A remote that is served, and the tree of its session, unpacked as a coding worker has it.

    Whatever a test does to the files and with git in that tree is in the archive that `pack` makes.
    """

    def __init__(self, root: Path, port: int = 0) -> None:
        self.root = root
        self.server = GitServer(root / "server", {WRITE_TOKEN: "write"}, port=port)
        self.remote: Repository = self.server.create("octo", NAME)
        self.sessions = SessionFolder(root / "sessions")
        self.session_tree = root / "session"
        self.folder = self.session_tree / WORKTREE
        self.git = Git(self.folder, config=self._instead())
        scratch = root / "scratch"
        scratch.mkdir()
        self.sessions.path.mkdir()
        env = {
            "TMP_DIR": str(scratch),
            "STORAGE_URL": self.sessions.url,
            "GIT_ALLOWED_HOSTS": self.server.origin,
            "GIT_TIMEOUT": "20",
        }
        self.runner = JobRunner(env, WRITE_TOKEN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()

    # What a test does

    def start(self, files: Files | None = None, **config: str) -> None:
        """Begin a session whose main has a commit of `files`, pushed; `config` is the repository's own."""
        self.folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", "--template=")
        self.git("remote", "add", "origin", self.remote.url)
        for key, value in config.items():
            self.git("config", key.replace("_", "."), value)
        self.write(files if files is not None else {"README.md": "# Demo\n", "src/app.py": "print('hi')\n"})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=Begin")
        self.git("push", "--quiet", "--set-upstream", "origin", "main")
        self._tell()

    def clone(self, *options: str) -> None:
        """Begin a session with git's clone of what is on the remote."""
        self.folder.parent.mkdir(parents=True)
        Git(self.folder.parent, config=self._instead())("clone", "--quiet", *options, self.remote.url, NAME)
        self._tell()

    def _instead(self) -> dict[str, str]:
        return {f"url.file://{self.remote.path}.insteadOf": self.remote.url}

    def _tell(self) -> None:
        github = {"repoUrl": self.remote.url, "baseBranch": "main", "clonedPath": NAME}
        (self.session_tree / METADATA).write_text(json.dumps(metadata(SESSION, github=github)))

    def write(self, files: Files, mode: int = 0o644) -> None:
        """Write files, or (None) remove them; an edit is never mistaken for none by its time."""
        for name, content in files.items():
            file = self.folder / os.fsdecode(name)
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
            file.chmod(mode)

    def overwrite_unseen(self, name: str, content: str) -> None:
        """Change a file's content and give it its old time back."""
        file = self.folder / name
        status = file.stat()
        assert len(content.encode()) == status.st_size
        file.write_text(content)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    def push_theirs(self, files: Mapping[str, Bytes | None], branch: str = "main") -> str:
        """Let somebody else commit to the remote."""
        return self.remote.commit(files, "Theirs", branch)

    # The archive

    def pack(self, *options: str) -> bytes:
        """Pack the tree with GNU tar."""
        command = ["tar", *(options or ["--format=gnu"]), "-czf", "-", *sorted(os.listdir(self.session_tree))]
        return subprocess.run(command, cwd=self.session_tree, capture_output=True, check=True).stdout

    def put(self, archive: bytes) -> None:
        """Store an archive as the session."""
        self.sessions.put(SESSION, archive)

    def get(self) -> bytes | None:
        """Return the session's archive as it is stored, if there is one."""
        archive = self.sessions.archive(SESSION)
        return archive.read_bytes() if archive.exists() else None

    def lay_out(self) -> None:
        """Let the tree be what the stored session holds."""
        archive = self.get()
        assert archive is not None
        unpack(archive, self.session_tree)

    def warnings(self) -> list[str]:
        """Return what the last job warned of; each of its events can be sent."""
        for event in self.runner.events:
            encode_event(event)
        return [event.message for event in self.runner.events if isinstance(event, Warned)]

    # One file of both

    def save(self, archive: bytes | None, remote: Path, file: Path, **facts: object) -> Path:
        """Write a case (a session's archive and its remote) to `file`, with whatever replays it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        port = int(self.server.origin.rpartition(":")[2])
        with tarfile.open(file, "w") as case:
            _add(case, "case.json", json.dumps({"port": port, **facts}).encode())
            if archive is not None:
                _add(case, "session.tar.gz", archive)
            case.add(remote, "remote.git")
        return file


def load(file: Path, root: Path) -> tuple[Arena, dict[str, object]]:
    """Make an arena of a case on the port that its session names, and return the case's facts with it."""
    with tarfile.open(file) as case:
        case.extraction_filter = lambda member, _: member
        case.extractall(root / "case")  # noqa: S202 (a file of our own)
    facts = json.loads((root / "case/case.json").read_text())
    arena = Arena(root / "arena", facts["port"])
    shutil.rmtree(arena.remote.path)
    (root / "case/remote.git").rename(arena.remote.path)
    if (archive := root / "case/session.tar.gz").exists():
        arena.put(archive.read_bytes())
    return arena, facts


def unpack(archive: bytes, to: Path) -> Path:
    """Unpack a session with GNU tar, as a caller does, and return where its repository is."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    subprocess.run(["tar", "xzf", "-"], cwd=to, input=archive, check=True, capture_output=True)
    return to / WORKTREE


def _add(case: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    case.addfile(entry, io.BytesIO(content))
