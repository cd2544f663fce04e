"""A bare repository that is filled and looked at with git's plumbing, without a checkout."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

AUTHOR = "Ada Lovelace <ada@example.com>"
_FIELDS = "%H%x00%P%x00%an%x00%ae%x00%cn%x00%ce%x00%B"

# Neither this machine's configuration nor its users decide what these processes do.
GIT_ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_TERMINAL_PROMPT": "0",
}


def with_token(token: str) -> dict[str, str]:
    """Return an environment in which git presents `token` to every server that asks for credentials."""
    helper = '!f() { echo username=x-access-token; echo "password=$TOKEN"; }; f'
    entry = {"GIT_CONFIG_KEY_1": "credential.helper", "GIT_CONFIG_VALUE_1": helper}
    return GIT_ENV | entry | {"GIT_CONFIG_COUNT": "2", "TOKEN": token}


def git(*arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] = GIT_ENV) -> bytes:
    """Run git and return its output; raise CalledProcessError, git's words as a note, when it fails."""
    command = ["git", *arguments]
    try:
        return subprocess.run(command, input=stdin, capture_output=True, env=env, check=True).stdout
    except subprocess.CalledProcessError as error:
        error.add_note(error.stderr.decode(errors="replace"))
        raise


@dataclass(frozen=True)
class Commit:
    """A commit as `git log` tells it."""

    sha: str
    parents: tuple[str, ...]
    author: str
    author_email: str
    committer: str
    committer_email: str
    message: str

    @property
    def subject(self) -> str:
        """The message's first line."""
        return self.message.partition("\n")[0]


@dataclass(frozen=True)
class Repository:
    """A bare repository on disk and the URL that it is served under."""

    path: Path
    url: str
    public: bool = False

    @classmethod
    def create(
        cls,
        path: Path,
        url: str,
        *,
        public: bool = False,
        default: str = "main",
        object_format: str = "sha1",
    ) -> Repository:
        """Make an empty one whose `HEAD` names `default`."""
        options = (f"--initial-branch={default}", f"--object-format={object_format}")
        git("init", "--quiet", "--bare", "--template=", *options, path)
        repository = cls(path, url, public)
        repository.configure("http.receivepack", "true")
        return repository

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run git in the repository and return its output."""
        return git("--git-dir", self.path, *arguments, stdin=stdin)

    def commit(
        self,
        files: Mapping[str, bytes | str | None],
        message: str = "Change files",
        branch: str = "main",
        *,
        modes: Mapping[str, str] | None = None,
        author: str = AUTHOR,
    ) -> str:
        """Commit on `branch` and return the hash; None removes a file, `modes` are git's octal ones."""
        ref = f"refs/heads/{branch}"
        when = f"{int(time.time())} +0000"
        head = f"commit {ref}\nauthor {author} {when}\ncommitter {author} {when}\n".encode()
        origin = f"from {ref}^0\n".encode() if branch in self.branches() else b""
        changes = b"".join(_changes(files, modes or {}))
        self.fast_import(head + _data(message.encode()) + origin + changes)
        return self.branches()[branch]

    def fast_import(self, stream: bytes) -> None:
        """Feed `git fast-import`, for histories that are too long to commit one by one."""
        self.git("fast-import", "--quiet", "--date-format=raw", stdin=stream)

    def branch(self, name: str, start: str = "main") -> None:
        """Make a branch, or move it, to where `start` is."""
        self.git("update-ref", f"refs/heads/{name}", start)

    def tag(self, name: str, target: str = "main") -> None:
        """Make a lightweight tag."""
        self.git("update-ref", f"refs/tags/{name}", target)

    def branches(self) -> dict[str, str]:
        """Return the branches' tips by name."""
        lines = self.git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads")
        return dict(line.split(" ") for line in lines.decode().splitlines())

    def log(self, branch: str = "main") -> list[Commit]:
        """Return the commits that `branch` reaches, newest first."""
        texts = self.git("log", "-z", f"--format={_FIELDS}%x01", branch, "--").decode().split("\x01")
        return [_commit(text.lstrip("\0")) for text in texts[:-1]]

    def files(self, branch: str = "main") -> list[str]:
        """Return the paths of the files on `branch`."""
        return self.git("ls-tree", "-r", "-z", "--name-only", branch).decode().split("\0")[:-1]

    def read(self, branch: str, path: str) -> bytes:
        """Return a file's content on `branch`."""
        return self.git("cat-file", "blob", f"{branch}:{path}")

    def configure(self, key: str, value: str) -> None:
        """Set a value in the repository's configuration."""
        self.git("config", key, value)

    def reject_pushes(self, message: str) -> None:
        """Let a pre-receive hook refuse every push with `message`."""
        self._hook("pre-receive", f"cat >/dev/null\nprintf '%s\\n' {shlex.quote(message)} >&2\nexit 1")

    def protect(self, branch: str, message: str = "protected branch hook declined") -> None:
        """Let an update hook refuse pushes to `branch` alone."""
        ref = shlex.quote(f"refs/heads/{branch}")
        refusal = f"{{ printf '%s\\n' {shlex.quote(message)} >&2; exit 1; }}"
        self._hook("update", f'[ "$1" != {ref} ] || {refusal}')

    def accept_pushes(self) -> None:
        """Take the hooks away."""
        for name in ("pre-receive", "update"):
            (self.path / "hooks" / name).unlink(missing_ok=True)

    def _hook(self, name: str, script: str) -> None:
        hook = self.path / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)


def _commit(text: str) -> Commit:
    sha, parents, author, author_email, committer, committer_email, message = text.split("\0")
    return Commit(
        sha, tuple(parents.split()), author, author_email, committer, committer_email, message.strip()
    )


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _changes(files: Mapping[str, bytes | str | None], modes: Mapping[str, str]) -> Iterator[bytes]:
    for path, content in files.items():
        if content is None:
            yield b"D %b\n" % _quoted(path)
        else:
            mode = modes.get(path, "100644").encode()
            data = content.encode() if isinstance(content, str) else content
            yield b"M %b inline %b\n%b" % (mode, _quoted(path), _data(data))


def _quoted(path: str) -> bytes:
    if '"' not in path and "\n" not in path:
        return os.fsencode(path)
    return ('"' + path.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"').encode()
